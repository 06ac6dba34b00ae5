"""Small files that promise much: each ends within its limits, through the program, with memory under a stated cap."""
import io
import json
import os
import struct
import subprocess
import time
import zlib

import pytest
from PIL import Image

import dump as dumping

QVEC = os.environ.get("QVEC_BIN", os.path.join(dumping.BUILD, "qvec"))
MODEL = os.path.join(os.environ.get("QVEC_TEST_CHECKPOINTS", os.path.join(dumping.BUILD, "tests", "checkpoints")), "tiny-embedding")
with open(QVEC, "rb") as program:
    SANITIZED = b"__asan_init" in program.read()
CAP_MB = float("inf") if SANITIZED else 700  # shadow memory is not the program's
SLOWER = 5 if SANITIZED else 1


def png_of(width, height, rows=b""):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def jpeg_of(width, height):
    """A real JPEG whose frame header states another size."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "JPEG")
    data = bytearray(out.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at:at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def gif_of(frames, width, height):
    """Frames of one pixel each, in turn of two colours, on a canvas of this size."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    control = b"\x21\xf9\x04\x00" + struct.pack("<H", 4) + b"\0\0"
    def frame(i):
        code = 4 | (i & 1) << 3 | 5 << 6  # clear, the pixel, end: three bits each
        return control + b"\x2c" + struct.pack("<HHHHB", i % width, i // width % height, 1, 1, 0) + b"\x02\x02" + struct.pack("<H", code) + b"\0"
    return head + b"".join(map(frame, range(frames))) + b";"


def embed(folder, field, data, *flags):
    """(answer, seconds, peak megabytes) of one file in one process."""
    (folder / "bomb").write_bytes(data)
    started = time.monotonic()
    process = subprocess.Popen([QVEC, "embed", MODEL, "--load-format", "dummy", *flags, "-"], cwd=folder, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(json.dumps({field: "bomb"}) + "\n")
    process.stdin.close()
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in (0, 1), err
    return json.loads(out), (time.monotonic() - started) / SLOWER, usage.ru_maxrss / 1024


@pytest.mark.parametrize("data, code, word", [
    (png_of(50000, 50000), "media_limit", "pixels"),
    (png_of(9000, 9000), "image_decode", ""),  # within the limit, but the rows are not there
    (jpeg_of(65500, 65500), "media_limit", "pixels"),
], ids=["png-50000", "png-no-rows", "jpeg-65500"])
def test_pictures(tmp_path, data, code, word):
    answer, seconds, megabytes = embed(tmp_path, "image", data)
    assert answer["error"]["code"] == code and word in answer["error"]["message"]
    assert seconds < 20 and megabytes < CAP_MB


def test_gif_of_ten_thousand_frames(tmp_path):
    data = gif_of(10000, 1000, 1000)
    assert len(data) < 400000
    answer, seconds, megabytes = embed(tmp_path, "video", data, "--max-video-frames", "9999")
    assert answer["error"]["code"] == "media_limit" and "9999" in answer["error"]["message"]
    assert seconds < 20 and megabytes < CAP_MB
    answer, seconds, megabytes = embed(tmp_path, "video", data, "--max-decode-seconds", "1")
    assert "embedding" in answer or answer["error"]["code"] == "media_limit", answer
    assert seconds < 30 and megabytes < CAP_MB
    answer, seconds, megabytes = embed(tmp_path, "image", data)  # its first frame
    assert "embedding" in answer and megabytes < CAP_MB


@pytest.mark.parametrize("data", [b"GIF89a" + struct.pack("<HHBBB", 100, 100, 0, 0, 0) + b";",
                                  b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0\0\0\x08moov"], ids=["gif", "mp4"])
def test_video_without_frames(tmp_path, data):
    answer, seconds, megabytes = embed(tmp_path, "video", data)
    assert answer["error"]["code"] == "video_decode"
    assert seconds < 20 and megabytes < CAP_MB


def test_flags_set_the_limits(tmp_path):
    for flag, value, word in (("--max-media-bytes", "100", "100 bytes"), ("--max-image-pixels", "1000", "1000 pixels"),
                              ("--max-image-side", "50", "50 pixels a side")):
        with open(os.path.join(dumping.ASSETS, "vga.png"), "rb") as f:
            answer, _, _ = embed(tmp_path, "image", f.read(), flag, value)
        assert answer["error"]["code"] == "media_limit" and word in answer["error"]["message"], answer
    with open(os.path.join(dumping.ASSETS, "h264.mp4"), "rb") as f:
        answer, _, _ = embed(tmp_path, "video", f.read(), "--max-decoded-bytes", "1000")
    assert answer["error"]["code"] == "media_limit" and "1000" in answer["error"]["message"], answer
