"""The reranker's held-out measures: which of ten documents is put first, beside chance, TF-IDF and the embedder.

    measure_reranker.py STATE [--embedder STATE] [--out FILE]
"""
import argparse
import json
import random

import numpy as np
import torch

import measure
from batches import Data
from common import GUIDE_DOCUMENTS, GUIDE_QUERIES, RERANK_INSTRUCTION, SEED, cache
from data_text import read
from model import Mini
from rerank_data import RerankData, RerankFrame
from train_reranker import Reranker

SIZE = 10


def load(path, frame):
    net = Mini(frame.tokenizer.get_vocab_size())
    state = torch.load(path, weights_only=True)
    net.load_state_dict({k: v.to(torch.bfloat16).float() for k, v in state["net"].items()})
    return net.eval(), state


def text_lists(count):
    """Held-out questions; nine of ten documents are near the right one by the teacher's vectors."""
    data = RerankData(Data())
    held = [p for p in read("pairs.jsonl") if p["held"] and p["group"] in data.data.where]
    return data.lists(held, random.Random(f"{SEED} rerank lists"), count, SIZE)


def picture_lists(name, count):
    rng = random.Random(f"{SEED} rerank {name}")
    rows, arrays = read(f"held-{name}.jsonl"), np.load(cache(f"held-{name}.npy"))
    out = []
    for i in rng.sample(range(len(rows)), count):
        others = rng.sample([j for j in range(len(rows)) if j != i], SIZE - 1)
        out.append((rows[i]["caption"], arrays[[i] + others]))
    return out


def first(scores):
    """Share of lists, and mean reciprocal rank, with the right one first of each list; ties count against it."""
    ranks = [sum(s >= row[0] for s in row) for row in scores]
    return {"right one first": float(np.mean([r == 1 for r in ranks])),
            "reciprocal rank": float(np.mean([1 / r for r in ranks]))}


@torch.inference_mode()
def run(model, embedder):
    texts, out = text_lists(150), {"chance": 1 / SIZE}
    scores = [model.texts(RERANK_INSTRUCTION, [q] * len(d), d).tolist() for q, d in texts]
    by_words = [measure.tfidf([q] + d) for q, d in texts]
    out["texts"] = {"reranker": first(scores), "TF-IDF": first([(x[1:] @ x[0]).tolist() for x in by_words]),
                    "embedder": first([(embedder.texts(d) @ embedder.texts([q])[0]).tolist() for q, d in texts])}
    for name in ("scenes", "pages"):
        lists = picture_lists(name, 60)
        scores = [model.pictures(RERANK_INSTRUCTION, q, torch.from_numpy(p)[:, None]).tolist() for q, p in lists]
        out[name] = {"reranker": first(scores),
                     "embedder": first([(embedder.pictures(p) @ embedder.texts([q])[0]).tolist() for q, p in lists])}
    logits = [model.texts(RERANK_INSTRUCTION, [q] * 2, GUIDE_DOCUMENTS) for q in GUIDE_QUERIES]
    out["guide"] = torch.sigmoid(torch.stack(logits)).tolist()
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state")
    parser.add_argument("--embedder", default=cache("embedder/state.pt"))
    parser.add_argument("--out")
    a = parser.parse_args()
    frame = RerankFrame()
    net, state = load(a.state, frame)
    result = run(Reranker(net, frame), measure.Embedder(load(a.embedder, frame)[0]))
    result = {"steps": state["step"], "minutes": round(state["seconds"] / 60, 1), **measure.rounded(result)}
    text = json.dumps(result, indent=1)
    print(text)
    if a.out:
        with open(a.out, "w", encoding="utf-8") as f:
            f.write(text + "\n")
