"""Decoded pictures equal, byte for byte, what the reference gets: Pillow, RGBA pasted on white, the rest converted to RGB."""
import io
import os

import numpy as np
import pytest
from PIL import Image, ImageOps

import dump as dumping
from pictures import every_picture, picture, save

SEED = int(os.environ.get("QVEC_TEST_SEED", "7"))


def to_rgb(image):
    """qwen_vl_utils.vision_process.to_rgb"""
    if image.mode == "RGBA":
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.split()[3])
        return np.asarray(white)
    return np.asarray(image.convert("RGB"))


def differs(got, expected):
    if got.shape != expected.shape:
        return f"shape {got.shape}, expected {expected.shape}"
    wrong = np.argwhere((got != expected).any(-1))
    if len(wrong):
        y, x = wrong[0]
        return f"{len(wrong)} pixels of {got.shape}, first ({y},{x}): {got[y, x]}, expected {expected[y, x]}"
    return None


PICTURES = sorted(f for f in os.listdir(dumping.ASSETS) if f.rpartition(".")[2] in ("jpg", "png", "webp", "gif", "bmp"))


@pytest.mark.parametrize("name", PICTURES)
def test_assets(dump, name):
    path = os.path.join(dumping.ASSETS, name)
    assert not differs(dump.image(path), to_rgb(Image.open(path)))


@pytest.mark.filterwarnings("ignore:Palette images")
def test_every_mode_and_format(dump, tmp_path):
    wrong, count = [], 0
    for name, data in every_picture(SEED):
        path = tmp_path / "picture"  # no extension: content tells the format
        path.write_bytes(data)
        expected = to_rgb(Image.open(io.BytesIO(data)))
        count += 1
        try:
            difference = differs(dump.image(path), expected)
        except dumping.Failed as e:
            difference = str(e)
        if difference:
            wrong.append(f"{name}: {difference}")
    assert not wrong, f"seed {SEED}: {len(wrong)} of {count} pictures differ\n" + "\n".join(wrong[:40])
    assert count > 400


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_upright(dump, tmp_path, format):
    random = np.random.default_rng(SEED)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        options = {"exif": exif} if format != "TIFF" else {"tiffinfo": {274: orientation}}
        path = tmp_path / "picture"
        path.write_bytes(save(picture("RGB", (23, 14), random), format, **options))
        image = Image.open(path)
        assert not differs(dump.image(path, upright=True), to_rgb(ImageOps.exif_transpose(image)))
        assert not differs(dump.image(path), to_rgb(Image.open(path)))
