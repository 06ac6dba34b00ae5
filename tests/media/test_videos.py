"""Videos: frame count, rate and every frame's bytes equal those of the reference's reader (decord); picks equal the whole."""
import os

import numpy as np
import pytest
from PIL import Image

import clips
import dump as dumping
from pictures import picture, save

decord = pytest.importorskip("decord", reason="decord has no build for this machine")
SEED = int(os.environ.get("QVEC_TEST_SEED", "7"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


def check_same(dump, path):
    reader = decord.VideoReader(path)
    frames, rate, _ = dump.video(path)
    assert (frames, rate) == (len(reader), reader.get_avg_fps())
    expected = reader.get_batch(range(frames)).asnumpy()
    got = dump.video(path, range(frames))[2]
    worst = [int(np.abs(g.astype(int) - e).max()) if g.shape == e.shape else (g.shape, e.shape) for g, e in zip(got, expected)]
    assert worst == [0] * frames
    return got


def check_picks(dump, path, frames, count=6):
    random = np.random.default_rng(SEED)
    for _ in range(count):
        indices = sorted(random.integers(0, len(frames), int(random.integers(1, 6))).tolist())
        for i, got in zip(indices, dump.video(path, indices)[2]):
            assert np.array_equal(got, frames[i]), f"frame {i} of {indices}"


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "lossless_rgb.mkv"])
def test_assets(dump, name):
    path = os.path.join(dumping.ASSETS, name)
    check_picks(dump, path, check_same(dump, path))


@pytest.mark.parametrize("name", clips.CLIPS)
def test_clips(dump, folder, name):
    try:
        path = clips.make(folder, name)
    except clips.av.FFmpegError as e:
        pytest.skip(f"this PyAV cannot write {name}: {e}")
    check_picks(dump, path, check_same(dump, path))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned(dump, folder, degrees):
    clips.encode(str(folder / "plain.mp4"), "libx264", "yuv420p", frames=6)
    plain = dump.video(folder / "plain.mp4", range(6))[2]
    got = check_same(dump, clips.turned(str(folder / "plain.mp4"), degrees))
    assert all(np.array_equal(g, np.rot90(p, -degrees // 90)) for g, p in zip(got, plain))


def test_animated_gif(dump, folder):
    clips.encode(str(folder / "a.gif"), "gif", "rgb8", rate=10, frames=12)
    frames, rate, got = dump.video(folder / "a.gif", range(12))
    assert (frames, rate) == (12, 10)
    expected = Image.open(folder / "a.gif")
    for i, g in enumerate(got):
        expected.seek(i)
        assert np.array_equal(g, np.asarray(expected.convert("RGB"))), f"frame {i}"
    check_picks(dump, folder / "a.gif", got)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_animated_webp(dump, folder, mode):
    random = np.random.default_rng(SEED)
    pictures = [picture(mode, (31, 22), random) for _ in range(7)]
    path = folder / "a.webp"
    path.write_bytes(save(pictures[0], "WEBP", save_all=True, append_images=pictures[1:], duration=[100] * 6 + [400], lossless=True))
    frames, rate, got = dump.video(path, range(7))
    assert (frames, rate) == (7, 7.0)
    for g, p in zip(got, pictures):
        white = Image.new("RGB", p.size, (255, 255, 255))
        white.paste(p, mask=p.split()[3] if mode == "RGBA" else None)
        assert np.array_equal(g, np.asarray(white))
    check_picks(dump, path, got)


def test_cut_off(dump, folder):
    clips.encode(str(folder / "whole.mp4"), "libx264", "yuv420p", container={"movflags": "faststart"})
    data = (folder / "whole.mp4").read_bytes()
    for part in (0.3, 0.6, 0.95):
        (folder / "cut.mp4").write_bytes(data[:int(len(data) * part)])
        with pytest.raises(dumping.Failed) as e:
            dump.video(folder / "cut.mp4", [0])
        assert e.value.code == "video_decode"
