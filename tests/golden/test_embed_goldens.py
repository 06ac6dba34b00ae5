"""Every stored answer of the reference, through `qvec embed`."""
import numpy as np
import pytest

import harness

FILES = [("tiny", "tiny-embed", 0), ("small", "small-embed", 0), ("untied", "untied-embed", 0),
         ("tiny", "extra-tiny-embed", 7), ("untied", "extra-untied-embed", 7)]
CASES = [pytest.param(shape, name, seed, case, id=f"{name}-{case['id']}")
         for shape, name, seed in FILES for case in harness.stored(name)]


@pytest.mark.parametrize("shape, name, seed, case", CASES)
def test_case(shape, name, seed, case):
    answer = harness.golden_run("embed", shape, name, seed)[case["id"]]
    assert "error" not in answer, answer["error"]
    cosine, difference, frames_equal = harness.tolerance(case["id"])
    assert answer["ids"] == case["ids"]
    harness.check_sizes(answer.get("frames", []), case["frames"])
    if frames_equal:
        assert answer.get("frames", []) == case["frames"]
    harness.check_vector(answer["embedding"], case["embedding"], cosine, difference)
    assert answer["tokens"] == len(case["ids"])
    assert answer["prompt"] == case.get("prompt", "official")


CUTS = [pytest.param(shape, name, seed, case["id"], case["id"] in cut, id=f"{name}-{case['id']}")
        for shape, name, seed in FILES[:1] + FILES[3:4]
        for cut in [("truncate-64", "raw-truncate-32", "x-official-over", "x-raw-cut-2", "x-raw-cut-5",
                     "x-official-cut-21", "x-official-cut-24")]
        for case in harness.stored(name) if not harness.is_visual(case)]


@pytest.mark.parametrize("shape, name, seed, case_id, cut", CUTS)
def test_truncation_is_told(shape, name, seed, case_id, cut):
    answer = harness.golden_run("embed", shape, name, seed)[case_id]
    assert answer["truncated"] is cut


def test_dimensions():
    """The first values, normalised again."""
    items = [{"id": d, "text": "hello world", "dimensions": d} for d in (64, 100, 256)]
    full = np.array(harness.golden_run("embed", "small", "small-embed", 0)["official-hello"]["embedding"])
    for answer in harness.run_lines("embed", harness.folder("small"), items):
        want = full[:answer["id"]] / np.linalg.norm(full[:answer["id"]])
        harness.check_vector(answer["embedding"], want)


def test_not_normalised():
    items = [{"id": 0, "text": "hello world", "normalize": False}, {"id": 1, "text": "hello world"}]
    natural, unit = (np.array(a["embedding"]) for a in harness.run_lines("embed", harness.folder("tiny"), items))
    length = np.linalg.norm(natural)
    assert abs(length - 1) > 0.1
    assert np.abs(natural / length - unit).max() < 1e-6
