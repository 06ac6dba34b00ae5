"""The held-out measures. Written, with their parts of the data, before the training began.

    measure.py prepare                 draws the held-out pictures and texts into the cache
    measure.py STATE [--out FILE]      measures a state.pt; prints and writes JSON

(a) 500 composed scenes of combinations never trained on, caption to picture and back; (b) 500 drawings of things that
were trained on in no form; (c) 200 rendered texts never trained on, plain and varied; (d) Spearman to the teacher over
pairs of held-out texts, half by chance and half near ones; (e) names of emoji in other languages to English, trained on
and held out; (f) the guide's questions and documents. TF-IDF (words and three-letter parts) stands beside where it
applies.
"""
import argparse
import json
import random

import numpy as np
import torch
from scipy.stats import spearmanr
from torch.nn import functional as F

import data_pictures
import pages
import scenes
import teacher
from batches import Frame, LONGEST
from common import GUIDE_DOCUMENTS, GUIDE_QUERIES, INSTRUCTION, SEED, cache, group_key, is_held
from data_text import LANGUAGES, PICTURE_HELD, annotations, is_pictograph, read, write
from model import Mini

WEB_TASK = "Given a web search query, retrieve relevant passages that answer the query"


def shown_in_scenes():
    """Groups of what the composed scenes and clips show: seen in training, whatever side their names fall on."""
    english = annotations("en")
    return {group_key(n) for n in scenes.THINGS} | {group_key(english[g.replace("\ufe0f", "")][0])
                                                    for g in scenes.THINGS.values()}


PARTS = (("scenes", scenes, 500, {}), ("pages", pages, 200, {}), ("varied", pages, 200, {"varied": True}))


def draw(rng, module, count, more):
    """Captions and pictures of `count` held-out scenes or pages, all different."""
    captions, arrays, seen = [], [], set()
    while len(captions) < count:
        plan = module.draw(rng, True)
        mark = scenes.key(plan) if module is scenes else " ".join(sorted(plan["words"]))
        if mark in seen:
            continue
        seen.add(mark)
        captions.append(module.caption(plan, rng))
        arrays.append(module.render(plan, rng, **more)[0])
    return captions, np.stack(arrays)


def prepare():
    for name, module, count, more in PARTS:
        captions, arrays = draw(random.Random(f"{SEED} measures {name}"), module, count, more)
        write(f"held-{name}.jsonl", [{"caption": c} for c in captions])
        np.save(cache(f"held-{name}.npy"), arrays)
    known, drawings = read("pictures.jsonl"), np.load(cache("drawings.npy"), mmap_mode="r")
    seen = shown_in_scenes()
    held = [i for i, row in enumerate(known) if row["held"] and row["group"] not in seen]
    rng = random.Random(f"{SEED} measures drawn")
    held = rng.sample(held, min(500, len(held)))
    write("held-drawn.jsonl", [{"caption": known[i]["captions"][0], "group": known[i]["group"]} for i in held])
    np.save(cache("held-drawn.npy"), np.stack([data_pictures.on_ground(drawings[i], rng, plain=True) for i in held]))


class Embedder:
    """Vectors of unit length from a state's network, in fp32."""
    def __init__(self, net):
        self.net, self.frame = net.eval(), Frame()

    @torch.inference_mode()
    def texts(self, texts, form="official", instruction=INSTRUCTION):
        head = self.frame.head(instruction) if form == "official" else None
        out = torch.zeros(len(texts), 256)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for at in range(0, len(order), 128):
            part = order[at:at + 128]
            out[part] = self.net.text(head, *self.frame.texts([texts[i] for i in part], form)).float()
        return F.normalize(out, dim=-1)

    @torch.inference_mode()
    def pictures(self, arrays):
        out, head = [], self.frame.head()
        for at in range(0, len(arrays), 64):
            x = torch.from_numpy(np.ascontiguousarray(arrays[at:at + 64]))[:, None]
            after, last = self.frame.padded([[self.frame.vision_end] + self.frame.tail] * len(x))
            out.append(self.net.picture(head, torch.tensor([self.frame.vision_start]), x, after, last)[0].float())
        return F.normalize(torch.cat(out), dim=-1)


def recall(a, b, at, groups=None):
    """Share of rows of a whose own row of b, or one of the same group, is among the nearest `at`."""
    near = (a @ b.T).topk(at, dim=1).indices
    if groups is None:
        groups = range(len(a))
    return float(np.mean([groups[i] in {groups[j] for j in near[i].tolist()} for i in range(len(a))]))


def chance(groups, at):
    """What recall() of rows in random order is on average."""
    n, sizes = len(groups), [groups.count(g) for g in groups]
    return float(np.mean([1 - np.prod([(n - s - k) / (n - k) for k in range(at)]) for s in sizes]))


def pictures(e, name):
    rows, arrays = read(f"held-{name}.jsonl"), np.load(cache(f"held-{name}.npy"))
    groups = [r.get("group", i) for i, r in enumerate(rows)]
    x, t = e.pictures(arrays), e.texts([r["caption"] for r in rows])
    out = {"pictures": len(rows)}
    if len(set(groups)) < len(rows):  # several drawings of one thing: also one of each
        one = [i for i in range(len(rows)) if groups.index(groups[i]) == i]
        out |= {"things": len(one), **{f"one of each thing, {way}, recall at {at}": recall(a[one], b[one], at)
                                       for way, a, b in (("text to picture", t, x), ("picture to text", x, t))
                                       for at in (1, 5)}}
        out |= {f"own picture only, {way}, recall at 5": recall(a, b, 5)
                for way, a, b in (("text to picture", t, x), ("picture to text", x, t))}
        out |= {f"by chance, recall at {at}": chance(groups, at) for at in (1, 5)}
    for size in (256, 64):
        p, q = F.normalize(x[:, :size], dim=-1), F.normalize(t[:, :size], dim=-1)
        end = "" if size == 256 else f", {size} dimensions"
        for at in (1, 5):
            out[f"text to picture, recall at {at}{end}"] = recall(q, p, at, groups)
            out[f"picture to text, recall at {at}{end}"] = recall(p, q, at, groups)
    return out


def tfidf(texts):
    """Unit vectors of words and of three-letter parts, weighted by rarity: a dense matrix."""
    bags = []
    for text in texts:
        words = text.lower().split()
        bags.append(words + [w[i:i + 3] for w in (f" {w} " for w in words) for i in range(len(w) - 2)])
    number = {}
    for bag in bags:
        for part in bag:
            number.setdefault(part, len(number))
    x = np.zeros((len(texts), len(number)), np.float32)
    for i, bag in enumerate(bags):
        for part in bag:
            x[i, number[part]] += 1
    x = np.log1p(x) * np.log(len(texts) / (1 + (x > 0).sum(0)) + 1)
    return torch.from_numpy(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9))


def held_texts():
    """Up to 1500 held-out texts, their teacher vectors, and the pairs: each with one by chance and one near it."""
    where = {t: i for i, t in enumerate(json.load(open(cache("teacher-text.json"), encoding="utf-8")))}
    vectors = np.load(cache("teacher-text.npy"), mmap_mode="r")
    texts = sorted({r["text"] for r in read("texts.jsonl")
                    if r["held"] and r["text"] == r["target"] and r["kind"] in ("gloss", "example", "package")})
    rng = random.Random(f"{SEED} similarity")
    texts = rng.sample(texts, min(1500, len(texts)))
    x = torch.from_numpy(np.array(vectors[[where[t] for t in texts]], np.float32))
    order = (x @ x.T).argsort(dim=1, descending=True)
    chance = [(i, rng.choice([j for j in range(len(texts)) if j != i])) for i in range(len(texts))]
    near = [(i, int(order[i, rng.randint(1, 20)])) for i in range(len(texts))]
    return texts, x, chance, near


def similarity(e):
    texts, x, chance, near = held_texts()
    student = {form: e.texts(texts, form) for form in ("official", "raw")}

    def rank(v, pairs):
        a, b = zip(*pairs)
        return float(spearmanr((x[list(a)] * x[list(b)]).sum(-1), (v[list(a)] * v[list(b)]).sum(-1)).statistic)

    out = {}
    for name, v in (*student.items(), ("official, 64 dimensions", F.normalize(student["official"][:, :64], dim=-1)),
                    ("TF-IDF", tfidf(texts))):
        out[name] = {"all": rank(v, chance + near), "by chance": rank(v, chance), "near": rank(v, near)}
    return out


def languages(e):
    """Of up to 300 names each: the share of foreign ones whose own English name is nearest, a mean over languages."""
    english, out = annotations("en"), {}
    for side in (False, True):
        glyphs = [g for g, (n, _) in english.items() if is_pictograph(g) and "skin tone" not in n
                  and is_held(group_key(n), PICTURE_HELD) == side]
        glyphs = random.Random(SEED).sample(glyphs, min(300, len(glyphs)))
        names, scores, same_letters = [english[g][0] for g in glyphs], {}, {}
        t = e.texts(names)
        for language in LANGUAGES:
            foreign = annotations(language)
            rows = [i for i, g in enumerate(glyphs) if g in foreign]
            said = [foreign[glyphs[i]][0] for i in rows]
            near = (e.texts(said) @ t.T).argmax(1)
            scores[language] = float((near == torch.tensor(rows)).float().mean())
            words = tfidf(names + said)
            near = (words[len(names):] @ words[:len(names)].T).argmax(1)
            same_letters[language] = float((near == torch.tensor(rows)).float().mean())
        out["held out" if side else "trained on"] = {
            "names": len(names), "recall at 1": float(np.mean(list(scores.values()))),
            "TF-IDF": float(np.mean(list(same_letters.values()))), "by language": scores}
    return out


def guide(e):
    """2 x 2 cosines, questions by documents: official, with the task as instruction, and the guide's raw form."""
    documents = {f: e.texts(GUIDE_DOCUMENTS, f) for f in ("official", "raw")}
    ways = {"official": (e.texts(GUIDE_QUERIES), documents["official"]),
            "official with instruction": (e.texts(GUIDE_QUERIES, instruction=WEB_TASK + "."), documents["official"]),
            "raw": (e.texts([f"Instruct: {WEB_TASK}\nQuery: {q}" for q in GUIDE_QUERIES], "raw"), documents["raw"])}
    out = {}
    for name, (q, d) in ways.items():
        m = (q @ d.T).tolist()
        out[name] = {"cosines": m, "right": min(m[0][0], m[1][1]) > max(m[0][1], m[1][0])}
    return out


def question_pairs():
    """500 held-out questions and their answers."""
    rows = {p["group"]: p for p in read("pairs.jsonl") if p["held"] and p["kind"] in ("noun", "capital")}
    rows = random.Random(SEED).sample(sorted(rows.values(), key=lambda p: p["query"]), 500)
    return [(r["query"], r["document"]) for r in rows]


def questions(e):
    """Held-out questions to their answers among 500."""
    q, d = map(list, zip(*question_pairs()))
    words = tfidf(q + d)
    return {"recall at 1": recall(e.texts(q), e.texts(d), 1), "recall at 5": recall(e.texts(q), e.texts(d), 5),
            "TF-IDF, recall at 1": recall(words[:500], words[500:], 1)}


def measure(e):
    return {"a scenes": pictures(e, "scenes"), "b drawings": pictures(e, "drawn"), "c pages": pictures(e, "pages"),
            "varied pages": pictures(e, "varied"),
            "d similarity": similarity(e), "e languages": languages(e), "f guide": guide(e),
            "questions": questions(e)}


def rounded(x):
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    if isinstance(x, list):
        return [rounded(v) for v in x]
    return round(x, 3) if isinstance(x, float) else x


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state")
    parser.add_argument("--out")
    a = parser.parse_args()
    if a.state == "prepare":
        prepare()
    else:
        state = torch.load(a.state, weights_only=True)
        net = Mini(len(Frame().tokenizer.get_vocab()))
        net.load_state_dict({k: v.to(torch.bfloat16).float() for k, v in state["net"].items()})
        result = {"steps": state["step"], "minutes": round(state["seconds"] / 60, 1), **rounded(measure(Embedder(net)))}
        text = json.dumps(result, indent=1)
        print(text)
        if a.out:
            with open(a.out, "w", encoding="utf-8") as f:
                f.write(text + "\n")
