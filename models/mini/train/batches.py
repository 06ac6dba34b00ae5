"""Batches of every kind, each a function of (kind, step) alone, so that a run can stop and go on anywhere."""
import os
import random

import numpy as np
import torch

import pages
import scenes
import teacher
from common import INSTRUCTION, SEED, cache
from data_pictures import PLAIN_SHARDS
from data_text import read
from tokenizer import load as load_tokenizer

LONGEST = 56  # tokens of a text
INSTRUCTIONS = [INSTRUCTION] * 6 + [
    "Given a web search query, retrieve relevant passages that answer the query.", "Represent the text for retrieval.",
    "Retrieve pictures and texts that match the input.", "Find the document that answers the question."]
TASKS = ["Given a web search query, retrieve relevant passages that answer the query",
         "Retrieve relevant documents for the query", "Find the passage that answers the question"]
FORMS = ["official", "raw"]


class Frame:
    """Ids of what stands around a content. Seams are at special tokens or newlines, so pieces can be encoded apart as
    long as a content does not begin with white space."""
    def __init__(self):
        self.tokenizer = load_tokenizer()
        self.end = self.tokenizer.token_to_id("<|endoftext|>")
        self.tail = self.encode("<|im_end|>\n<|im_start|>assistant\n<|endoftext|>")
        self.vision_start = self.tokenizer.token_to_id("<|vision_start|>")
        self.vision_end = self.tokenizer.token_to_id("<|vision_end|>")

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def head(self, instruction=INSTRUCTION):
        return torch.tensor(self.encode(f"<|im_start|>system\n{instruction}<|im_end|>\n<|im_start|>user\n"))

    def texts(self, texts, form):
        """(ids [B, S], last [B]) of texts with the form's tail."""
        tail = self.tail if form == "official" else [self.end]
        rows = [e.ids[:LONGEST] + tail for e in self.tokenizer.encode_batch(texts, add_special_tokens=False)]
        return self.padded(rows)

    def padded(self, rows):
        ids = torch.full((len(rows), max(map(len, rows))), self.end)
        for i, row in enumerate(rows):
            ids[i, :len(row)] = torch.tensor(row)
        return ids, torch.tensor([len(row) - 1 for row in rows])


def scene_labels(plan):
    """Which of SCENE_LABELS statements hold of a plan."""
    out, subjects, paints = [], len(scenes.SUBJECTS), list(scenes.PAINTS)
    sides = {"left of": (0, 1), "right of": (1, 0), "above": (2, 3), "below": (3, 2)}.get(plan["relation"])
    for i, group in enumerate(plan["groups"]):
        s = scenes.SUBJECTS.index(group["what"])
        out += [s, subjects * group["count"] + s]
        if sides:
            out.append(subjects * (5 + sides[i]) + s)
        if group["paint"]:
            out.append(subjects * 9 + scenes.SHAPES.index(group["what"]) * len(paints) + paints.index(group["paint"]))
    out.append(subjects * 9 + len(scenes.SHAPES) * len(paints) + list(scenes.GROUNDS).index(plan["ground"]))
    return out


SCENE_LABELS = len(scenes.SUBJECTS) * 9 + len(scenes.SHAPES) * len(scenes.PAINTS) + len(scenes.GROUNDS)


def page_labels(plan):
    """The words, and which of them is first."""
    words = [pages.WORDS.index(w) for w in plan["words"]]
    return words + [len(pages.WORDS) + words[0]]


PAGE_LABELS = 2 * len(pages.WORDS)


class Data:
    def __init__(self):
        self.frame = Frame()
        self.where, self.vectors = teacher.load("teacher-text", "teacher-pictures")
        self.texts = [(r["text"], self.where[r["target"]], r["kind"]) for r in read("texts.jsonl")
                      if not r["held"] and r["target"] in self.where]
        self.texts.sort(key=lambda t: len(t[0]))
        # Names in many languages and what has a picture come up more often than one gloss among many.
        self.names = [t for t in self.texts if t[2].startswith(("emoji", "keywords"))]
        self.pictures = read("pictures.jsonl")
        self.drawings = np.load(cache("drawings.npy"), mmap_mode="r")
        self.pairs = [p for p in read("pairs.jsonl") if not p["held"]]
        self.capitals = [p for p in self.pairs if p["kind"] == "capital"]
        self.questions = [(p[side], self.where[p[side]], "question") for p in self.pairs
                          for side in ("query", "document") if p[side] in self.where]
        self.shards = {"scenes": [], "pages": [], "drawn": []}
        self.load_shards()

    def load_shards(self):
        """Takes up the shards that are complete, and those that came since."""
        while os.path.exists(cache(f"drawn-{len(self.shards['drawn']) + 1}.npy")) and \
                os.path.exists(cache(f"pages-{len(self.shards['drawn']) + 1}.npy")):
            n = len(self.shards["drawn"]) + 1
            for name, extra in (("scenes", "labels"), ("pages", "labels"), ("drawn", "rows")):
                self.shards[name].append((np.load(cache(f"{name}-{n}.npy"), mmap_mode="r"),
                                          [] if name == "drawn" else read(f"{name}-{n}.jsonl"),
                                          np.load(cache(f"{name}-{n}-{extra}.npy"))))

    def rng(self, kind, step):
        return random.Random(f"{SEED} {kind} {step}")

    def text(self, step, size):
        """Texts of like length and their targets."""
        rng = self.rng("text", step)
        if step % 4 == 3:
            rows = rng.sample(self.names, size)
        elif step % 4 == 1:
            rows = rng.sample(self.questions, size)
        else:
            start = int(rng.random() * (len(self.texts) - 12 * size))
            rows = rng.sample(self.texts[start:start + 12 * size], size)
        return [r[0] for r in rows], torch.from_numpy(self.vectors[[r[1] for r in rows]])

    def pair(self, step, size):
        """Questions and answers, groups; the question's form may carry its task, as the published guide does."""
        rng = self.rng("pair", step)
        rows = rng.sample(self.pairs, size - size // 8) + rng.sample(self.capitals, size // 8)
        task, wrap = rng.choice(TASKS), rng.random() < 0.35
        queries = [f"Instruct: {task}\nQuery: {p['query']}" if wrap else p["query"] for p in rows]
        return queries, [p["document"] for p in rows], [p["group"] for p in rows], wrap

    def batch(self, name, step, size):
        rng = self.rng(name, step)
        shards = self.shards[name]
        if name == "pages" and rng.random() < 0.4:  # varied ones, once the plain can be read
            shards = shards[PLAIN_SHARDS:] or shards
        arrays, rows, labels = rng.choice(shards)
        at = sorted(rng.sample(range(len(arrays)), size))
        return rng, torch.from_numpy(arrays[at])[:, None], [rows[i] for i in at] if rows else None, labels[at]

    def scenes(self, step, size):
        rng, pictures, rows, labels = self.batch("scenes", step, size)
        held = torch.zeros(size, SCENE_LABELS)
        for i, row in enumerate(rows):
            held[i, scene_labels(row["plan"])] = 1
        return pictures, [rng.choice(r["captions"]) for r in rows], held, torch.from_numpy(labels.astype(np.int64))

    def pages(self, step, size):
        rng, pictures, rows, labels = self.batch("pages", step, size)
        held = torch.zeros(size, PAGE_LABELS)
        for i, row in enumerate(rows):
            held[i, page_labels(row["plan"])] = 1
        return pictures, [rng.choice(r["captions"]) for r in rows], held, torch.from_numpy(labels.astype(np.int64))

    def drawn(self, step, size):
        """Drawings, a caption in some language, the target of an English one, groups."""
        rng, pictures, _, rows = self.batch("drawn", step, size)
        known = [self.pictures[i] for i in rows]
        english = [k["captions"][0] if rng.random() < 0.7 else k["captions"][1] for k in known]
        said = [rng.choice(k["translated"]) if k["translated"] and rng.random() < 0.25 else e
                for k, e in zip(known, english)]
        return pictures, said, torch.from_numpy(self.vectors[[self.where[e] for e in english]]), \
            [k["group"] for k in known]

    def clips(self, step, size):
        rng = self.rng("clips", step)
        made = [scenes.clip(rng) for _ in range(size)]
        return torch.from_numpy(np.stack([m[0] for m in made])), [m[1] for m in made]
