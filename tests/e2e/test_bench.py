"""qvec bench latency and throughput: the model in process."""
import json
import re
import signal
import subprocess
import time

import pytest

import harness
from models import RERANKER, TINY


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("model", [TINY, RERANKER], ids=["embed", "rerank"])
def test_latency(qvec, tmp_path, model):
    out = tmp_path / "out.json"
    done = qvec("bench", "latency", *model, "--input-len", 50, "--batch-size", 4, "--num-iters", 6, "--num-iters-warmup", 1, "--output-json", out)
    assert done.status == 0, done.err
    found = read(out)
    values = found["latencies"]
    assert len(values) == 6 and min(values) > 0
    assert abs(found["avg_latency"] - sum(values) / 6) < 1e-6
    assert list(found["percentiles"]) == ["10", "25", "50", "75", "90", "99"]
    assert abs(found["percentiles"]["50"] - sum(sorted(values)[2:4]) / 2) < 1e-6
    assert f"Avg latency: {found['avg_latency']:.6f} seconds\n10% percentile latency: " in done.out
    # raw: exactly 50, the end token included; a pair stands in the reranker's prompt
    assert found["total_num_tokens"] == 6 * 4 * 50 if model is TINY else found["total_num_tokens"] > 6 * 4 * 50


@pytest.mark.parametrize("model", [TINY, RERANKER], ids=["embed", "rerank"])
def test_throughput(qvec, tmp_path, model):
    out = tmp_path / "out.json"
    done = qvec("bench", "throughput", *model, "--num-prompts", 40, "--random-input", 30, "--output-json", out)
    assert done.status == 0, done.err
    found = read(out)
    assert list(found) == ["elapsed_time", "num_requests", "total_num_tokens", "requests_per_second", "tokens_per_second"]
    assert found["num_requests"] == 40 and (found["total_num_tokens"] == 1200 if model is TINY else found["total_num_tokens"] > 1200)
    assert abs(found["requests_per_second"] * found["elapsed_time"] - 40) < 1e-3
    assert re.search(rf"^Throughput: {found['requests_per_second']:.2f} requests/s, [\d.]+ total tokens/s$", done.out, re.M)


def test_lengths_are_drawn_from_the_range(qvec, tmp_path):
    out = tmp_path / "out.json"
    assert qvec("bench", "throughput", *TINY, "--num-prompts", 200, "--input-len", 50, "--random-range-ratio", 0.5, "--output-json", out).status == 0
    mean = read(out)["total_num_tokens"] / 200
    assert mean != 50 and 45 < mean < 55  # 25 to 75, evenly: six deviations are 6.1


def test_bad_calls(qvec, tmp_path):
    assert qvec("bench").status == 2 and qvec("bench", "--help").status == 0
    assert "no benchmark" in qvec("bench", "speed").err
    assert qvec("bench", "latency", *TINY, "--batch-size", 0).status == 2
    assert qvec("bench", "latency", *TINY, "--model", "x").status == 2
    assert qvec("bench", "latency", "/no/such/model").status == 3
    done = qvec("bench", "throughput", *TINY, "--num-prompts", 1, "--input-len", 8, "--output-json", tmp_path / "none" / "x")
    assert done.status == 1 and "cannot be written" in done.err and "Throughput" in done.out
    done = qvec("bench", "latency", *TINY, "--max-model-len", 100, "--input-len", 101, "--num-iters-warmup", 0)
    assert done.status == 1 and "101" in done.err and done.out == ""


@pytest.mark.parametrize("arguments", [["latency", "--num-iters", "1000000"], ["throughput", "--num-prompts", "4000", "--input-len", "100"]])
def test_interrupted_runs_report(arguments):
    command = [harness.QVEC, "bench", arguments[0], *TINY, *arguments[1:], "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert b"inputs" in process.stderr.readline()  # the texts are there
    time.sleep(0.6)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and b"interrupted after" in err, err
    assert (b"Avg latency" in out) if arguments[0] == "latency" else (b"Throughput" in out)
