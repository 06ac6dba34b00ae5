"""The same weights in every form a checkpoint takes give the same bytes."""
import os
import shutil

import pytest

import dummy_weights
import harness

ITEMS = [harness.question(c) for c in harness.stored("tiny-embed") if not harness.is_visual(c)][:24]
PICTURE = {"id": "picture", "image": "small.png", "text": "a picture"}


def with_weights(tmp_path, shape, **form):
    """A copy of a checkpoint folder with real safetensors in it."""
    folder = os.path.join(tmp_path, "model")
    shutil.copytree(harness.folder(shape), folder, copy_function=os.link)
    dummy_weights.write(folder, **form)
    return folder


def vectors(model, seed, items=ITEMS):
    return [harness.vector_bytes(a) for a in harness.run_lines("embed", model, items, seed=seed)]


@pytest.mark.parametrize("form", [
    {}, {"dtype": "f32"}, {"shards": 3}, {"names": "bare"}, {"names": "old"},
    {"dtype": "f32", "shards": 2, "names": "bare"}, {"seed": 7}, {"seed": 18446744073709551615},
], ids=lambda form: "-".join(map(str, form.values())) or "bf16")
def test_file_equals_rule(tmp_path, form):
    model = with_weights(tmp_path, "tiny", **form)
    assert vectors(model, None) == vectors(harness.folder("tiny"), form.get("seed", 0))


def test_untied_head_is_no_hindrance(tmp_path):
    model = with_weights(tmp_path, "untied")
    assert vectors(model, None) == vectors(harness.folder("untied"), 0)


def test_half_precision(tmp_path):
    """f16 tensors mean their own rounded values: the same as an f32 file of those."""
    (tmp_path / "half").mkdir()
    (tmp_path / "full").mkdir()
    half = with_weights(tmp_path / "half", "tiny", dtype="f16")
    full = with_weights(tmp_path / "full", "tiny", dtype="f32-of-f16")
    assert vectors(half, None) == vectors(full, None)
    assert vectors(half, None) != vectors(harness.folder("tiny"), 0)


@pytest.mark.parametrize("form", [{"dtype": "f32"}, {"names": "old", "shards": 4}], ids=["f32", "old"])
def test_picture_through_file(tmp_path, form):
    model = with_weights(tmp_path, "tiny", **form)
    assert vectors(model, None, [PICTURE]) == vectors(harness.folder("tiny"), 0, [PICTURE])


def test_seeds_differ():
    found = {seed: vectors(harness.folder("tiny"), seed, ITEMS[:1])[0] for seed in (0, 1, 7)}
    assert len(set(found.values())) == 3
