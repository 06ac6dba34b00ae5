"""What 8-bit codes do to searching with the models that come along: shares of queries that find their own answer first,
with and without, on a part of what the models' cards measure. All of it, and larger samples: docs/QUANTIZATION.md."""
import json
import os

import numpy as np
import pytest
from PIL import Image

import harness

DATA = os.path.join(harness.DATA, "retrieval")
MODELS = os.path.join(harness.ROOT, "models")
INT8 = ["--quantization", "int8"]
SIDE, ACROSS = 128, 20  # of a scene, in scenes.webp
POINTS = 0.005          # of all queries together: of one kind alone, the turn of a single one is as much
LISTS, LONG = 200, 5    # to rerank: the right document, and the answers of the questions that follow


def read(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as f:
        return json.load(f)


def both(command, model, items):
    """Answers in full precision, and in 8 bits."""
    folder = os.path.join(MODELS, model)
    return [harness.run_lines(command, folder, items, *flags, seed=None) for flags in ([], INT8)]


def found_first(queries, answers):
    """Whether each row of `queries` is nearest to the same row of `answers`."""
    return (np.asarray(queries) @ np.asarray(answers).T).argmax(1) == np.arange(len(queries))


def vectors(model, items):
    return [np.array([a["embedding"] for a in answers], np.float32) for answers in both("embed", model, items)]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Paths of the pictures, cut from their sheet."""
    folder, paths = tmp_path_factory.mktemp("scenes"), []
    sheet = Image.open(os.path.join(DATA, "scenes.webp")).convert("RGB")
    for i in range(len(read("captions.json"))):
        x, y = i % ACROSS * SIDE, i // ACROSS * SIDE
        paths.append(str(folder / f"{i}.png"))
        sheet.crop((x, y, x + SIDE, y + SIDE)).save(paths[-1], compress_level=1)
    return paths


def questions():
    """[2][queries]: which find their answer first, in full precision and in 8 bits."""
    pairs = read("questions.json")
    n = len(pairs)
    return [found_first(v[:n], v[n:]) for v in vectors("mini", [{"text": q} for q, _ in pairs] + [{"text": d} for _, d in pairs])]


def pictures(paths):
    """Captions to pictures, and pictures to captions."""
    n = len(paths)
    found = vectors("mini", [{"text": c} for c in read("captions.json")] + [{"image": p} for p in paths])
    return [np.concatenate([found_first(v[:n], v[n:]), found_first(v[n:], v[:n])]) for v in found]


def lists():
    pairs = read("questions.json")
    items = [{"query": {"text": pairs[i][0]}, "documents": [{"text": d} for _, d in pairs[i:i + LONG]]} for i in range(LISTS)]
    return [np.array([np.argmax(a["scores"]) == 0 for a in answers]) for answers in both("rerank", "mini-reranker", items)]


def test_as_many_are_found_first(scenes):
    kinds = [questions(), pictures(scenes), lists()]
    told = [f"{full.mean():.3f}, with int8 {coded.mean():.3f}" for full, coded in kinds]
    full, coded = (np.concatenate(both) for both in zip(*kinds))
    assert min(k[0].mean() for k in kinds) > 0.6, told  # there is something to lose
    assert 0 < (full != coded).mean() < 0.02, told      # other numbers indeed, but few that matter
    assert abs(full.mean() - coded.mean()) <= POINTS, told
