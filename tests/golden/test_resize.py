"""The picture resampler against Pillow's own and the video resampler against a stored digest of torchvision's answers,
byte for byte, over sizes and contents of every awkward kind."""
import hashlib
import os
import subprocess

import numpy as np
import PIL.Image
import pytest

import harness

# What torchvision 0.29.2 with torch 2.15.0 makes of jobs("torch", 450); `python test_resize.py` prints it.
TORCH_DIGEST = "c8c83ae9bda887207f351ca4843a46e09e865b928fb562ad3fa511c1a185f520"
DUMP = os.path.join(harness.BUILD, "tests", "golden", "resize_dump")


def resize(jobs):
    """[(mode, picture, height, width)] -> [resized picture]"""
    request = b"".join(b"%s %d %d %d %d\n" % (mode.encode(), *a.shape[:2], h, w) + a.tobytes() for mode, a, h, w in jobs)
    done = subprocess.run([DUMP], input=request, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    out, at = [], 0
    for _, _, h, w in jobs:
        out.append(np.frombuffer(done.stdout, np.uint8, h * w * 3, at).reshape(h, w, 3))
        at += h * w * 3
    assert at == len(done.stdout)
    return out


def pillow(picture, height, width):
    return np.asarray(PIL.Image.fromarray(picture).resize((width, height), PIL.Image.Resampling.BICUBIC))


def noise(seed, count):
    """Bytes of splitmix64: the same with every version of numpy."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, count // 8 + 2, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))).view(np.uint8)[:count]


def picture(seed, height, width, kind):
    grain = noise(seed, height * width * 3).reshape(height, width, 3)
    if kind == 0:  # noise: every weight counts
        return grain
    if kind == 1:  # black and white: overshoot on both sides, clipping
        return (grain >> 7) * np.uint8(255)
    if kind == 2:  # a gradient: rounding
        y, x = np.mgrid[0:height, 0:width]
        return np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) % 256], -1).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(grain[:1, :1], grain.shape))  # one colour must stay that colour


def sizes(seed):
    """Small and odd, one pixel wide or high, one axis kept, strong shrinking, strong growing."""
    h, w, to_h, to_w = (1 + int(v) % 89 for v in noise(seed + 1000, 4))
    to_h, to_w = max(to_h, 2), max(to_w, 2)
    return [(h, w, to_h, to_w), (h + 1, w, h + 1, to_w), (h, w + 1, to_h, w + 1), (1, w, to_h, to_w), (h, 1, to_h, 32),
            (h * 17, w, 32, to_w), (h, w * 23, to_h, 32), (h, w, 32 * (1 + h % 9), 32 * (1 + w % 9)),
            (h + 1, w + 1, h + 1, w + 1)][seed % 9]


def jobs(mode, count):
    made = []
    for seed in range(count):
        h, w, to_h, to_w = sizes(seed)
        made.append((mode, picture(seed, h, w, seed // 9 % 4), to_h, to_w))
    return made


def name(job):
    mode, a, h, w = job
    return f"{mode} {a.shape[1]}x{a.shape[0]} -> {w}x{h}"


def test_pillow_equal_bytes():
    asked = jobs("pillow", 450)
    for job, got in zip(asked, resize(asked)):
        want = pillow(*job[1:])
        assert np.array_equal(got, want), f"{name(job)}: {(got != want).sum()} bytes differ"


@pytest.mark.parametrize("height, width, to_height, to_width",
                         [(3000, 4000, 1152, 1536), (4000, 3000, 1536, 1152), (2160, 3840, 1024, 1792)])
def test_pillow_large(height, width, to_height, to_width):
    a = picture(7, height, width, 0)
    assert np.array_equal(resize([("pillow", a, to_height, to_width)])[0], pillow(a, to_height, to_width))


def test_pillow_order_of_passes():
    """On both sides of the rule by which Pillow 13 goes down the columns first."""
    asked = [("pillow", picture(h, h, w, 0), 64, 64) for h in (65, 72, 73, 74, 75, 96) for w in (60, 63, 64, 65, 68, 69, 80)]
    for job, got in zip(asked, resize(asked)):
        assert np.array_equal(got, pillow(*job[1:])), name(job)


def test_torch_equal_bytes():
    digest = hashlib.sha256(b"".join(got.tobytes() for got in resize(jobs("torch", 450))))
    assert digest.hexdigest() == TORCH_DIGEST


def torch_digest():
    import torch
    from torchvision.transforms import InterpolationMode, functional
    digest = hashlib.sha256()
    for _, a, h, w in jobs("torch", 450):
        frames = torch.from_numpy(a[None]).permute(0, 3, 1, 2)
        resized = functional.resize(frames, [h, w], interpolation=InterpolationMode.BICUBIC, antialias=True)
        digest.update(resized[0].permute(1, 2, 0).contiguous().numpy().tobytes())
    return digest.hexdigest()


if __name__ == "__main__":  # with the packages of requirements-oracle.txt, on a machine with AVX2
    print(torch_digest())
