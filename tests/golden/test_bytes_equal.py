"""An answer's bytes do not depend on company, order, threads, kernel tier or batch limits."""
import random

import pytest

import harness

SHAPE = "small"
TEXTS = [harness.question(c) for c in harness.stored("small-embed") if not harness.is_visual(c)]
LENGTHS = {c["id"]: len(c["ids"]) for c in harness.stored("small-embed")}
PICTURES = [harness.question(c) for c in harness.stored("small-embed")
            if c["id"] in ("image-small.png", "image-odd444.jpg", "image-text", "frames-2", "mixture")]
STRANGERS = [harness.question(c) for c in harness.stored("extra-untied-embed")
             if not harness.is_visual(c) and len(c["ids"]) < 1500][:40]


def vectors(items, *flags):
    answers = harness.run_lines("embed", harness.folder(SHAPE), items, *flags)
    return {a["id"]: harness.vector_bytes(a) for a in answers}


@pytest.fixture(scope="module")
def alone():
    """A process of its own for each."""
    found = {}
    for item in TEXTS[:6]:
        found.update(vectors([item]))
    return found


@pytest.fixture(scope="module")
def together():
    return vectors(TEXTS)


def test_alone_equals_together(alone, together):
    assert alone == {key: together[key] for key in alone}


@pytest.mark.parametrize("seed", [1, 2])
def test_any_order(together, seed):
    shuffled = TEXTS[:]
    random.Random(seed).shuffle(shuffled)
    assert vectors(shuffled) == together


def test_among_strangers(together):
    assert len(STRANGERS) == 40
    mixed = STRANGERS[:25] + TEXTS[:8] + STRANGERS[25:]
    found = vectors(mixed)
    assert {item["id"]: found[item["id"]] for item in TEXTS[:8]} == {item["id"]: together[item["id"]] for item in TEXTS[:8]}


@pytest.mark.parametrize("flags", [
    ("--threads", "1"), ("--threads", "2"), ("--threads", "5"),
    ("--cpu-tier", "c"), ("--cpu-tier", "avx2"), ("--cpu-tier", "avx512"),
    ("--max-num-batched-tokens", "64"), ("--max-num-batched-tokens", "16384"),
], ids=" ".join)
def test_any_machine(together, flags):
    # Plain C has no fused multiply-add of its own and takes minutes for the longest.
    items = [item for item in TEXTS if "c" not in flags or LENGTHS[item["id"]] < 600]
    assert len(items) > 20
    assert vectors(items, *flags) == {item["id"]: together[item["id"]] for item in items}


@pytest.fixture(scope="module")
def pictures_together():
    return vectors(TEXTS[:10] + PICTURES)


def test_pictures_alone(pictures_together):
    for item in PICTURES:
        assert vectors([item])[item["id"]] == pictures_together[item["id"]]


def test_pictures_twice_in_one_run(pictures_together):
    """The second time the features come from the cache."""
    again = [{**item, "id": item["id"] + " again"} for item in PICTURES]
    found = vectors(PICTURES + again + TEXTS[:10])
    for item in PICTURES:
        assert found[item["id"]] == found[item["id"] + " again"] == pictures_together[item["id"]]


@pytest.mark.parametrize("flags", [("--threads", "1"), ("--cpu-tier", "c")], ids=" ".join)
def test_pictures_on_any_machine(pictures_together, flags):
    items = [item for item in PICTURES if "c" not in flags or LENGTHS[item["id"]] < 150]
    found = vectors(items, *flags)
    assert len(found) > 1 and found == {key: pictures_together[key] for key in found}
