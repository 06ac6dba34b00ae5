"""GET /metrics: Prometheus' own reader takes it, and the numbers move as they should."""
import re
import shutil
import subprocess
import time
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from wire import post

# Names that are vLLM's, and so not ours to make promtool happy with.
VLLMS = r"^vllm:"


def text_of(server):
    with urllib.request.urlopen(server.base + "/metrics", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return answer.read().decode()


def samples(server):
    """{(name, other labels than the model's): value}; the reader checks the form."""
    found = {}
    for family in text_string_to_metric_families(text_of(server)):
        assert family.documentation and family.type in ("counter", "gauge", "histogram"), family
        for s in family.samples:
            labels = tuple(sorted((k, v) for k, v in s.labels.items() if k != "model_name"))
            assert s.labels["model_name"] == "null"
            assert (s.name, labels) not in found, s
            found[s.name, labels] = s.value
    return found


def value(server, name, **labels):
    return samples(server)[name, tuple(sorted(labels.items()))]


def settled(server, name, wanted, **labels):
    """The end of a request is counted after its answer was read."""
    end = time.monotonic() + 10
    while value(server, name, **labels) != wanted:
        assert time.monotonic() < end, (name, value(server, name, **labels), wanted)
        time.sleep(0.02)


def check_histogram(found, name, labels=()):
    buckets = sorted((float(dict(k[1])["le"]), v) for k, v in found.items()
                     if k[0] == name + "_bucket" and set(k[1]) >= set(labels))
    counts = [v for _, v in buckets]
    assert len(buckets) > 10 and buckets[-1][0] == float("inf") and counts == sorted(counts)
    assert counts[-1] == found[name + "_count", tuple(labels)]
    return buckets


def test_each_histogram_counts_the_requests(start_null):
    server = start_null(delay_us=20000)
    for n in (1, 30, 60):
        assert server.post("/v1/embeddings", {"input": "x" * n})[0] == 200
    settled(server, "vllm:e2e_request_latency_seconds_count", 3)
    found = samples(server)
    assert check_histogram(found, "vllm:request_prompt_tokens")[-1][1] == 3
    assert found["vllm:request_prompt_tokens_sum", ()] == 2 + 31 + 61
    assert found["vllm:request_prompt_tokens_bucket", (("le", "50"),)] == 2
    buckets = dict(check_histogram(found, "vllm:e2e_request_latency_seconds"))
    assert buckets[0.01] == 0 and found["vllm:e2e_request_latency_seconds_sum", ()] >= 0.06
    for stage in ("wait", "decode", "compute", "write"):
        assert check_histogram(found, "qvec_stage_seconds", (("stage", stage),))[-1][1] == 3
    assert 0.06 <= found["qvec_stage_seconds_sum", (("stage", "compute"),)] < 5
    assert found["vllm:request_inference_time_seconds_count", ()] == 3
    assert found["vllm:request_success_total", (("finished_reason", "stop"),)] == 3


def test_the_queue_and_how_long_it_waits(start_null):
    server = start_null(delay_us=300000)
    wires = [server.wire() for _ in range(4)]
    for wire in wires:
        wire.send(post({"input": "a"}))
    settled(server, "vllm:num_requests_waiting", 3)
    assert value(server, "qvec_http_in_flight") == 4
    assert value(server, "qvec_http_connections") >= 4
    for wire in wires:
        assert wire.answer().status == 200
    settled(server, "qvec_http_in_flight", 0)
    assert value(server, "vllm:num_requests_waiting") == 0


def test_real_batches_are_counted(server):
    def now():
        return {s.name + "".join(f" {k}={v}" for k, v in s.labels.items() if k != "model_name"): s.value
                for family in text_string_to_metric_families(text_of(server)) for s in family.samples}
    before = now()
    assert server.post("/v1/embeddings", {"input": ["one two three"] * 3 + ["four"]})[0] == 200
    after = now()
    grown = {name: after[name] - before[name] for name in after if after[name] != before.get(name)}
    assert grown["qvec_batch_items_sum"] == 4 and grown["qvec_items_finished_total"] == 4
    assert grown["vllm:iteration_tokens_total_sum"] + grown.get("vllm:prefix_cache_hits_total", 0) == grown["vllm:prompt_tokens_total"]
    assert grown["vllm:prefix_cache_queries_total"] == grown["vllm:prompt_tokens_total"]
    assert grown["qvec_busy_seconds_total"] > 0 and 0 < after["qvec_busy_share"] <= 1
    assert after["vllm:num_requests_running"] == 0 and after["qvec_oldest_wait_seconds"] == 0
    assert after["process_resident_memory_bytes"] > 1 << 20 and after["process_start_time_seconds"] > 1e9


@pytest.mark.parametrize("reason, request_bytes", [
    ("bad_request", post(b"{")), ("not_found", b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("not_found", b"DELETE /health HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("too_large", b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"),
], ids=lambda v: v if isinstance(v, str) else "")
def test_refusals_by_reason(start_null, reason, request_bytes):
    server = start_null()
    with server.wire() as wire:
        wire.send(request_bytes)
        assert wire.answer().status >= 400
    settled(server, "qvec_requests_refused_total", 1, reason=reason)
    found = samples(server)
    assert sum(v for k, v in found.items() if k[0] == "qvec_requests_refused_total") == 1
    assert found["qvec_http_requests_total", (("status", "4xx"),)] == 1


def test_overload_keys_and_hang_ups(start_null):
    server = start_null(max_queued_items=2, delay_us=500000, key="k")
    with server.wire() as wire:
        wire.send(post({"input": "a"}))
        assert wire.answer().status == 401
    with server.wire() as full, server.wire() as wire:
        full.send(post({"input": ["a"] * 2}, headers=["Authorization: Bearer k"]))
        settled(server, "vllm:num_requests_waiting", 1)
        wire.send(post({"input": ["a"] * 2}, headers=["Authorization: Bearer k"]))
        assert wire.answer().status == 429
        assert full.answer().status == 200
    settled(server, "qvec_requests_refused_total", 1, reason="overloaded")
    assert value(server, "qvec_requests_refused_total", reason="unauthorized") == 1
    settled(server, "qvec_http_connections", 1)  # the one that asks
    with server.wire() as wire:
        wire.send(post({"input": ["a"] * 2}, headers=["Authorization: Bearer k"]))
        time.sleep(0.05)
    settled(server, "qvec_requests_refused_total", 1, reason="hung_up")


def test_promtool_agrees(server):
    if not shutil.which("promtool"):
        pytest.skip("promtool (Debian package prometheus) is not installed")
    done = subprocess.run(["promtool", "check", "metrics"], input=text_of(server).encode(), capture_output=True, timeout=60)
    said = [line for line in (done.stdout + done.stderr).decode().splitlines() if line and not re.match(VLLMS, line)]
    assert not said and done.returncode in (0, 3), said  # 3: what it said of vLLM's names
