"""Clients take turns: one's thousands of inputs do not stand before another's few. Over the real engine."""
import http.client
import json

import pytest

import harness
from test_load import metric, wait_for
from wire import Wire, post

THOUSANDS = ["a sentence of some length, as they stand in documents " * 30 + str(i) for i in range(2000)]


class Slow:
    """qvec serve on one thread, for which the thousands are seconds of work."""

    def __init__(self, base):
        self.port = int(base.rsplit(":", 1)[1])
        self.wires = []

    def wire(self):
        return Wire(self.port)

    def send(self, inputs, source="127.0.0.1", authorization=None):
        self.wires.append(Wire(self.port, timeout=60, source=source))
        headers = [f"Authorization: {authorization}"] if authorization else []
        self.wires[-1].send(post({"input": inputs, "encoding_format": "base64"}, headers=headers))
        return self.wires[-1]


@pytest.fixture(params=["keys", "no keys"])
def slow(request):
    keys = ["--api-key", "one", "two"] if request.param == "keys" else []
    with harness.serve(harness.folder("tiny"), "--threads", "1", "--prefix-cache", "0", *keys) as server:
        found = Slow(server.base)
        found.has_keys = bool(keys)
        yield found
        for wire in found.wires:
            wire.socket.close()  # what is left of the thousands is dropped


def test_one_query_beside_thousands(slow):
    """By key where there are keys, though the address is the same; else by address."""
    slow.send(THOUSANDS, authorization="Bearer one")
    wait_for(lambda: metric(slow, "vllm:num_requests_waiting") > 1200)
    answer = slow.send(["a question"], "127.0.0.1" if slow.has_keys else "127.0.0.2", "Bearer two").answer()
    assert answer.status == 200
    assert metric(slow, "vllm:num_requests_waiting") > 300, "in the line of the thousands it would have come last"


def test_a_client_has_one_turn_whatever_it_sends(slow):
    """Of two clients, one with many headers: the other's inputs are every second one that is computed."""
    spellings = ["Bearer one", "bearer one", "Bearer  one", "BEARER   one"] if slow.has_keys else [f"Bearer made-up-{i}" for i in range(4)]
    for i, spelling in enumerate(spellings):
        slow.send(THOUSANDS[i * 500:(i + 1) * 500], authorization=spelling)
    wait_for(lambda: metric(slow, "vllm:num_requests_waiting") > 1200)
    before = metric(slow, "qvec_items_finished_total")
    answer = slow.send(THOUSANDS[:200], "127.0.0.2", "Bearer two").answer()
    assert answer.status == 200
    assert metric(slow, "qvec_items_finished_total") - before < 700, "400, and what the batches round up to; 1000 with four turns"


def test_the_last_eighth_of_the_queue_is_for_others(start_null):
    server = start_null(max_queued_items=80, delay_us=20_000_000, block_us=10_000, request_timeout=15)
    with server.wire() as plug, server.wire() as much, server.wire() as more:
        plug.send(post({"input": "a"}))
        wait_for(lambda: metric(server, "qvec_http_in_flight") == 1)
        much.send(post({"input": ["a"] * 70}))
        wait_for(lambda: metric(server, "vllm:num_requests_waiting") == 70)
        more.send(post({"input": "a"}))
        answer = more.answer()
        assert answer.status == 429 and "70 of them yours" in answer.json["error"]["message"]
        assert "80 inputs (--max-queued-items)" in answer.json["error"]["message"] and "the last eighth" in answer.json["error"]["message"]
        other = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20, source_address=("127.0.0.2", 0))
        other.request("POST", "/v1/embeddings", json.dumps({"input": ["a"] * 10}), {"Content-Type": "application/json"})
        wait_for(lambda: metric(server, "vllm:num_requests_waiting") == 80)
        other.close()
