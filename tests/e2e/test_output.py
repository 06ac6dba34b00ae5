"""Where answers go: forms, files, resuming, sharding, pipes."""
import io
import json
import os
import subprocess

import numpy as np
import pytest

import harness
from models import TINY

ITEMS = [{"id": f"item {i}", "text": f"number {i}"} for i in range(20)]


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(i) + "\n" for i in ITEMS))
    return path


@pytest.fixture(scope="module")
def expected(qvec):
    done = qvec("embed", *TINY, "-", text="".join(json.dumps(i) + "\n" for i in ITEMS))
    return done.out.splitlines()


def matrix(expected):
    return np.array([json.loads(line)["embedding"] for line in expected], np.float32)


def test_jsonl_file(qvec, items, tmp_path, expected):
    done = qvec("embed", *TINY, items, "--output", tmp_path / "out")
    assert (done.status, done.raw) == (0, b"") and (tmp_path / "out").read_text().splitlines() == expected


def test_json_is_one_list(qvec, items, expected):
    assert json.loads(qvec("embed", *TINY, items, "--format", "json").out) == [json.loads(line) for line in expected]
    assert json.loads(qvec("embed", *TINY, "--format", "json", "-", text="").out) == []


@pytest.mark.parametrize("where", ["file", "pipe"])
def test_npy(qvec, items, tmp_path, expected, where):
    flags = ["--output", tmp_path / "out.npy"] if where == "file" else []
    done = qvec("embed", *TINY, items, "--format", "npy", *flags)
    found = np.load(tmp_path / "out.npy" if where == "file" else io.BytesIO(done.raw))
    assert done.status == 0 and found.dtype == np.float32 and found.tobytes() == matrix(expected).tobytes()
    assert found.shape == (20, 64)


def test_bin(qvec, items, expected):
    assert qvec("embed", *TINY, items, "--format", "bin").raw == matrix(expected).tobytes()


def test_failed_items_are_rows_of_nan(qvec):
    text = '{"text":"a"}\n{"image":"none.png"}\n{"text":"a","dimensions":8}\n{"text":"a"}\n'
    done = qvec("embed", *TINY, "--format", "npy", "-", text=text)
    found = np.load(io.BytesIO(done.raw))
    assert done.status == 1 and "line 2: " in done.err and "line 3: " in done.err
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, False] and (found[0] == found[3]).all()


def test_dimensions_of_a_matrix(qvec, items):
    assert np.load(io.BytesIO(qvec("embed", *TINY, items, "--format", "npy", "--dimensions", "8").raw)).shape == (20, 8)
    assert qvec("embed", *TINY, items, "--dimensions", "65").status == 2


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -2, 5000])
def test_resume(qvec, items, tmp_path, expected, cut):
    """A run that was killed anywhere goes on, and the file is as if it had never stopped."""
    whole = "\n".join(expected) + "\n"
    (tmp_path / "out").write_text(whole[:cut] if cut else "")
    done = qvec("embed", *TINY, items, "--output", tmp_path / "out", "--resume")
    assert done.status == 0 and (tmp_path / "out").read_text() == whole


def test_resume_without_a_file_and_when_all_is_done(qvec, items, tmp_path, expected):
    for _ in range(2):
        assert qvec("embed", *TINY, items, "--output", tmp_path / "out", "--resume").status == 0
        assert (tmp_path / "out").read_text().splitlines() == expected


def test_resume_without_ids(qvec, tmp_path):
    (tmp_path / "in").write_text('{"text":"a"}\n{"text":"b"}\n{"text":"c"}\n')
    qvec("embed", *TINY, tmp_path / "in", "--output", tmp_path / "out")
    whole = (tmp_path / "out").read_text()
    (tmp_path / "out").write_text("".join(whole.splitlines(True)[:2]))
    assert qvec("embed", *TINY, tmp_path / "in", "--output", tmp_path / "out", "--resume").status == 0
    assert (tmp_path / "out").read_text() == whole


def test_resume_is_careful(qvec, items, tmp_path):
    (tmp_path / "out").write_text("a shopping list\nmilk\n")
    done = qvec("embed", *TINY, items, "--output", tmp_path / "out", "--resume")
    assert done.status == 2 and (tmp_path / "out").read_text() == "a shopping list\nmilk\n"
    assert qvec("embed", *TINY, items, "--resume").status == 2
    assert qvec("embed", *TINY, items, "--resume", "--output", tmp_path / "x", "--format", "npy").status == 2


def test_shards_are_a_partition(qvec, items, expected):
    found = []
    for i in range(3):
        part = qvec("embed", *TINY, items, "--shard", f"{i}/3").out.splitlines()
        assert part == expected[i::3]
        found += part
    assert sorted(found) == sorted(expected)
    assert qvec("embed", *TINY, items, "--shard", "3/3").status == 2


def test_unwritable_output(qvec, items):
    done = qvec("embed", *TINY, items, "--output", "/no/such/folder/out")
    assert done.status == 2 and "/no/such/folder/out" in done.err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_disk(qvec, items):
    done = qvec("embed", *TINY, items, "--output", "/dev/full")
    assert done.status == 1 and "No space left" in done.err


def test_broken_pipe_is_quiet(items, tmp_path):
    (tmp_path / "many").write_text(items.read_text() * 300)
    process = subprocess.Popen([harness.QVEC, "embed", *TINY, tmp_path / "many"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(60) != 0


def test_answers_come_while_the_input_goes_on():
    """An endless pipe: each answer arrives although no more lines and no end follow."""
    process = subprocess.Popen([harness.QVEC, "embed", *TINY, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for i in range(3):
        process.stdin.write(json.dumps({"id": i, "text": "x"}).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == i
    process.stdin.close()
    assert process.wait(30) == 0


def test_memory_is_bounded():
    """More lines than the program may hold at a time: they wait in the pipe."""
    line = json.dumps({"text": "a", "prompt": "raw", "carried": "x" * 100_000}).encode() + b"\n"
    command = [harness.QVEC, "embed", *TINY, "--max-model-len", "2048", "-"]
    process = subprocess.Popen(["bash", "-c", 'ulimit -v 1000000; exec "$@"', "-", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    reader = subprocess.Popen(["wc", "-l"], stdin=process.stdout, stdout=subprocess.PIPE)
    process.stdout.close()
    for _ in range(2500):
        process.stdin.write(line)
    process.stdin.close()
    assert int(reader.communicate(timeout=60)[0]) == 2500 and process.wait(30) == 0
