"""qvec bench serve: what it sends, when, and whether its figures are true."""
import asyncio
import json
import math
import os
import re
import resource
import signal
import subprocess
import time

import pytest

import harness
import stub as stubs
from bench_run import TOKENIZER, handle_after, in_a_quiet_moment
from stub import Stub

np = pytest.importorskip("numpy")

# What vLLM writes for pooling back ends, in its order; behind them come our own.
KEYS = ["date", "endpoint_type", "backend", "label", "model_id", "tokenizer_id", "num_prompts", "request_rate", "burstiness", "max_concurrency",
        "duration", "completed", "total_input_tokens", "total_input_sequences", "request_throughput", "input_sequence_throughput",
        "total_token_throughput", "mean_e2el_ms", "median_e2el_ms", "std_e2el_ms", "p99_e2el_ms"]
OWN_KEYS = ["failed", "unanswered", "peak_concurrency", "connections", "client_threads", "client_cpu_seconds", "client_busiest_thread",
            "median_schedule_lag_ms", "p99_schedule_lag_ms", "max_schedule_lag_ms"]
DETAILS = ["input_lens", "errors", "e2els", "start_times", "schedule_lags"]


# ---- the result ----

def test_table_and_file(bench):
    with Stub() as stub:
        run = bench(stub.port, "--num-prompts", 20, "--max-concurrency", 4, "--metadata", "gpu=none", "a=b=c")
    assert run.status == 0, run.err
    result = run.result
    assert [k for k in result if k not in ("gpu", "a")] == KEYS + OWN_KEYS
    assert list(result)[7:9] == ["gpu", "a"] and (result["gpu"], result["a"]) == ("none", "b=c")
    assert (result["completed"], result["failed"], result["total_input_tokens"], result["total_input_sequences"]) == (20, 0, 140, 20)
    assert (result["request_rate"], result["burstiness"], result["max_concurrency"], result["label"]) == ("inf", 1.0, 4, None)
    assert (result["model_id"], result["tokenizer_id"], result["backend"]) == ("some/stub", TOKENIZER, "openai-embeddings")
    assert math.isclose(result["request_throughput"] * result["duration"], 20) and 1 <= result["peak_concurrency"] <= 4
    assert re.fullmatch(r"openai-embeddings-infqps-concurrency4-stub-\d{8}-\d{6}\.json", os.path.basename(run.path))
    lines = run.out.splitlines()
    assert lines[0] == " Serving Benchmark Result ".center(50, "=") and lines[-1] == "=" * 50
    assert "{:<40} {:<10}".format("Successful requests:", 20) == lines[1]
    labels = [line[:40].rstrip() for line in lines[1:10]]
    assert labels == ["Successful requests:", "Failed requests:", "Maximum request concurrency:", "Benchmark duration (s):", "Total input tokens:",
                      "Request throughput (req/s):", "Input throughput (inputs/s):", "Total token throughput (tok/s):", "-" * 16 + "End-to-end Latency" + "-" * 6]
    assert [line[:40].rstrip() for line in lines[10:13]] == ["Mean E2EL (ms):", "Median E2EL (ms):", "P99 E2EL (ms):"]
    assert run.line("Mean E2EL (ms):") == f"{result['mean_e2el_ms']:.2f}"


def test_details_percentiles_and_names(bench):
    with Stub() as stub:
        run = bench(stub.port, "--num-prompts", 30, "--save-detailed", "--metric-percentiles", "25,50,99.9", "--label", "mine", "--request-rate", 300,
                    "--goodput", "e2el:100000")
    assert run.status == 0, run.err
    result = run.result
    assert set(DETAILS) <= set(result) and all(len(result[k]) == 30 for k in DETAILS)
    values = np.array(result["e2els"]) * 1e3
    for key, p in {"p25_e2el_ms": 25, "p50_e2el_ms": 50, "p99.9_e2el_ms": 99.9, "median_e2el_ms": 50}.items():
        assert math.isclose(result[key], np.percentile(values, p), rel_tol=1e-9), key
    assert math.isclose(result["mean_e2el_ms"], values.mean(), rel_tol=1e-9) and math.isclose(result["std_e2el_ms"], values.std(), rel_tol=1e-9)
    assert result["input_lens"] == [7] * 30 and result["errors"] == [""] * 30
    assert result["request_goodput"] == result["request_throughput"]
    assert os.path.basename(run.path).startswith("mine-300.0qps-stub-")


def test_appended_results(bench, tmp_path):
    with Stub() as stub:
        for _ in range(2):
            done = bench(stub.port, "--num-prompts", 1, "--append-result", "--result-dir", tmp_path, "--result-filename", "all.jsonl")
            assert done.status == 0, done.err
    assert [json.loads(line)["completed"] for line in (tmp_path / "all.jsonl").read_text().splitlines()] == [1, 1]


def test_plot(bench, tmp_path):
    import xml.etree.ElementTree as tree
    with Stub() as stub:
        run = bench(stub.port, "--num-prompts", 25, "--plot", "--label", "<a & b>")
    assert run.status == 0, run.err
    root = tree.parse(run.path[:-5] + ".svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(space + "circle")) == 25 and any("<a & b>" in (t.text or "") for t in root.findall(space + "text"))


# ---- what is sent ----

def test_requests(bench):
    with Stub() as stub:
        run = bench(stub.port, "--num-prompts", 12, "--header", "X-One=1", "--extra-body", '{"dimensions": 64}', "--num-warmups", 3,
                    "--request-id-prefix", "id-", env={"OPENAI_API_KEY": "secret"})
    assert run.status == 0, run.err
    assert len(stub.requests) == 15 and run.result["completed"] == 12
    line, headers, body = stub.requests[-1]
    assert line == "POST /v1/embeddings HTTP/1.1" and headers["x-one"] == "1" and headers["authorization"] == "Bearer secret"
    assert list(body) == ["model", "input", "truncate_prompt_tokens", "dimensions"] and body["model"] == "some/stub" and body["dimensions"] == 64
    assert sorted(h["x-request-id"] for _, h, _ in stub.requests[3:]) == sorted(f"id-{i}" for i in range(12))
    assert stub.requests[0][2] == stub.requests[2][2] and len({b["input"] for _, _, b in stub.requests}) == 12


def tokens_of(texts):
    lines = "".join(json.dumps({"text": t}) + "\n" for t in texts)
    answers = harness.run(["tokenize", TOKENIZER, "--prompt", "none", "-"], lines)
    return [len(json.loads(line)["ids"]) for line in answers.splitlines()]


def test_random_texts_have_the_asked_length(bench):
    with Stub() as stub:
        run = bench(stub.port, "--num-prompts", 40, "--random-input", 50)
        assert run.status == 0, run.err
        first = [b["input"] for _, _, b in stub.requests]
        assert tokens_of(first) == [49] * 40  # and the end token
        stub.requests.clear()
        bench(stub.port, "--num-prompts", 40, "--random-input", 50)
        assert sorted(b["input"] for _, _, b in stub.requests) == sorted(first)
        stub.requests.clear()
        bench(stub.port, "--num-prompts", 40, "--random-input", 50, "--seed", 1)
        assert not {b["input"] for _, _, b in stub.requests} & set(first)


def test_prefix_range_and_batches(bench):
    with Stub() as stub:
        run = bench(stub.port, "--num-prompts", 50, "--random-input", 41, "--random-range-ratio", 0.25, "--random-prefix-len", 10, "--random-batch-size", 20)
    assert run.status == 0, run.err
    batches = sorted((b["input"] for _, _, b in stub.requests), key=len)
    assert [len(b) for b in batches] == [10, 20, 20]
    texts = [t for b in batches for t in b]
    found = tokens_of(texts)
    assert all(40 <= n <= 60 for n in found) and len(set(found)) > 8
    assert len(os.path.commonprefix(texts)) >= 10
    assert run.result["completed"] == 3 and run.result["total_input_sequences"] == 50


def test_rerank(bench):
    with Stub() as stub:
        run = bench(stub.port, "--backend", "vllm-rerank", "--dataset-name", "random-rerank", "--num-prompts", 12, "--random-input", 40,
                    "--random-batch-size", 5)
    assert run.status == 0, run.err
    assert [list(b) for _, _, b in stub.requests] == [["model", "query", "documents", "truncate_prompt_tokens"]] * 3
    assert {line for line, _, _ in stub.requests} == {"POST /v1/rerank HTTP/1.1"}
    queries, documents = {b["query"] for _, _, b in stub.requests}, [d for _, _, b in stub.requests for d in b["documents"]]
    assert len(queries) == 1 and tokens_of(queries) == [19] and tokens_of(documents) == [20] * 12
    assert run.result["total_input_sequences"] == 12


def test_pooling_and_chat_with_pictures(bench):
    with Stub() as stub:
        assert bench(stub.port, "--backend", "vllm-pooling", "--num-prompts", 1).status == 0
        run = bench(stub.port, "--backend", "openai-embeddings-chat", "--dataset-name", "random-mm", "--num-prompts", 6,
                    "--random-mm-base-items-per-request", 2, "--random-mm-bucket-config", "{(32, 48, 1): 0.5, (64, 16, 1): 0.5, (720, 1280, 16): 0.0}")
        assert run.status == 0, run.err
        clip = bench(stub.port, "--backend", "openai-embeddings-clip", "--dataset-name", "random-mm", "--num-prompts", 1,
                     "--random-mm-bucket-config", "{(32, 48, 1): 1}")
        assert clip.status == 0, clip.err
    assert stub.requests[0][0] == "POST /pooling HTTP/1.1" and list(stub.requests[0][2]) == ["model", "input", "truncate_prompt_tokens"]
    contents = [b["messages"][0]["content"] for _, _, b in stub.requests[1:7]]
    assert all([p["type"] for p in c] == ["text", "image_url", "image_url"] for c in contents)
    lines = "".join(json.dumps({"image": p["image_url"]["url"]}) + "\n" for c in contents for p in c[1:])
    frames = [json.loads(line) for line in harness.run(["embed", TOKENIZER, "--load-format", "dummy", "--echo", "frames", "-"], lines).splitlines()]
    assert len(frames) == 12 and all("error" not in f for f in frames)
    picture = stub.requests[-1][2]["messages"][0]["content"]
    assert picture[0]["text"] == "" and picture[1]["image_url"]["url"].startswith("data:image/jpeg;base64,")


def test_pictures_and_videos(bench):
    """Kinds keep their limits, and our own reader takes the videos."""
    with Stub() as stub:
        run = bench(stub.port, "--backend", "openai-embeddings-chat", "--dataset-name", "random-mm", "--num-prompts", 4, "--random-mm-base-items-per-request", 9,
                    "--random-mm-limit-mm-per-prompt", '{"image": 2, "video": 1}', "--random-mm-bucket-config", "{(32, 48, 1): 0.5, (64, 96, 4): 0.5}")
        assert run.status == 0, run.err
        contents = [b["messages"][0]["content"] for _, _, b in stub.requests]
        vlm2vec = bench(stub.port, "--backend", "openai-embeddings-vlm2vec", "--dataset-name", "random-mm", "--num-prompts", 2,
                        "--random-mm-bucket-config", "{(32, 48, 1): 1}", "--max-concurrency", 1)
        assert vlm2vec.status == 0, vlm2vec.err
    assert all(c[0]["type"] == "text" and sorted(p["type"] for p in c[1:]) == ["image_url", "image_url", "video_url"] for c in contents)
    videos = [p["video_url"]["url"] for c in contents for p in c[1:] if p["type"] == "video_url"]
    assert len(set(videos)) == 4 and all(v.startswith("data:video/mp4;base64,") for v in videos)
    lines = "".join(json.dumps({"video": v}) + "\n" for v in videos)
    frames = [json.loads(line)["frames"] for line in harness.run(["embed", TOKENIZER, "--load-format", "dummy", "--echo", "frames", "-"], lines).splitlines()]
    assert all(len(clip) >= 2 and all(1.3 < wide / high < 1.6 for high, wide, _ in clip) for clip in frames), frames
    bodies = [b["messages"][0]["content"] for _, _, b in stub.requests[4:]]
    assert [[p["type"] for p in c] for c in bodies] == [["image_url", "text"]] * 2
    assert bodies[0][1]["text"] == "Represent the given image." and bodies[1][1]["text"].startswith("Represent the given image with the following question: ")


def test_infinity(bench):
    with Stub() as stub:
        assert bench(stub.port, "--backend", "infinity-embeddings", "--num-prompts", 3, "--random-batch-size", 2, "--max-concurrency", 1).status == 0
        run = bench(stub.port, "--backend", "infinity-embeddings-clip", "--dataset-name", "random-mm", "--num-prompts", 1,
                    "--random-mm-bucket-config", "{(32, 48, 1): 1}", "--extra-body", '{"dimensions": 8}')
    assert run.status == 0, run.err
    assert {line for line, _, _ in stub.requests} == {"POST /embeddings HTTP/1.1"}
    bodies = [b for _, _, b in stub.requests]
    assert [list(b) for b in bodies] == [["model", "input"], ["model", "input"], ["model", "input", "modality", "dimensions"]]
    assert len(bodies[0]["input"]) == 2 and isinstance(bodies[1]["input"], str)
    assert bodies[2]["modality"] == "image" and bodies[2]["input"].startswith("data:image/jpeg;base64,")


def test_files(bench, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "one"}\n\n{"input": ["two", "three"]}\n{"conversations": [{"from": "human", "value": "four"}]}\n')
    with Stub() as stub:
        run = bench(stub.port, "--dataset-name", "custom", "--dataset-path", data, "--num-prompts", 4, "--max-concurrency", 1)
        assert run.status == 0, run.err
        assert [b["input"] for _, _, b in stub.requests] == ["one", ["two", "three"], "four", "one"]
        stub.requests.clear()
        pairs = tmp_path / "pairs.json"
        pairs.write_text('[{"query": "q", "documents": ["a", {"text": "b"}]}]')
        assert bench(stub.port, "--backend", "vllm-rerank", "--dataset-name", "hf", "--dataset-path", pairs, "--num-prompts", 1).status == 0
        assert (stub.requests[0][2]["query"], stub.requests[0][2]["documents"]) == ("q", ["a", "b"])
        stub.requests.clear()
        (tmp_path / "mm.jsonl").write_text(json.dumps({"text": "t", "image": os.path.join(harness.ASSETS, "rgba.png")}))
        run = bench(stub.port, "--backend", "openai-embeddings-chat", "--dataset-name", "custom", "--dataset-path", tmp_path / "mm.jsonl", "--num-prompts", 1)
        assert run.status == 0, run.err
        assert stub.requests[0][2]["messages"][0]["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
        clip = next(name for name in sorted(os.listdir(harness.ASSETS)) if name.endswith(".mp4"))
        (tmp_path / "video.jsonl").write_text(json.dumps({"text": "t", "videos": [os.path.join(harness.ASSETS, clip), "http://h/v.mp4"]}))
        run = bench(stub.port, "--backend", "openai-embeddings-chat", "--dataset-name", "custom", "--dataset-path", tmp_path / "video.jsonl", "--num-prompts", 1)
        assert run.status == 0, run.err
        urls = [p["video_url"]["url"] for p in stub.requests[-1][2]["messages"][0]["content"][1:]]
        assert urls[0].startswith("data:video/mp4;base64,") and urls[1] == "http://h/v.mp4"
        data.write_text('{"prompt": "one"}\nnonsense\n')
        bad = bench(stub.port, "--dataset-name", "custom", "--dataset-path", data)
    assert bad.status == 2 and "record 2" in bad.err


# ---- when it is sent ----

def test_concurrency_is_never_exceeded(bench):
    with Stub(handle_after(lambda number: 0.002 * (number % 7))) as stub:
        for threads in (1, 2):
            stub.peak = 0
            run = bench(stub.port, "--num-prompts", 400, "--max-concurrency", 13, "--client-threads", threads)
            assert run.status == 0 and run.result["completed"] == 400
            assert stub.peak <= 13 and stub.peak >= 10 and run.result["peak_concurrency"] == 13


AT_A_TIME, FILES = 10_000, 10_500


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        pytest.skip(f"{hard} open files are allowed, {FILES} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_at_a_time(bench, many_files, tmp_path):
    """Nobody is answered before all are there."""
    (tmp_path / "one.jsonl").write_text('{"text": "one"}')
    null = subprocess.Popen([os.path.join(harness.BUILD, "tests", "api", "null_server"), "--hold", str(AT_A_TIME), "--batch", str(AT_A_TIME), "--size", "4",
                             "--max-connections", str(AT_A_TIME + 100), "--max-queued-items", str(2 * AT_A_TIME),  # one client may not fill all of a queue
                             "--max-waiting-requests", str(2 * AT_A_TIME), "--quiet", "1"], stdout=subprocess.PIPE)
    try:
        run = bench(int(null.stdout.readline()), "--num-prompts", AT_A_TIME, "--dataset-name", "custom", "--dataset-path", tmp_path / "one.jsonl", model="null", timeout=120)
    finally:
        null.terminate()
        null.communicate(timeout=30)
    assert run.status == 0, run.err
    result = run.result
    assert (result["completed"], result["failed"], result["peak_concurrency"], result["connections"]) == (AT_A_TIME, 0, AT_A_TIME, AT_A_TIME)


def test_arrivals_come_as_scheduled(bench):
    """The server sees the schedule: even gaps, and the last request at count / rate."""
    def measure():
        with Stub() as stub:
            run = bench(stub.port, "--num-prompts", 100, "--request-rate", 100, "--burstiness", "inf", "--save-detailed")
        starts = np.array(run.result["start_times"])
        assert np.allclose(starts, np.arange(1, 101) / 100, atol=1e-9)
        came = np.array(sorted(t[0] for t in stub.times))
        assert np.median(np.abs((came - came[0]) - (starts - starts[0]))) < 0.01
    in_a_quiet_moment(measure)


def test_ramp(bench):
    with Stub() as stub:
        run = bench(stub.port, "--num-prompts", 120, "--ramp-up-strategy", "linear", "--ramp-up-start-rps", 20, "--ramp-up-end-rps", 200,
                    "--burstiness", "inf", "--save-detailed")
    assert run.status == 0, run.err
    result, rates = run.result, 20 + 180 * np.arange(120) / 119
    assert np.allclose(result["start_times"], np.cumsum(1 / rates), rtol=1e-6)
    assert (result["ramp_up_strategy"], result["ramp_up_start_rps"], result["ramp_up_end_rps"]) == ("linear", 20.0, 200.0)
    events = [e["rps"] for e in result["rps_change_events"]]
    assert events[0] == 20 and events[-1] == 200 and events == sorted(events)


# ---- whether the figures are true ----

def check_close(result, truth, keys):
    for key, p in keys.items():
        expected = np.percentile(truth, p)
        assert abs(result[key] / expected - 1) < 0.02, f"{key}: {result[key]:.1f} ms, injected {expected:.1f}"


def test_known_delays(bench):
    """Against the server's own times from request to answer."""
    delays = np.random.default_rng(1).uniform(0.25, 0.75, 100)

    def measure():
        with Stub(handle_after(lambda number: delays[number])) as stub:
            run = bench(stub.port, "--num-prompts", 100, "--request-rate", 80, "--metric-percentiles", "10,50,90,99")
        assert run.status == 0, run.err
        truth = [1e3 * (sent - came) for came, sent in stub.times]
        check_close(run.result, truth, {"p10_e2el_ms": 10, "p50_e2el_ms": 50, "p90_e2el_ms": 90, "p99_e2el_ms": 99})
        assert abs(run.result["mean_e2el_ms"] / np.mean(truth) - 1) < 0.02
    in_a_quiet_moment(measure)


def stalling(stall):
    async def handle(stub, number, body):
        now = time.monotonic()
        stall.setdefault("first", now)
        if now > stall["first"] + 0.5 and "end" not in stall:
            stall["end"] = now + 1
        if now < stall.get("end", 0):
            await asyncio.sleep(stall["end"] - now)
        return await stubs.ok(body)
    return handle


def test_stall_shows_in_the_tail(bench):
    """A server that stands still for a second, and one request under way at a time: a closed loop would see one slow answer. Here every
    request that was due meanwhile counts its wait."""
    def measure():
        stall = {}
        with Stub(stalling(stall)) as stub:
            run = bench(stub.port, "--num-prompts", 200, "--request-rate", 100, "--burstiness", "inf", "--metric-percentiles", "75,90,99",
                        "--max-concurrency", 1, "--save-detailed")
        assert run.status == 0, run.err
        assert stub.peak == 1
        due = np.array(run.result["start_times"])  # and the server's own clock says when each was answered
        truth = 1e3 * (np.array([sent for _, sent in stub.times]) - stub.times[0][0] - (due - due[0]))
        check_close(run.result, truth, {"p75_e2el_ms": 75, "p90_e2el_ms": 90, "p99_e2el_ms": 99})
        assert run.result["p99_e2el_ms"] > 900
    in_a_quiet_moment(measure)


def test_failures_are_counted(bench):
    async def handle(stub, number, body):
        kind = number % 5
        if kind == 0:
            return await stubs.ok(body)
        if kind == 1:
            return 503, b'{"error": "busy"}'
        if kind == 2:
            return 200, b'{"data": ['
        return (200, b"not json") if kind == 3 else None

    with Stub(handle) as stub:
        run = bench(stub.port, "--num-prompts", 50, "--max-concurrency", 1, "--save-detailed")
    assert run.status == 1
    result, errors = run.result, run.result["errors"]
    # A connection that was used before and breaks off is tried once more on a new one: number 4, 9, ... cost one request each.
    assert result["completed"] + result["failed"] == 50 and len(stub.requests) > 50
    assert result["completed"] == sum(e == "" for e in errors) and run.line("Failed requests:") == str(result["failed"])
    assert any(e.startswith("503 X: ") and "busy" in e for e in errors) and any("not JSON" in e for e in errors)
    assert f"{result['failed']} of 50 requests failed" in run.err


def test_resets_are_failures(bench):
    async def handle(stub, number, body):
        return None

    with Stub(handle) as stub:
        run = bench(stub.port, "--num-prompts", 8)
    assert run.status == 1 and run.result["failed"] == 8 and len(stub.requests) == 8
    assert run.line("Successful requests:") == "0" and run.line("P99 E2EL (ms):") == "0.00"


def test_timeouts(bench):
    with Stub(handle_after(lambda number: 30 if number == 3 else 0)) as stub:
        run = bench(stub.port, "--num-prompts", 6, "--request-timeout", 0.5, "--max-concurrency", 2, "--save-detailed")
    assert run.status == 1 and run.result["completed"] == 5 and "no answer within 0.5 s" in run.result["errors"]


def test_interrupted_runs_report(tmp_path):
    with Stub(handle_after(lambda number: 0.01 if number < 20 else 60)) as stub:
        command = [harness.QVEC, "bench", "serve", "--port", str(stub.port), "--model", "m", "--tokenizer", TOKENIZER, "--random-input", "8",
                   "--num-prompts", "50", "--save-result", "--result-dir", tmp_path, "--max-concurrency", "10"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while len(stub.requests) < 30:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    result = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert result["completed"] == 20 and result["unanswered"] == 30 and b"Requests left unanswered:                30" in out


# ---- servers that are not there, bad flags ----

def test_ready_check(bench):
    port = harness.free_port()
    done = bench(port, "--num-prompts", 1)
    assert done.status == 1 and "no server answers" in done.err and not done.path
    done = bench(port, "--num-prompts", 1, "--ready-check-timeout-sec", 0.3)
    assert done.status == 1

    async def handle(stub, number, body):
        return (503, b"{}") if number < 3 else await stubs.ok(body)

    with Stub(handle) as stub:
        run = bench(stub.port, "--num-prompts", 5, "--ready-check-timeout-sec", 20)
        assert run.status == 0 and len(stub.requests) == 3 + 1 + 5 and "Initial test run completed." in run.err


def test_model_name_comes_from_the_server(bench):
    with Stub() as stub:
        command = [harness.QVEC, "bench", "serve", "--port", str(stub.port), "--tokenizer", TOKENIZER, "--random-input", "8", "--num-prompts", "1"]
        assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
        assert stub.requests[0][2]["model"] == "stub-model"
        no_tokenizer = subprocess.run(command[:5] + ["--num-prompts", "1"], capture_output=True, timeout=30, check=False)
    assert no_tokenizer.returncode == 3 and b"--tokenizer" in no_tokenizer.stderr


@pytest.mark.parametrize("flags, words", [
    (["--request-rate", "0"], "--request-rate"), (["--request-rate", "fast"], "--request-rate"), (["--burstiness", "-1"], "--burstiness"),
    (["--metric-percentiles", "50,101"], "--metric-percentiles"), (["--goodput", "ttft:5"], "e2el:"), (["--header", "Name"], "KEY=VALUE"),
    (["--extra-body", "[1]"], "--extra-body"), (["--dataset-name", "custom"], "--dataset-path"), (["--dataset-path", "x"], "--dataset-path"),
    (["--base-url", "https://here", "--insecure", "--cacert", "x"], "--insecure"), (["--base-url", "ftp://here"], "http://"), (["--endpoint", "v1"], "--endpoint"),
    (["--ramp-up-strategy", "linear"], "--ramp-up"), (["--backend", "openai"], "openai-embeddings"), (["--skip-tokenizer-init"], "tokenizer"),
    (["--dataset-name", "random-mm"], "no pictures"), (["--dataset-name", "random-mm", "--random-mm-bucket-config", "{(9, 9, 2): 1}"], "even sides"),
    (["--random-mm-limit-mm-per-prompt", '{"video":-1}'], '"video":N'), (["--backend", "infinity-embeddings", "--dataset-name", "random-mm"], "-clip"),
    (["--probe-request-rate", "-1"], "--probe-request-rate"), (["--tokenizer-mode"], "needs a value"),
])
def test_bad_flags(bench, flags, words):
    with Stub() as stub:
        done = bench(stub.port, "--num-prompts", 1, *flags)
    assert done.status == 2 and words in done.err, done.err


# ---- against the real thing ----

def test_the_guides_command(tmp_path):
    """As the guide has it: a thousand texts of 200 tokens at once, here to the built-in model; none is lost."""
    mini = os.path.join(harness.ROOT, "models", "mini")
    line = (f"qvec bench serve --model {mini} --backend openai-embeddings --dataset-name random --endpoint /v1/embeddings --random-input 200 "
            "--save-result --result-dir ./")
    with harness.serve(mini, seed=None, log=str(tmp_path / "log")) as server:
        arguments = [harness.QVEC, *line.split()[1:], "--port", server.base.rsplit(":", 1)[1]]  # the guide's port may be taken here
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(next(tmp_path.glob("openai-embeddings-infqps-*.json")).read_text())
    assert (result["completed"], result["failed"], result["total_input_tokens"]) == (1000, 0, 200_000) and result["peak_concurrency"] > 900
