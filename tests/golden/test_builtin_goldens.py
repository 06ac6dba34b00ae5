"""The models that come along: transformers' stored answers, and whether they find what they should."""
import json
import os

import harness
import numpy as np
import pytest

MODELS = os.path.join(harness.ROOT, "models")
PICTURES = os.path.join(harness.ROOT, "examples", "pictures")
CAPTIONS = {
    "balloons-cake": "three balloons above a cake", "chart-weather": "a chart of rain wind sun ice",
    "crown-ghost-night": "a crown above a ghost at night", "dogs-balls": "two dogs left of two balls",
    "menu-breakfast": "coffee bread butter milk", "red-heart": "a red heart", "rockets-robots": "two rockets left of four robots",
    "sign-library": "a sign: library open monday", "stars-night": "two white stars at night", "train-tree": "a train left of a tree",
    "umbrella-elephant": "an umbrella above an elephant at sunset", "whales-boat": "two whales left of a boat"}


def stored(name):
    with open(os.path.join(MODELS, name, "expected.json"), encoding="utf-8") as f:
        return json.load(f)


@pytest.fixture(scope="module")
def answers():
    def run(command, name):
        items = [harness.question(c) for c in stored(name)]
        found = harness.run_lines(command, os.path.join(MODELS, name), items, "--echo", "ids", seed=None, cwd=os.path.join(MODELS, name))
        return {a["id"]: a for a in found}
    return {**run("embed", "mini"), **run("rerank", "mini-reranker")}


@pytest.mark.parametrize("case", stored("mini"), ids=lambda c: c["id"])
def test_vector(answers, case):
    assert answers[case["id"]]["ids"] == case["ids"]
    # The stored clip was made with its frames resized in one step, where the reference takes two.
    harness.check_vector(answers[case["id"]]["embedding"], case["embedding"], difference=2e-4 if case["id"] == "clip" else 2e-5)


@pytest.mark.parametrize("case", stored("mini-reranker"), ids=lambda c: c["id"])
def test_scores(answers, case):
    assert answers[case["id"]]["ids"] == case["ids"]
    assert np.abs(np.array(answers[case["id"]]["scores"]) - case["scores"]).max() < 1e-5


def test_examples_are_found():
    """Each picture of examples/pictures by its caption among the dozen, and each caption by its picture."""
    names = sorted(n[:-4] for n in os.listdir(PICTURES) if n.endswith(".png"))
    assert names == sorted(CAPTIONS)
    items = [{"text": CAPTIONS[n]} for n in names] + [{"image": n + ".png"} for n in names]
    vectors = np.array([a["embedding"] for a in harness.run_lines("embed", os.path.join(MODELS, "mini"), items, seed=None, cwd=PICTURES)])
    near = vectors[:len(names)] @ vectors[len(names):].T
    right = np.arange(len(names))
    assert (near.argmax(1) == right).all() and (near.argmax(0) == right).all()
