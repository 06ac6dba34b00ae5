"""A start that already means something: a row for each token so that a text's mean is close to the teacher's vector.

    start.py        writes start.npy [vocabulary, 256] into the cache

The rows are the least-squares answer over all texts that have a target, drawn towards the teacher's own vector of each
token: one sparse problem, solved by conjugate gradients in a minute or two. Training goes on from there.
"""
import numpy as np
from scipy import sparse

import teacher
from batches import LONGEST
from common import cache
from data_text import read
from tokenizer import load as load_tokenizer

STEPS, PULL = 24, 0.02


def bags(tokenizer, texts, size):
    """Rows of shares of tokens: [texts, size]."""
    rows, columns, values = [], [], []
    for i, e in enumerate(tokenizer.encode_batch(texts, add_special_tokens=False)):
        ids = e.ids[:LONGEST]
        rows += [i] * len(ids)
        columns += ids
        values += [1 / max(1, len(ids))] * len(ids)
    return sparse.csr_matrix((np.array(values, np.float32), (rows, columns)), shape=(len(texts), size))


def solve(x, target, begin):
    """Least squares of x e = target with a pull towards `begin`; every column of e by conjugate gradients."""
    turned = x.T.tocsr()
    # Rare tokens have small diagonals: scaling by them makes all of them move within a few steps.
    scale = 1 / np.sqrt(np.asarray(turned.multiply(turned).sum(1)) + PULL).astype(np.float32)

    def apply(d):
        d = d * scale
        return (turned @ (x @ d) + PULL * d) * scale

    e = np.zeros_like(begin)
    residual = (turned @ (target - x @ begin)) * scale
    way, length = residual.copy(), (residual ** 2).sum(0)
    for step in range(STEPS):
        image = apply(way)
        share = length / (way * image).sum(0)
        e += share * way
        residual -= share * image
        longer = (residual ** 2).sum(0)
        way = residual + longer / length * way
        length = longer
        print(step, float(length.sum()), flush=True)
    return begin + e * scale


def main():
    where, vectors = teacher.load("teacher-text", "teacher-pictures")
    rows = [r for r in read("texts.jsonl") if not r["held"] and r["target"] in where]
    pairs = [(p[side], where[p[side]]) for p in read("pairs.jsonl") if not p["held"]
             for side in ("query", "document") if p[side] in where]
    texts = [r["text"] for r in rows] + [p[0] for p in pairs]
    target = vectors[[where[r["target"]] for r in rows] + [p[1] for p in pairs]].astype(np.float32)
    tokenizer = load_tokenizer()
    begin = np.load(cache("tokens.npy")).astype(np.float32)
    x = bags(tokenizer, texts, len(begin))
    np.save(cache("start.npy"), solve(x, target, begin))


if __name__ == "__main__":
    main()
