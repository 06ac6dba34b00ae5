"""Each limit of the table is felt at its value, said by its name, and frees what it refused. Deadlines and overload."""
import concurrent.futures
import contextlib
import os
import re
import socket
import threading
import time

import pytest

import harness
from test_load import metric, wait_for
from wire import Wire, post


def table():
    """{flag: default} as the C table has it."""
    with open(os.path.join(harness.ROOT, "src", "api", "limits.c"), encoding="utf-8") as f:
        return re.findall(r'\{"([a-z-]+)", "(?:BYTES|N|SECONDS)"', f.read())


def test_info_tells_every_limit(start_null):
    server = start_null(max_body=12345, request_timeout=7)
    status, info = server.get("/info")
    assert status == 200 and len(table()) >= 20 and set(table()) < set(info["limits"])
    assert info["limits"]["max-body"] == 12345 and info["limits"]["request-timeout"] == 7
    assert info["limits"]["max-documents"] == 10000 and info["limits"]["max-model-len"] == 100


def refusal(server, body, path="/v1/embeddings"):
    status, answer = server.post(path, body)
    return status, answer["error"]["message"] if status != 200 else ""


def test_counts(start_null):
    server = start_null(max_inputs=3, max_parts=2)
    assert refusal(server, {"input": ["a"] * 3})[0] == 200
    assert refusal(server, {"input": ["a"] * 4}) == (400, "input holds 4 inputs; one request takes at most 3.")
    assert refusal(server, {"input": [{"text": ["a", "b"]}]})[0] == 200
    status, text = refusal(server, {"input": [{"text": ["a", "b", "c"]}]})
    assert status == 400 and "more than 2 parts" in text
    server = start_null(max_documents=2, rerank=1)
    assert refusal(server, {"query": "q", "documents": ["a"] * 2}, "/rerank")[0] == 200
    status, text = refusal(server, {"query": "q", "documents": ["a"] * 3}, "/rerank")
    assert status == 400 and "at most 2" in text
    assert refusal(server, {"text_1": "q", "text_2": ["a"] * 3}, "/score")[0] == 400


def test_head_size(start_null):
    server = start_null(max_head=8192)
    long = "x" * 6000
    with server.wire() as wire:
        wire.send(post({"input": "a"}, headers=["X-Long: " + long]))
        assert wire.answer().status == 200
    for head in (f"GET /health HTTP/1.1\r\nHost: h\r\nX-Long: {long * 2}\r\n\r\n", f"GET /{long * 2} HTTP/1.1\r\nHost: h\r\n\r\n"):
        with server.wire() as wire:
            wire.send(head.encode())
            assert wire.answer().status in (414, 431)
    assert server.post("/v1/embeddings", {"input": "a"})[0] == 200


def test_headers_are_counted(start_null):
    server = start_null(max_headers=12)
    for more, status in ((9, 200), (10, 431)):  # beside Host, Content-Type, Content-Length
        with server.wire() as wire:
            wire.send(post({"input": "a"}, headers=[f"X-{i}: 1" for i in range(more)]))
            answer = wire.answer()
            assert answer.status == status
    assert "13 headers; 12 are" in answer.json["error"]["message"] and "(--max-headers)" in answer.json["error"]["message"]


def test_echoed_prompts_are_counted(start_null):
    server = start_null(max_echo_tokens=5)
    assert refusal(server, {"input": ["a", "ab"], "echo": "prompts"})[0] == 200
    status, text = refusal(server, {"input": ["a", "abc"], "echo": "prompts"})
    assert status == 400 and "at most 5 tokens (--max-echo-tokens)" in text and "have 6" in text


def test_connections(start_null):
    server = start_null(max_connections=8, threads=1)
    wires = [server.wire(timeout=3) for _ in range(8)]
    for wire in wires:
        wire.send(post({"input": "a"}))
        assert wire.answer().status == 200
    with server.wire(timeout=3) as more:
        try:
            more.send(post({"input": "a"}))
            assert more.closed()
        except OSError:
            pass
    wires.pop().socket.close()
    wait_for(lambda: once(server) == 200)


def once(server):
    try:
        with server.wire(timeout=1) as wire:
            wire.send(post({"input": "a"}))
            answer = wire.answer()
            return answer and answer.status
    except OSError:
        return None


@pytest.mark.parametrize("flag, sent, pause", [("header_timeout", 60, 0.2), ("body_timeout", 10 ** 6, 0.1), ("idle_timeout", 0, 0.2)])
def test_slow_clients_are_cut_off_in_time(start_null, flag, sent, pause):
    """Each of the three clocks by itself, against a client that never stops sending a byte at a time."""
    server = start_null(**{"header_timeout": 60, "body_timeout": 60, "idle_timeout": 60, flag: 1})
    data = post(b'{"input": "' + b"x" * 60 + b'"}')
    with server.wire(timeout=10) as wire:
        start = time.monotonic()
        first = min(sent, data.index(b"\r\n\r\n") + 4)
        wire.send(data[:first])
        if flag == "idle_timeout":
            assert wire.closed()
        else:
            with pytest.raises(OSError):
                for i in range(first, first + 60):
                    wire.send(data[i:i + 1])
                    time.sleep(pause)
        assert 0.9 < time.monotonic() - start < 4
    assert server.post("/v1/embeddings", {"input": "a"})[0] == 200


# ---- the queue is full ---------------------------------------------------------------------------------

def filled(start_null, **flags):
    """A server whose queue of 10 is full for some seconds."""
    server = start_null(max_queued_items=10, **{"delay_us": 1500000, **flags})
    wires = []
    for inputs in (1, 10):
        wires.append(server.wire(timeout=30))
        wires[-1].send(post({"input": ["x" * 99] * inputs}))
        time.sleep(0.2)
    assert metric(server, "vllm:num_requests_waiting") == 10
    return server, wires


def test_a_full_queue_is_told_before_the_body_comes(start_null):
    server, wires = filled(start_null)
    with server.wire(timeout=3) as wire:
        wire.send(post({"input": "a"}).split(b"\r\n\r\n")[0] + b"\r\nExpect: 100-continue\r\n\r\n")
        answer = wire.answer()
        assert answer.status == 429 and answer.json["error"]["type"] == "Too Many Requests", "and no 100 before it"
        assert int(answer.headers["retry-after"]) >= 1
    with server.wire(timeout=3) as wire:  # the head alone, of a body too large to be read for nothing
        wire.send(b"POST /rerank HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
        assert wire.answer().status == 429
    with server.wire(timeout=3) as wire:  # what is not computed is answered all the same
        wire.send(post({"prompt": "a"}, path="/tokenize"))
        assert wire.answer().status == 200
    for wire in wires:
        wire.socket.close()
    wait_for(lambda: server.post("/v1/embeddings", {"input": "a"})[0] == 200)


def test_retry_after_is_the_measured_time(start_null):
    """By the pace at which inputs were computed, whatever the texts' length; a busy machine only makes it longer."""
    for text, delay in (("x" * 99, 0.05), ("x", 0.05), ("x", 0.5)):
        server = start_null(max_queued_items=40, delay_us=int(delay * 1e6))
        assert server.post("/v1/embeddings", {"input": [text] * 4})[0] == 200  # something to measure
        with server.wire(timeout=30) as full, server.wire() as wire:
            full.send(post({"input": [text] * 40}))
            wait_for(lambda: metric(server, "vllm:num_requests_waiting") >= 39)
            wire.send(post({"input": [text] * 20}))
            answer = wire.answer()
            assert answer.status == 429 and 38 * delay < int(answer.headers["retry-after"]) < 2 + 3 * 40 * delay, answer.headers


def test_bodies_that_cannot_fit_are_refused_by_their_length(start_null):
    server = start_null(max_body=1 << 20, max_total_body=1 << 20, body_timeout=20, idle_timeout=20)
    with server.wire() as slow, server.wire() as wire:
        slow.send(post(b'{"input":"a"}' + b" " * 900000)[:800000])
        time.sleep(0.3)
        wire.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n")
        assert wire.answer().status == 429
    wait_for(lambda: server.post("/v1/embeddings", {"input": "x" * 90, "user": "u" * 900000})[0] == 200)


def test_requests_that_wait_for_urls_are_counted():
    """A host that takes connections and says nothing: one request waits for it, one for that one, the third is refused."""
    with socket.create_server(("127.0.0.1", 0)) as host:
        name = f"127.0.0.1:{host.getsockname()[1]}"
        body = {"input": {"image": f"http://{name}/picture.png"}}
        with harness.serve(harness.folder("tiny"), "--allow-private-media-hosts", name, "--media-fetch-threads", "1", "--max-waiting-requests", "1",
                           "--media-fetch-timeout", "20", "--drain-timeout", "0") as server:
            port = int(server.base.rsplit(":", 1)[1])
            with Wire(port) as first, Wire(port) as second:
                first.send(post(body))
                silent, _ = host.accept()
                second.send(post(body))
                wait_for(lambda: server.get("/load")[1]["server_load"] == 2)
                time.sleep(0.2)
                status, text = refusal(server, body)
                assert status == 429 and "1 may (--max-waiting-requests)" in text
                silent.close()


@contextlib.contextmanager
def host_that_sends(data, pause):
    """HOST:PORT that answers every request with `data`, again and again."""
    with socket.create_server(("127.0.0.1", 0)) as host:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    one, _ = host.accept()
                    with one, contextlib.suppress(OSError):
                        one.recv(10000)
                        one.sendall(b"HTTP/1.1 200 OK\r\n")
                        while True:
                            one.sendall(data)
                            time.sleep(pause)
        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{host.getsockname()[1]}"


@pytest.mark.parametrize("flags, data, pause, status, words", [
    (["--media-min-rate", "100K", "--media-fetch-timeout", "3"], b"Content-Length: 100000000\r\n\r\n" + b"x" * 1000, 0.1, 502, "102400 bytes a second"),
    (["--media-connect-timeout", "4", "--media-fetch-timeout", "1"], b"", 0.1, 502, "4 of them to reach it"),
    (["--max-fetched-headers", "2K"], b"X-More: " + b"x" * 500 + b"\r\n", 0, 400, "2048 bytes of headers"),
    (["--max-media-url", "100"], b"", 0.1, 400, "longer than 100 bytes (--max-media-url)"),
], ids=["rate", "connect", "headers", "url"])
def test_limits_of_fetching(flags, data, pause, status, words):
    with host_that_sends(data, pause) as name, \
            harness.serve(harness.folder("tiny"), "--allow-private-media-hosts", name, "--drain-timeout", "0", *flags) as server:
        url = f"http://{name}/{'x' * 100 if 'url' in words else 'x'}"
        answer = refusal(server, {"input": {"image": url}})
        assert answer[0] == status and words in answer[1], answer


def test_refusals_name_the_number_and_the_flag(start_null):
    server, wires = filled(start_null, delay_us=30_000_000, block_us=10_000)
    status, text = refusal(server, {"input": "a"})
    for wire in wires:
        wire.socket.close()
    assert status == 429 and "10 inputs wait" in text and "10 inputs (--max-queued-items)" in text
    assert "16777216 tokens (--max-queued-tokens)" in text
    server = start_null(max_queued_items=5, max_total_body=2 << 20, request_timeout=1, delay_us=3000000)
    status, text = refusal(server, {"input": ["a"] * 6})
    assert status == 413 and "6 inputs" in text and "(--max-queued-items 5, --max-queued-tokens 16777216)" in text
    with server.wire() as wire:
        wire.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 1048577\r\n\r\n")
        answer = wire.answer()
        assert answer.status == 413 and "1048576 bytes" in answer.json["error"]["message"] and "(--max-body)" in answer.json["error"]["message"]
    with server.wire() as one, server.wire() as two, server.wire() as three:
        for wire in (one, two):
            wire.send(post(b" " * 1000000)[:900000])
        time.sleep(0.3)
        three.send(post(b" " * 1000000))
        answer = three.answer()
        assert answer.status == 429 and "2097152 bytes" in answer.json["error"]["message"] and "(--max-total-body)" in answer.json["error"]["message"]
    until = time.monotonic() + 20
    status, text = refusal(server, {"input": "a"})
    while status == 429 and "--max-total-body" in text and time.monotonic() < until:  # the three wires' bodies are still counted
        status, text = refusal(server, {"input": "a"})
    assert status == 504 and "1 seconds" in text and "(--request-timeout)" in text


def test_every_429_tells_the_measured_time(start_null):
    """What --max-total-body refuses comes back when the queue has been computed, as what the queue refuses."""
    server = start_null(max_total_body=1 << 20, max_queued_items=100, delay_us=200000)
    assert server.post("/v1/embeddings", {"input": ["x"] * 4})[0] == 200  # something to measure
    with server.wire(timeout=30) as full, server.wire() as slow, server.wire() as wire:
        full.send(post({"input": ["x"] * 60}))
        wait_for(lambda: metric(server, "vllm:num_requests_waiting") >= 55)
        slow.send(post(b'{"input":"a"}' + b" " * 900000)[:800000])
        time.sleep(0.3)
        wire.send(post(b" " * 900000))
        answer = wire.answer()
        assert answer.status == 429 and "--max-total-body" in answer.json["error"]["message"]
        assert 9 < int(answer.headers["retry-after"]) <= 60


# ---- deadlines -----------------------------------------------------------------------------------------

def test_after_the_deadline_waiting_work_is_dropped(start_null):
    server = start_null(delay_us=700000, request_timeout=2)
    wires = [server.wire(timeout=10) for _ in range(4)]
    start = time.monotonic()
    for wire in wires:
        wire.send(post({"input": ["a"] * 10}))
    for wire in wires:
        answer = wire.answer()
        assert answer.status == 504 and answer.json["error"]["code"] == 504 and "2 seconds" in answer.json["error"]["message"]
        assert "x-request-id" in answer.headers
        assert 1.9 < time.monotonic() - start < 3.5
    wait_for(lambda: metric(server, "vllm:num_requests_waiting") == 0, 1)
    wires[0].send(post({"input": "a"}))  # the connection goes on, and the place is free
    assert wires[0].answer().status == 200
    assert metric(server, "qvec_items_finished_total") < 10


@pytest.mark.parametrize("inputs", [1, 3])
def test_an_input_that_is_being_computed_does_not_hold_the_answer_back(start_null, inputs):
    server = start_null(delay_us=4000000, request_timeout=1)
    with server.wire() as wire:
        start = time.monotonic()
        wire.send(post({"input": ["a"] * inputs}))
        answer = wire.answer()
        assert answer.status == 504 and 0.9 < time.monotonic() - start < 2.5
        wire.send(b"GET /load HTTP/1.1\r\nHost: h\r\n\r\n")
        assert wire.answer().json["server_load"] == 1, "the device still works on it"
        wait_for(lambda: metric(server, "qvec_http_in_flight") == 0, 5)
        assert metric(server, "qvec_items_finished_total") == 1
    assert " /v1/embeddings 504 " in server.log_text()


def test_deadline_and_hang_up_at_once(start_null):
    """Whoever comes first: every job ends once, and the server closes cleanly."""
    server = start_null(delay_us=30000, request_timeout=1)

    def ask(i):
        with server.wire(timeout=10) as wire:
            wire.send(post({"input": ["a"] * (i % 7 + 1)}))
            if i % 3 == 0:
                time.sleep(0.98 + i % 5 * 0.01)
                return "left"
            return wire.answer().status

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(80)))
    assert answers.count("left") == 27 and answers.count(504) > 10 and set(answers) <= {"left", 200, 504}
    wait_for(lambda: metric(server, "qvec_http_in_flight") == 0)


def test_a_drain_while_the_device_is_busy_with_dropped_work(start_null):
    server = start_null(delay_us=2500000, request_timeout=1)
    with server.wire() as wire:
        wire.send(post({"input": "a"}))
        assert wire.answer().status == 504
    server.stop(10)
