"""Every stored score of the reference, through `qvec rerank`."""
import numpy as np
import pytest

import harness

FILES = [("tiny", "tiny-rerank", 0), ("small", "small-rerank", 0), ("untied", "untied-rerank", 0),
         ("tiny", "extra-tiny-rerank", 7), ("untied", "extra-untied-rerank", 7)]
CASES = [pytest.param(shape, name, seed, case, id=f"{name}-{case['id']}")
         for shape, name, seed in FILES for case in harness.stored(name)]


def check_scores(scores, expected, case_id):
    difference = 1e-5 if harness.tolerance(case_id)[2] else 2e-3
    worst = float(np.abs(np.asarray(scores) - np.asarray(expected)).max())
    assert worst < difference, f"largest difference {worst:.3g}"


@pytest.mark.parametrize("shape, name, seed, case", CASES)
def test_case(shape, name, seed, case):
    answer = harness.golden_run("rerank", shape, name, seed)[case["id"]]
    assert "error" not in answer, answer["error"]
    assert answer["ids"] == case["ids"]
    check_scores(answer["scores"], case["scores"], case["id"])
    assert answer["order"] == sorted(range(len(answer["scores"])), key=lambda i: -answer["scores"][i])
    assert answer["tokens"] == sum(map(len, case["ids"]))


def test_top_n():
    case = next(c for c in harness.stored("tiny-rerank") if c["id"] == "text")
    answer, = harness.run_lines("rerank", harness.folder("tiny", "reranker"), [{**harness.question(case), "top_n": 2}])
    best = sorted(range(5), key=lambda i: -case["scores"][i])[:2]
    assert answer["order"] == best
