"""Ctrl-C and the progress line."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

import harness
from models import TINY


@pytest.fixture
def many(tmp_path):
    """More work than any test waits for."""
    path = tmp_path / "many.jsonl"
    with open(path, "w", encoding="utf-8") as f:
        for i in range(200_000):
            f.write(json.dumps({"id": i, "text": f"number {i} of very many"}) + "\n")
    return path


def start(*arguments, **options):
    return subprocess.Popen([harness.QVEC, "embed", *TINY, *map(str, arguments)], **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_output_is_whole_lines(many, tmp_path, number):
    out = tmp_path / "out.jsonl"
    process = start(many, "--output", out, stderr=subprocess.PIPE)
    while not (out.exists() and out.stat().st_size > 10_000):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    said = process.communicate(timeout=20)[1].decode()
    assert process.returncode == 130 and re.search(r"interrupted after \d+ answers; --resume", said)
    text = out.read_text()
    assert text.endswith("}\n")
    ids = [json.loads(line)["id"] for line in text.splitlines()]
    assert ids == list(range(len(ids))) and f"after {len(ids)} answers" in said


def test_interrupted_while_waiting_for_input():
    process = start("-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b'{"text":"a"}\n')
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    process.stdin.close()


def test_interrupted_matrix_can_be_read(many, tmp_path):
    np = pytest.importorskip("numpy")
    out = tmp_path / "out.npy"
    process = start(many, "--output", out, "--format", "npy", stderr=subprocess.PIPE)
    while not (out.exists() and out.stat().st_size > 100_000):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    found = np.load(out)
    assert found.shape[0] > 300 and found.shape[1] == 64 and np.isfinite(found).all()
    process.stderr.close()


def read_terminal(leader, process, until, seconds=30):
    text, end = b"", time.monotonic() + seconds
    while time.monotonic() < end and not re.search(until, text):
        if select.select([leader], [], [], 0.1)[0]:
            try:
                text += os.read(leader, 4096)
            except OSError:
                break
    return text


def test_progress_on_a_terminal(many):
    leader, follower = pty.openpty()
    process = start(many, stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    text = read_terminal(leader, process, rb"left.*left")
    process.send_signal(signal.SIGINT)
    text += read_terminal(leader, process, rb"interrupted after")
    assert process.wait(20) == 130
    os.close(leader)
    assert re.search(rb"\r\[[#-]{16}\] +\d+%  \d+ done  [\d.]+/s  \d+ tokens/s  \d+:\d\d left\x1b\[K", text), text
    assert b"tokens in" in text and b"interrupted after" in text


def test_no_progress_when_told_or_quick(tmp_path):
    (tmp_path / "few").write_text('{"text":"a"}\n' * 3)
    for flags in ([], ["--no-progress"]):
        leader, follower = pty.openpty()
        process = start(tmp_path / "few", *flags, stdout=subprocess.DEVNULL, stderr=follower)
        os.close(follower)
        assert process.wait(20) == 0
        assert read_terminal(leader, process, rb"never", 0.3) == b""
        os.close(leader)
