"""Many at once, too many, clients that leave, and closing."""
import concurrent.futures
import contextlib
import os
import signal
import time

import pytest

from wire import post


def metric(server, name):
    with server.wire() as wire:
        wire.send(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
        text = wire.answer().body.decode()
    return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def test_concurrent_requests_each_get_their_own_answer(null):
    alone = {n: null.post("/v1/embeddings", {"input": "x" * n})[1]["data"] for n in range(1, 33)}

    def ask(i):
        n = i % 32 + 1
        status, answer = null.post("/v1/embeddings", {"input": "x" * n})
        return status == 200 and answer["data"] == alone[n] and answer["usage"]["prompt_tokens"] == n + 1

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        assert all(pool.map(ask, range(1000)))


def test_over_the_queue_every_request_gets_one_answer(start_null):
    server = start_null(max_queued_items=20, delay_us=2000)

    def ask(_):
        with server.wire(timeout=30) as wire:
            wire.send(post({"input": ["a"] * 5}))
            answer = wire.answer()
            return answer.status, answer.headers.get("retry-after")

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(400)))
    refused = [a for a in answers if a[0] == 429]
    assert len(refused) + sum(a[0] == 200 for a in answers) == 400
    assert refused and all(int(after) >= 1 for _, after in refused)
    assert server.post("/v1/embeddings", {"input": "a"})[0] == 200  # and it recovers at once
    assert metric(server, "vllm:num_requests_waiting") == 0


def test_a_client_that_hangs_up_frees_its_place(start_null):
    server = start_null(delay_us=300000)
    wires = [server.wire() for _ in range(8)]
    for wire in wires:
        wire.send(post({"input": ["a"] * 100}))
    wait_for(lambda: metric(server, "vllm:num_requests_waiting") > 700)
    for wire in wires:
        wire.socket.close()
    wait_for(lambda: metric(server, "vllm:num_requests_waiting") == 0, 3)
    assert metric(server, "qvec_items_cancelled_total") > 700
    start = time.monotonic()
    assert server.post("/v1/embeddings", {"input": "a"})[0] == 200
    assert time.monotonic() - start < 2
    assert "499" in server.log_text()


def test_sigterm_answers_what_is_in_flight(start_null):
    server = start_null(delay_us=100000)
    idle = server.wire()
    wires = [server.wire() for _ in range(10)]
    for wire in wires:
        wire.send(post({"input": "a"}))
    half = server.wire()  # its body comes after the signal
    data = post({"input": "late"})
    half.send(data[:-3])
    wait_for(lambda: metric(server, "vllm:num_requests_waiting") == 9 or metric(server, "qvec_items_finished_total") > 0)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    half.send(data[-3:])
    for wire in [*wires, half]:
        answer = wire.answer()
        assert answer.status == 200, answer.body
        assert wire.closed()
    assert idle.closed()
    server.stop(5)


def test_after_the_drain_time_the_rest_is_told(start_null):
    server = start_null(delay_us=200000, drain=1)
    wires = [server.wire() for _ in range(4)]
    for wire in wires:
        wire.send(post({"input": ["a"] * 200}))
    wait_for(lambda: metric(server, "vllm:num_requests_waiting") > 700)
    start = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    for wire in wires:
        answer = wire.answer()
        assert answer.status == 503 and answer.json["error"]["code"] == 503
    server.stop(10)
    assert time.monotonic() - start < 6


@pytest.mark.parametrize("block_us", [100_000, 0])
def test_after_the_drain_time_a_busy_device_is_not_waited_for(start_null, block_us):
    """Answers come at once; the process ends when the device has, at the next block or (0) at the end."""
    seconds = 60 if block_us else 3
    server = start_null(delay_us=seconds * 1_000_000, block_us=block_us, drain=1, batch=2)
    wires = [server.wire() for _ in range(3)]  # two of one batch, and one that waits
    for wire in wires:
        wire.send(post({"input": "a"}))
        wait_for(lambda: metric(server, "qvec_http_in_flight") == wires.index(wire) + 1)
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    for wire in wires:
        answer = wire.answer()
        assert answer.status == 503 and "shutting down" in answer.json["error"]["message"]
        assert answer.headers["retry-after"] == "1" and answer.headers["connection"].lower() == "close"
        assert 0.9 < time.monotonic() - begun < 3
    server.stop(20)
    assert time.monotonic() - begun < (4 if block_us else seconds + 3)


def test_a_body_that_comes_after_the_drain_time_is_told(start_null):
    server = start_null(delay_us=60_000_000, block_us=20_000, drain=1)
    with server.wire() as plug, server.wire() as wire:
        plug.send(post({"input": "a"}))
        wait_for(lambda: metric(server, "qvec_http_in_flight") == 1)
        wire.send(post(headers=["Transfer-Encoding: chunked"], length=False))
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - begun < 3:
                wire.send(b"1\r\n \r\n")
                time.sleep(0.05)
        answer = wire.answer()
        assert answer.status == 503 and "shutting down" in answer.json["error"]["message"] and "x-request-id" in answer.headers
        assert wire.closed() and plug.answer().status == 503


def test_a_batch_that_nobody_waits_for_is_given_up(start_null):
    server = start_null(delay_us=60_000_000, block_us=50_000)
    with server.wire() as wire:
        wire.send(post({"input": "a"}))
        wait_for(lambda: metric(server, "qvec_http_in_flight") == 1)
        time.sleep(0.1)
    wait_for(lambda: metric(server, "qvec_items_cancelled_total") == 1, 3)
    wait_for(lambda: "499" in server.log_text(), 3)


def test_no_new_connection_while_closing(start_null):
    server = start_null(delay_us=500000)
    with server.wire() as wire:
        wire.send(post({"input": "a"}))
        time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        with pytest.raises(OSError):
            server.wire()
        assert wire.answer().headers["connection"].lower() == "close"


@pytest.mark.resident
def test_memory_and_descriptors_stay_flat(start_null):
    server = start_null(quiet=1)

    def state():
        with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as f:
            pages = int(f.read().split()[1])
        return pages * 4096, len(os.listdir(f"/proc/{server.process.pid}/fd"))

    def burst(count):
        with server.wire() as wire:
            for i in range(count):
                wire.send(post({"input": ["x" * (i % 90)] * (i % 5 + 1)}) if i % 7 else post(b"{"))
                wire.answer()
        for _ in range(50):
            with server.wire() as wire:
                wire.send(post({"input": "a"})[:-1])

    burst(2000)
    wait_for(lambda: state()[1] < 40)
    memory, _ = state()
    burst(4000)
    wait_for(lambda: state()[1] < 40)
    assert state()[0] < memory + (4 << 20)


def test_bodies_together_have_a_limit(start_null):
    server = start_null(max_body=1 << 20, max_total_body=4 << 20, idle_timeout=20, body_timeout=20)
    wires = [server.wire() for _ in range(8)]
    body = b'{"input":"a"}' + b" " * ((1 << 20) - 13)
    for wire in wires:
        wire.send(post(body)[:-1])
    time.sleep(0.5)
    for wire in wires:
        wire.send(b" ")
    statuses = [wire.answer().status for wire in wires]
    assert statuses.count(429) >= 4 and statuses.count(200) >= 3
    assert server.post("/v1/embeddings", {"input": "a"})[0] == 200


def test_closing_under_fire(start_null):
    """Clients that never stop sending must not keep the server from closing, nor break it."""
    for _ in range(5):
        server = start_null(delay_us=200, drain=1)

        def fire():
            count = 0
            while True:
                try:
                    with server.wire(timeout=5) as wire:
                        while True:
                            wire.send(post({"input": "a"}))
                            answer = wire.answer()
                            if answer is None:
                                break
                            assert answer.status in (200, 503)
                            count += 1
                except (ConnectionError, AssertionError) as e:
                    if isinstance(e, AssertionError) and "half" not in str(e):
                        raise
                    if server.process.poll() is not None or isinstance(e, ConnectionRefusedError):
                        return count

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            firing = [pool.submit(fire) for _ in range(8)]
            time.sleep(0.3)
            server.stop(15)
            assert all(f.result() > 0 for f in firing)
