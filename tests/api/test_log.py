"""One line for each request: who, what, how many, and where the time went; nothing of what was sent."""
import re
import time

import pytest

from test_load import metric, wait_for
from wire import post

LINE = re.compile(r"request id=(?P<id>\S+) client=(?P<client>\S+) (?P<method>\S+) (?P<path>\S+) (?P<status>\d+) "
                  r"items=(?P<items>\d+) tokens=(?P<tokens>\d+) read_ms=(?P<read>[\d.]+) wait_ms=(?P<wait>[\d.]+) "
                  r"decode_ms=(?P<decode>[\d.]+) compute_ms=(?P<compute>[\d.]+) write_ms=(?P<write>[\d.]+) "
                  r"total_ms=(?P<total>[\d.]+) end=(?P<end>\w+)")


def lines(server, count):
    """The access lines, when there are `count` of them: they are written after the answer."""
    wait_for(lambda: len(LINE.findall(server.log_text())) >= count)
    return [match.groupdict() for match in LINE.finditer(server.log_text())]


def test_stages_are_the_whole_time(start_null):
    server = start_null(delay_us=100000)
    with server.wire() as wire:
        wire.send(post({"input": ["a", "b"]}, headers=["X-Request-Id: two"]))
        assert wire.answer().status == 200
    one, = lines(server, 1)
    stages = {name: float(one[name]) for name in ("read", "wait", "decode", "compute", "write")}
    assert 199 < stages["compute"] < 400, "both inputs, one after the other"
    assert abs(sum(stages.values()) - float(one["total"])) < 20
    assert (one["id"], one["client"], one["method"], one["path"]) == ("two", "127.0.0.1", "POST", "/v1/embeddings")
    assert (one["status"], one["items"], one["tokens"], one["end"]) == ("200", "2", "4", "sent")


def test_waiting_is_told_from_computing(start_null):
    server = start_null(delay_us=150000)
    wires = [server.wire() for _ in range(3)]
    for wire in wires:
        wire.send(post({"input": "a"}))
    assert all(wire.answer().status == 200 for wire in wires)
    waits = sorted(float(line["wait"]) for line in lines(server, 3))
    assert waits[0] < 100 < waits[1] < 250 < waits[2] < 450
    assert all(149 < float(line["compute"]) < 250 for line in lines(server, 3))


def test_slow_reading_is_told(start_null):
    server = start_null()
    data = post({"input": "a"})
    with server.wire() as wire:
        wire.send(data[:-4])
        time.sleep(0.3)
        wire.send(data[-4:])
        assert wire.answer().status == 200
    one, = lines(server, 1)
    assert float(one["read"]) > 290 and float(one["total"]) - float(one["read"]) < 100


@pytest.mark.parametrize("data, status", [
    (post(b"{"), 400), (post({"input": "a"}, path="/nowhere"), 404), (b"DELETE /v1/embeddings HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    (b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", 413), (b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    (b"OPTIONS /rerank HTTP/1.1\r\nHost: h\r\n\r\n", 204)])
def test_every_request_has_a_line_and_an_id(start_null, data, status):
    server = start_null()
    with server.wire() as wire:
        wire.send(data)
        answer = wire.answer()
        assert answer.status == status
    one, = lines(server, 1)
    assert one["status"] == str(status) and one["id"] == answer.headers["x-request-id"] and one["compute"] == "0.000"


def test_a_client_that_left_is_told(start_null):
    server = start_null(delay_us=300000)
    with server.wire() as wire:
        wire.send(post({"input": ["a"] * 3}))
        wait_for(lambda: metric(server, "vllm:num_requests_waiting") == 2)
    wait_for(lambda: " /v1/embeddings 499 " in server.log_text())
    one, = [line for line in lines(server, 1) if line["path"] == "/v1/embeddings"]
    assert one["items"] == "0" and float(one["wait"]) + float(one["compute"]) < 1500


def test_methods_and_paths_of_the_clients_invention_are_not_repeated(start_null):
    server = start_null()
    with server.wire() as wire:
        wire.send(b"SECRET /secret HTTP/1.1\r\nHost: h\r\n\r\n")
        assert wire.answer().status in (404, 405)
    one, = lines(server, 1)
    assert one["method"] == one["path"] == "(unknown)" and "ecret" not in server.log_text().lower().replace("(unknown)", "")
