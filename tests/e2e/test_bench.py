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


def throughput(qvec, tmp_path, model, *flags):
    done = qvec("bench", "throughput", *model, "--output-json", tmp_path / "out.json", *flags)
    assert done.status == 0, done.err
    return read(tmp_path / "out.json"), done


@pytest.mark.parametrize("command, count", [("throughput", ["--num-prompts", 20]), ("latency", ["--batch-size", 20, "--num-iters", 1, "--num-iters-warmup", 0])])
def test_prefixes_come_on_top(qvec, tmp_path, command, count):
    done = qvec("bench", command, *TINY, *count, "--random-input-len", 30, "--prefix-len", 12, "--output-json", tmp_path / "out.json")
    assert done.status == 0, done.err
    assert read(tmp_path / "out.json")["total_num_tokens"] == 20 * (30 + 12)


def test_pictures_and_videos(qvec, tmp_path):
    """The official prompt stands around them, and they cost tokens themselves."""
    flags = ["--num-prompts", 4, "--input-len", 10, "--dataset-name", "random-mm"]
    sizes = [throughput(qvec, tmp_path, TINY, *flags, "--random-mm-bucket-config", config)[0]["total_num_tokens"]
             for config in ("{(64, 64, 1): 1}", "{(256, 256, 1): 1}", "{(256, 256, 4): 1}")]
    texts = throughput(qvec, tmp_path, TINY, *flags[:4], "--prompt", "official")[0]["total_num_tokens"]
    assert texts < sizes[0] < sizes[1] < sizes[2]
    done = qvec("bench", "latency", *TINY, "--batch-size", 2, "--num-iters", 2, "--num-iters-warmup", 1, "--input-len", 10, "--dataset-name", "random-mm",
                "--random-mm-bucket-config", "{(64, 64, 1): 1}", "--output-json", tmp_path / "out.json")
    assert done.status == 0 and read(tmp_path / "out.json")["total_num_tokens"] == sizes[0]


def tokens_of(qvec, *lines):
    done = qvec("embed", *TINY, "--prompt", "raw", "-", text="".join(json.dumps(line) + "\n" for line in lines))
    assert done.status == 0, done.err
    return [json.loads(line)["tokens"] for line in done.out.splitlines()]


def test_a_file_of_texts(qvec, tmp_path):
    """Each text is an input, in order and from the beginning again; its tokens are those that `qvec embed` tells."""
    (tmp_path / "data.jsonl").write_text('{"prompt": "one"}\n{"input": ["two words", "and three more"]}\n')
    one, two, three = tokens_of(qvec, {"text": "one"}, {"text": "two words"}, {"text": "and three more"})
    data = ["--dataset-name", "custom", "--dataset-path", tmp_path / "data.jsonl"]
    assert throughput(qvec, tmp_path, TINY, "--num-prompts", 5, *data)[0]["total_num_tokens"] == 2 * (one + two) + three
    done = qvec("bench", "latency", *TINY, "--batch-size", 2, "--num-iters", 2, "--num-iters-warmup", 1, *data, "--output-json", tmp_path / "out.json")
    assert done.status == 0 and read(tmp_path / "out.json")["total_num_tokens"] == three + one + two + three  # behind the two of the warm-up


def test_a_file_for_a_reranker(qvec, tmp_path):
    """Queries with their documents; the last record gives as many as are still wanted. The same tokens as `qvec rerank` tells."""
    records = [{"query": f"query {'again ' * i}", "documents": [f"document {i} {k}" for k in range(1 + i % 3)]} for i in range(12)]
    (tmp_path / "data.json").write_text(json.dumps(records))
    lines = [{"query": {"text": r["query"]}, "documents": [{"text": d} for d in r["documents"]]} for r in records]
    lines[-1]["documents"].pop()
    done = qvec("rerank", *RERANKER, "-", text="".join(json.dumps(line) + "\n" for line in lines))
    assert done.status == 0, done.err
    total = sum(json.loads(line)["tokens"] for line in done.out.splitlines())
    data = ["--dataset-name", "hf", "--dataset-path", tmp_path / "data.json"]
    assert throughput(qvec, tmp_path, RERANKER, "--num-prompts", 23, *data)[0]["total_num_tokens"] == total


def test_pictures_of_a_file(qvec, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a", "images": [f"{harness.ASSETS}/small.png"], "video": f"{harness.ASSETS}/h264.mp4"}))
    (tmp_path / "b.jsonl").write_text('{"text": "a"}')
    seen, text = (throughput(qvec, tmp_path, TINY, "--num-prompts", 1, "--prompt", "official", "--dataset-name", "custom", "--dataset-path",
                             tmp_path / name)[0]["total_num_tokens"] for name in ("a.jsonl", "b.jsonl"))
    assert seen > text + 8


def test_flags_of_vllm_that_mean_nothing(qvec, tmp_path):
    _, done = throughput(qvec, tmp_path, TINY, "--num-prompts", 1, "--input-len", 8, "--n", 1, "--trust-remote-code", "--dtype", "auto", "--use-beam-search")
    assert re.findall("warning: --([a-z-]+)", done.err) == ["trust-remote-code", "use-beam-search"]
    assert qvec("bench", "throughput", *TINY, "--dtype", "bfloat16").status == 2


@pytest.mark.parametrize("model, flags, words", [
    (TINY, ["--dataset-name", "custom"], "--dataset-path"), (TINY, ["--dataset-path", "x"], "not to random"),
    (TINY, ["--dataset-name", "random-rerank"], "needs a reranker"), (RERANKER, ["--dataset-name", "random-mm"], "no queries"),
    (TINY, ["--dataset-name", "custom", "--dataset-path", "/no/such"], "/no/such"),
    (RERANKER, ["--dataset-name", "custom", "--dataset-path", "data.jsonl"], "record 1: a reranker needs query and documents"),
    (RERANKER, ["--dataset-name", "custom", "--dataset-path", "pair.jsonl"], "pictures go with one text"),
])
def test_bad_data(qvec, tmp_path, model, flags, words):
    (tmp_path / "data.jsonl").write_text('{"prompt": "one"}')
    (tmp_path / "pair.jsonl").write_text('{"query": "q", "documents": ["d"], "image": "data:,"}')
    done = qvec("bench", "throughput", *model, *flags, "--num-prompts", 1, cwd=tmp_path)
    assert done.status in (1, 2) and words in done.err, done.err


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
