"""The held-out measures through the program, as users have them: in full precision and with --quantization int8.

    measure_qvec.py QVEC [--embedder FOLDER] [--reranker FOLDER] [--lists N]

Prints a table: each measure in both, and by how many points (hundredths of a share or of a correlation) they differ.
Reads what `measure.py prepare` left in the cache. In full precision the numbers are those of measure.py but for single
items whose neighbours are as good as equally near: that one measures PyTorch over the same weights. --lists: of texts,
scenes and pages each, for the reranker, instead of the 150, 60 and 60 of the card.
"""
import argparse
import json
import os
import subprocess
import tempfile

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

import measure
import measure_reranker
from common import HERE, INSTRUCTION, RERANK_INSTRUCTION


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
    parser.add_argument("qvec")
    parser.add_argument("--embedder", default=os.path.join(HERE, ".."))
    parser.add_argument("--reranker", default=os.path.join(HERE, "..", "..", "mini-reranker"))
    parser.add_argument("--lists", type=int)
    a = parser.parse_args()
    found = []
    for flags in ([], ["--quantization", "int8"]):
        embedder, reranker = Embedder(a.qvec, a.embedder, flags), Reranker(a.qvec, a.reranker, flags)
        found.append(flat(measure.measure(embedder) | measure_reranker_lists(reranker, a.lists)))
    print("| measure | full precision | int8 | points |\n|---|---|---|---|")
    for name, full in found[0].items():
        print(f"| {name} | {full:.3f} | {found[1][name]:.3f} | {100 * (found[1][name] - full):+.1f} |")


if __name__ == "__main__":
    main()
