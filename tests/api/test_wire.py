"""Bytes on the wire: framing, half requests, refusals. After each of them the server must answer the next request."""
import socket
import time

import pytest

from wire import chunked, post

GOOD = {"input": "hello"}


@pytest.fixture
def wire(null):
    with null.wire() as connection:
        yield connection
    with null.wire() as another:
        another.send(post(GOOD))
        assert another.answer().status == 200


def test_keep_alive_takes_many_requests(wire):
    for _ in range(20):
        wire.send(post(GOOD))
        assert wire.answer().json["usage"]["prompt_tokens"] == 6


def test_pipelined_requests_are_answered_in_order(wire):
    texts = ["x" * n for n in range(1, 21)]
    wire.send(b"".join(post({"input": t}) for t in texts))
    assert [wire.answer().json["usage"]["prompt_tokens"] for _ in texts] == [len(t) + 1 for t in texts]


def test_bytes_one_at_a_time(wire):
    for byte in post(GOOD):
        wire.send(bytes([byte]))
    assert wire.answer().status == 200


def test_chunked_body(wire):
    body = b'{"input": "hello"}'
    wire.send(post(headers=["Transfer-Encoding: chunked"], length=False) + chunked(*(bytes([b]) for b in body)))
    assert wire.answer().json["usage"]["prompt_tokens"] == 6
    wire.send(post(GOOD))
    assert wire.answer().status == 200


def test_expect_continue(wire):
    head, body = post(GOOD, headers=["Expect: 100-continue"]).split(b"\r\n\r\n")
    wire.send(head + b"\r\n\r\n")
    assert wire.answer().status == 100
    wire.send(body)
    assert wire.answer().status == 200


def test_expect_continue_is_refused_without_the_body(wire):
    wire.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
    assert wire.answer().status == 413


def test_too_large_is_said_before_the_body_comes(wire):
    wire.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 1048577\r\n\r\n")
    answer = wire.answer()
    assert answer.status == 413 and answer.json["error"]["code"] == 413


def test_too_large_is_heard_by_a_client_that_keeps_sending(null):
    """The answer must not be lost in a connection reset."""
    for _ in range(5):
        with null.wire() as wire:
            wire.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 20000000\r\n\r\n")
            for _ in range(20):
                wire.send(b" " * 1000000)
            assert wire.answer().status == 413
            assert wire.closed()


def test_exactly_the_limit_is_taken(wire):
    body = b'{"input":"hello"}'
    wire.send(post(body + b" " * (1048576 - len(body))))
    assert wire.answer().status == 200


def test_chunks_over_the_limit_end_with_413(wire):
    wire.send(post(headers=["Transfer-Encoding: chunked"], length=False))
    for _ in range(20):
        wire.send(b"%x\r\n%s\r\n" % (65536, b" " * 65536))
    assert wire.answer().status == 413
    assert wire.closed()


@pytest.mark.parametrize("path, message", [
    ("/v1/embeddings", lambda a: a["error"]["message"]), ("/v2/embed", lambda a: a["message"]), ("/v1/multimodalembeddings", lambda a: a["detail"]),
    ("/embed", lambda a: a["error"] if a["error_type"] == "Validation" else None), ("/rerank", lambda a: a["error"]["message"]),
])
def test_chunks_over_the_limit_are_refused_as_the_path_does(null, path, message):
    """Byte for byte what is said of a body whose length is told before, but for the connection's end."""
    answers = []
    for length in ("Content-Length: 1048577", "Transfer-Encoding: chunked"):
        with null.wire() as wire:
            wire.send(post(path=path, headers=["X-Request-Id: it-is-me", length], length=False))
            for _ in range(17):
                wire.send(b"%x\r\n%s\r\n" % (65536, b" " * 65536))
            answers.append(wire.answer())
            assert wire.closed()
    told, cut = answers
    assert cut.status == told.status == 413 and cut.body == told.body and "1048576 bytes" in message(cut.json) and "(--max-body)" in message(cut.json)
    assert cut.headers["x-request-id"] == "it-is-me" and cut.headers["connection"].lower() == "close"
    assert {**cut.headers, "date": ""} == {**told.headers, "date": ""}


def test_post_without_length(wire):
    wire.send(post(length=False))
    assert wire.answer().status == 411


@pytest.mark.parametrize("headers", [
    ["Content-Length: 5", "Content-Length: 6"],
    ["Content-Length: 18", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
    ["Transfer-Encoding: gzip, chunked"],
    ["Transfer-Encoding: xchunked"],
    ["Content-Length: -1"],
    ["Content-Length: +5"],
    ["Content-Length: 5x"],
    ["Content-Length: 0x10"],
    ["Content-Length: "],
    ["Content-Length: 99999999999999999999999999"],
])
def test_two_readings_of_a_length_are_refused(null, headers):
    """What two programs could frame differently is how requests are smuggled: refused, and the connection ends."""
    with null.wire() as wire:
        wire.send(post(headers=headers, length=False) + b"0\r\n\r\n" + post(GOOD))
        answer = wire.answer()
        assert answer is None or answer.status in (400, 411, 413)
        assert wire.closed()


@pytest.mark.parametrize("data", [
    b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET /health\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 100, b"A" * 100000,
    b"GET /health HTTP/9.9\r\nHost: h\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: h\r\nNo colon\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: h\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(200)) + b"\r\n",
    b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /health%00x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n",
])
def test_garbage(null, data):
    with null.wire(timeout=3) as wire:
        try:
            wire.send(data)
            wire.socket.shutdown(socket.SHUT_WR)
            while wire._more():
                pass
        except OSError:
            pass
    assert not wire.rest or b" 200 " not in wire.rest.split(b"\r\n")[0] or data.startswith(b"GET /health")
    assert null.post("/v1/embeddings", GOOD)[0] == 200


def test_half_a_body_then_gone(null):
    for cut in (1, 30, 100, -1, -5):
        with null.wire() as wire:
            wire.send(post(GOOD)[:cut])
    assert null.post("/v1/embeddings", GOOD)[0] == 200


def test_slow_head_and_slow_body_end(start_null):
    """One byte a second keeps a time-out that counts from the last byte alive for ever."""
    server = start_null(idle_timeout=2)
    for data in (post(GOOD)[:60], post(GOOD)):
        with server.wire(timeout=15) as wire:
            start = time.monotonic()
            with pytest.raises(OSError):
                for i in range(len(data) - 1):
                    wire.send(data[i:i + 1])
                    time.sleep(0.5 if i < 100 else 0.7)
            assert time.monotonic() - start < 12


def test_idle_connection_is_closed(start_null):
    server = start_null(idle_timeout=1)
    with server.wire() as wire:
        start = time.monotonic()
        assert wire.closed()
        assert 0.5 < time.monotonic() - start < 5


def test_unknown_path_and_method(null):
    with null.wire() as wire:
        wire.send(post(GOOD, path="/v1/chat/completions"))
        answer = wire.answer()
        assert answer.status == 404 and answer.json["error"]["type"] == "NotFoundError"
        wire.send(post(GOOD, path="/v1/models"))  # the connection goes on
        answer = wire.answer()
        assert answer.status == 405 and answer.headers["allow"] == "GET, HEAD, OPTIONS"
        wire.send(b"DELETE /v1/embeddings HTTP/1.1\r\nHost: h\r\n\r\n")
        assert wire.answer().headers["allow"] == "POST, OPTIONS"
        wire.send(b"OPTIONS /v1/embeddings HTTP/1.1\r\nHost: h\r\n\r\n")
        assert wire.answer().status == 204


def test_head_has_no_body(null):
    with null.wire() as wire:
        wire.send(b"HEAD /v1/models HTTP/1.1\r\nHost: h\r\n\r\nGET /version HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(0.3)
        data = wire.socket.recv(65536)
        assert data.count(b"HTTP/1.1 200") == 2 and b'"object"' not in data and b'"version"' in data


def test_request_id_is_taken_and_returned(null):
    with null.wire() as wire:
        wire.send(post(GOOD, headers=["X-Request-Id: my-id.7"]))
        answer = wire.answer()
        assert answer.headers["x-request-id"] == "my-id.7" and answer.json["id"] == "embd-my-id.7"
        wire.send(post(GOOD, headers=['X-Request-Id: a"b']))
        answer = wire.answer()
        assert len(answer.headers["x-request-id"]) == 32 and answer.json["id"] == "embd-" + answer.headers["x-request-id"]


def test_logs_hold_no_content(null):
    secret = "xyzzy-secret"
    null.post("/v1/embeddings", {"input": secret, "instruction": secret, "model": secret})
    null.post("/" + secret, {"input": secret})
    with null.wire() as wire:
        wire.send(post(GOOD, path="/v1/embeddings?" + secret, headers=["Authorization: Bearer " + secret]))
        assert wire.answer().status == 200
    assert secret not in null.log_text() and "POST /v1/embeddings 200 items=1 tokens=6" in null.log_text()
