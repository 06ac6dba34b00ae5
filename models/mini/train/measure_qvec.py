"""The held-out measures through the program, as users have them: in full precision and with --quantization int8.

    measure_qvec.py QVEC [--embedder FOLDER] [--reranker FOLDER] [--lists N] [--sets N]
    measure_qvec.py --store FOLDER      writes what tests/golden/test_int8_retrieval.py searches

Prints a table: each measure in both, and by how many points (hundredths of a share or of a correlation) they differ.
Reads what `measure.py prepare` left in the cache. In full precision the numbers are those of measure.py but for single
items whose neighbours are as good as equally near: that one measures PyTorch over the same weights. --lists: of texts,
scenes and pages each, for the reranker, instead of the 150, 60 and 60 of the card. --sets: so many further sets of
scenes and pages, drawn anew, as large as the card's: their means tell apart what one set leaves to chance.
"""
import argparse
import json
import os
import random
import subprocess
import tempfile

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

import measure
import measure_reranker
from common import HERE, INSTRUCTION, RERANK_INSTRUCTION, SEED, cache
from data_text import read


def run(command, items):
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    done = subprocess.run([*command, "--no-progress", "-"], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def with_files(arrays, use):
    """use([path of a picture file]) while the files are there."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, f"{i}.png") for i in range(len(arrays))]
        for path, array in zip(paths, arrays):
            Image.fromarray(np.asarray(array)).save(path, compress_level=1)
        return use(paths)


class Embedder:
    """measure.Embedder's methods over `qvec embed`."""
    def __init__(self, qvec, folder, flags):
        self.command = [qvec, "embed", folder, *flags]

    def vectors(self, items, *flags):
        answers = run([*self.command, *flags], items)
        return F.normalize(torch.tensor([a["embedding"] for a in answers]), dim=-1)

    def texts(self, texts, form="official", instruction=INSTRUCTION):
        more = {"instruction": instruction} if form == "official" else {}
        return self.vectors([{"text": t, **more} for t in texts], *([] if form == "official" else ["--prompt", "raw"]))

    def pictures(self, arrays):
        return with_files(arrays, lambda paths: self.vectors([{"image": p} for p in paths]))


class Reranker:
    """Scores of lists by `qvec rerank`, one list a row."""
    def __init__(self, qvec, folder, flags):
        self.command = [qvec, "rerank", folder, *flags]

    def scores(self, lists):
        """lists: [(query, [document as the program reads it])]"""
        items = [{"instruction": RERANK_INSTRUCTION, "query": {"text": q}, "documents": d} for q, d in lists]
        return [a["scores"] for a in run(self.command, items)]

    def texts(self, lists):
        return self.scores([(q, [{"text": t} for t in d]) for q, d in lists])

    def pictures(self, lists):
        arrays = [array for _, pictures in lists for array in pictures]
        size = measure_reranker.SIZE

        def use(paths):
            return self.scores([(q, [{"image": p} for p in paths[i * size:i * size + size]])
                                for i, (q, _) in enumerate(lists)])
        return with_files(arrays, use)


def measure_reranker_lists(model, count):
    out = {"texts": measure_reranker.first(model.texts(measure_reranker.text_lists(count or 150)))}
    for name, most in (("scenes", 500), ("pages", 200)):
        lists = measure_reranker.picture_lists(name, min(count or 60, most))
        out[name] = measure_reranker.first(model.pictures(lists))
    return {"reranker": out}


def more_sets(embedder, count):
    """Means over `count` sets of each part."""
    out = {}
    for name, module, size, more in measure.PARTS:
        rng, found = random.Random(f"{SEED} more {name}"), []
        for _ in range(count):
            captions, arrays = measure.draw(rng, module, size, more)
            t, x = embedder.texts(captions), embedder.pictures(arrays)
            found.append([measure.recall(a, b, at) for at in (1, 5) for a, b in ((t, x), (x, t))])
        names = [f"{way}, recall at {at}" for at in (1, 5) for way in ("text to picture", "picture to text")]
        out[f"{count} x {size} {name}"] = dict(zip(names, np.mean(found, axis=0).tolist()))
    return out


def store(folder):
    """The card's 500 questions with their answers, and the first 200 of its scenes, 20 in a row of one picture."""
    captions, arrays = [r["caption"] for r in read("held-scenes.jsonl")][:200], np.load(cache("held-scenes.npy"))[:200]
    sheet = np.concatenate([np.concatenate(list(arrays[i:i + 20]), 1) for i in range(0, 200, 20)])
    Image.fromarray(sheet).save(os.path.join(folder, "scenes.webp"), quality=80, method=6)
    for name, rows in (("captions", captions), ("questions", measure.question_pairs())):
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as f:
            f.write(f"[\n{lines}\n]\n")


def flat(tree, name=""):
    """{"a, b": number} of nested dicts; what is no measure is left out."""
    out = {}
    for key, value in tree.items():
        full = f"{name}, {key}" if name else key
        if isinstance(value, dict):
            out |= flat(value, full) if key != "by language" else {}
        elif isinstance(value, float) and "chance, recall" not in full and "TF-IDF" not in full:
            out[full] = value
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("qvec", nargs="?")
    parser.add_argument("--store")
    parser.add_argument("--embedder", default=os.path.join(HERE, ".."))
    parser.add_argument("--reranker", default=os.path.join(HERE, "..", "..", "mini-reranker"))
    parser.add_argument("--lists", type=int)
    parser.add_argument("--sets", type=int, default=0)
    a = parser.parse_args()
    if a.store or not a.qvec:
        return store(a.store) if a.store else parser.error("name the program")
    found = []
    for flags in ([], ["--quantization", "int8"]):
        embedder, reranker = Embedder(a.qvec, a.embedder, flags), Reranker(a.qvec, a.reranker, flags)
        found.append(flat(measure.measure(embedder) | measure_reranker_lists(reranker, a.lists)
                          | (more_sets(embedder, a.sets) if a.sets else {})))
    print("| measure | full precision | int8 | points |\n|---|---|---|---|")
    for name, full in found[0].items():
        print(f"| {name} | {full:.3f} | {found[1][name]:.3f} | {100 * (found[1][name] - full):+.1f} |")


if __name__ == "__main__":
    main()
