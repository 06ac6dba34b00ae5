"""`--quantization int8`: how near to full precision, with and without outliers; the same bytes in any company."""

import numpy as np
import pytest

import harness
import outliers
import test_2b_goldens

INT8 = ("--quantization", "int8")
CASES = harness.stored("small-embed")
TEXTS = [harness.question(c) for c in CASES if not harness.is_visual(c) and len(c["ids"]) < 1200]
PICTURES = [harness.question(c) for c in CASES if c["id"] in ("image-small.png", "image-text", "frames-2", "mixture")]


def cosine(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def run(items, *flags, model=None, seed=0, **options):
    answers = harness.run_lines("embed", model or harness.folder("small"), items, *flags, seed=seed, **options)
    return {a["id"]: a for a in answers}


@pytest.fixture(scope="module")
def quantised():
    return run([harness.question(c) for c in CASES], *INT8)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_near_the_reference(quantised, case):
    found = cosine(quantised[case["id"]]["embedding"], case["embedding"])
    assert 0.9995 < found < 0.9999999, found  # the upper bound: it is quantised indeed


CASES_2B = harness.stored("2b-embed")


@pytest.fixture(scope="module")
def quantised_2b():
    if test_2b_goldens.available_memory() < 8 << 30:
        pytest.skip("less than 8 GB of memory is available")
    return run([harness.question(c) for c in CASES_2B], *INT8, model=harness.folder("2b"), timeout=900)


@pytest.mark.parametrize("case", CASES_2B, ids=lambda c: c["id"])
def test_near_the_reference_2b(quantised_2b, case):
    found = cosine(quantised_2b[case["id"]]["embedding"], case["embedding"])
    assert 0.9995 < found < 0.9999999, found


def test_scores():
    items = harness.stored("small-rerank")
    answers = harness.run_lines("rerank", harness.folder("small", "reranker"), [harness.question(c) for c in items], *INT8)
    for item, answer in zip(items, answers):
        assert np.abs(np.array(answer["scores"]) - item["scores"]).max() < 0.02


@pytest.fixture(scope="module")
def bytes_together(quantised):
    return {key: harness.vector_bytes(a) for key, a in quantised.items()}


@pytest.mark.parametrize("flags", [
    ("--threads", "1"), ("--threads", "5"), ("--threads", "64"), ("--cpu-tier", "c"), ("--cpu-tier", "avx2"),
    ("--max-num-batched-tokens", "64"), ("--max-num-batched-tokens", "16384"), ("--prefix-cache", "0"),
], ids=" ".join)
def test_same_bytes_on_any_machine(bytes_together, flags):
    items = TEXTS[:30] + PICTURES
    if "c" in flags:
        items = [i for i in items if len(next(c for c in CASES if c["id"] == i["id"])["ids"]) < 150]
    for key, answer in run(items, *INT8, *flags).items():
        assert harness.vector_bytes(answer) == bytes_together[key], key


def test_same_bytes_alone(bytes_together):
    for item in TEXTS[:4] + PICTURES[:1]:
        assert harness.vector_bytes(run([item], *INT8)[item["id"]]) == bytes_together[item["id"]]


# ---- outliers ------------------------------------------------------------------------------------------

@pytest.fixture(scope="module", params=[True, False], ids=["balanced", "bare"])
def planted(request, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("outliers") / "model")
    outliers.write(harness.folder("small"), folder, request.param)
    return folder, request.param


def test_outliers(planted):
    folder, balanced = planted
    cases = [c for c in CASES if len(c["ids"]) < 400]
    items = [harness.question(c) for c in cases]
    full = run(items, model=folder, seed=None)
    found = run(items, *INT8, model=folder, seed=None)
    for case in cases:
        key = case["id"]
        if balanced:  # the same network as before
            assert cosine(full[key]["embedding"], case["embedding"]) > 0.999999
        # 128 inputs of the small vision tower are two groups of 64, one of which a bare outlier takes whole.
        least = 0.999 if balanced or not harness.is_visual(case) else 0.998
        assert cosine(found[key]["embedding"], full[key]["embedding"]) > least, key
