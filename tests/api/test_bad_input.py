"""What bad input gets: a 4xx in the error form that names the field and the limit, whatever the input."""
import base64
import json

import pytest

from wire import post

# body, status, type, words that the message must hold
JSON = "Bad Request"
SENSE = "BadRequestError"
TABLE = [
    (b"", 400, JSON, "empty"),
    (b"{", 400, JSON, "line 1, column"),
    (b'{"input": "a"', 400, JSON, "line 1, column 13"),
    (b'{"input": "a"} x', 400, JSON, "line 1"),
    (b'{"input": "a",}', 400, JSON, "line 1"),
    (b"{'input': 'a'}", 400, JSON, "line 1"),
    (b'[{"input": "a"}]', 400, JSON, "must be a JSON object, not a list"),
    (b'"a"', 400, JSON, ""),
    (b"null", 400, JSON, ""),
    (b'{"input": "\xff\xfe"}', 400, JSON, "UTF-8 at byte 11"),
    (b'{"input": "\xed\xa0\x80"}', 400, JSON, "UTF-8 at byte 11"),
    (b'{"input": "\\ud800"}', 400, JSON, "line 1"),
    (b'{"input": "a", "input": "b"}', 400, JSON, "duplicate"),
    (b'{"input": NaN}', 400, JSON, "line 1"),
    (b'{"input": [1e999]}', 400, JSON, "line 1"),
    (b'{"input": "a", "dimensions": 99999999999999999999999}', 400, JSON, "line 1"),
    (b'{"input": ' + b"[" * 100000, 400, JSON, "depth"),
    (b'{"input": ' + b"[" * 3000 + b"]" * 3000 + b"}", 400, JSON, "depth"),
    (b'{"input": ' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}", 400, JSON, "depth"),
    ({}, 400, JSON, "input is missing"),
    ({"input": None}, 400, JSON, "input is missing"),
    ({"input": []}, 400, SENSE, "You must pass at least one prompt"),
    ({"input": [[]]}, 400, JSON, "input[0] is an empty list"),
    ({"input": 5}, 400, JSON, "input is an integer"),
    ({"input": 5.5}, 400, JSON, "input is a number"),
    ({"input": True}, 400, JSON, "boolean"),
    ({"input": {"a": 1}}, 400, JSON, "object"),
    ({"input": ["a", 5]}, 400, JSON, "input[1] is an integer but input[0] is a string"),
    ({"input": [5, "a"]}, 400, JSON, "value 1 is a string"),
    ({"input": [[5], "a"]}, 400, JSON, "input[1] is a string but input[0] is a list"),
    ({"input": [[5], [5, "a"]]}, 400, JSON, "input[1]: value 1 is a string"),
    ({"input": [1, 2.5]}, 400, JSON, "value 1 is a number with a fraction"),
    ({"input": [[[1]]]}, 400, JSON, "input[0]: value 0 is a list"),
    ({"input": [None]}, 400, JSON, "input[0] is null"),
    ({"input": [-1]}, 400, JSON, "token id -1 (value 0) is out of range"),
    ({"input": [2 ** 40]}, 400, JSON, "out of range"),
    ({"input": ["a"] * 2049}, 400, JSON, "2049 inputs; one request takes at most 2048"),
    ({"input": "x" * 100}, 400, SENSE, "maximum context length is 100 tokens. However, you requested 0 output tokens and your prompt contains 101"),
    ({"input": ["a", "x" * 200]}, 400, SENSE, "contains 201 input tokens"),
    ({"input": ["a", "x" * 200]}, 400, SENSE, "input[1]"),
    ({"input": "a", "model": "gpt"}, 404, "NotFoundError", "`gpt` does not exist"),
    ({"input": "a", "model": 5}, 400, JSON, "model must be a string"),
    ({"input": "a", "user": 5}, 400, JSON, "user must be a string"),
    ({"input": "a", "dimensions": 0}, 400, JSON, "from 64 to 128"),
    ({"input": "a", "dimensions": 63}, 400, JSON, "from 64 to 128"),
    ({"input": "a", "dimensions": 129}, 400, JSON, "dimensions is 129; it must be from 64 to 128"),
    ({"input": "a", "dimensions": -5}, 400, JSON, "from 64 to 128"),
    ({"input": "a", "dimensions": 64.5}, 400, JSON, "must be an integer"),
    ({"input": "a", "dimensions": "64"}, 400, JSON, "must be an integer, not a string"),
    ({"input": "a", "dimensions": True}, 400, JSON, "must be an integer"),
    ({"input": "a", "encoding_format": "hex"}, 400, JSON, '"float", "base64", "bytes", "bytes_only"'),
    ({"input": "a", "encoding_format": 1}, 400, JSON, "encoding_format must be a string"),
    ({"input": "a", "embed_dtype": "fp4"}, 400, JSON, "embed_dtype"),
    ({"input": "a", "endianness": "middle"}, 400, JSON, "endianness"),
    ({"input": "a", "truncate_prompt_tokens": 101}, 400, SENSE, "truncate_prompt_tokens value is greater than max_model_len"),
    ({"input": "a", "truncate_prompt_tokens": -2}, 400, JSON, "truncate_prompt_tokens"),
    ({"input": "a", "truncate_prompt_tokens": 0}, 400, JSON, "truncate_prompt_tokens"),
    ({"input": "a", "truncation_side": "middle"}, 400, JSON, "truncation_side"),
    ({"input": "a", "add_special_tokens": "yes"}, 400, JSON, "true or false"),
    ({"input": "", "add_special_tokens": False}, 400, SENSE, "input"),
    ({"input": "a", "use_activation": 1}, 400, JSON, "true or false"),
    ({"input": "a", "normalize": True}, 400, SENSE, "Parameter `normalize` was removed; use `use_activation` instead."),
    ({"input": "a", "prompt": "chatty"}, 400, JSON, '"official", "raw"'),
    ({"input": "a", "instruction": 7}, 400, JSON, "instruction must be a string"),
    ({"input": "a", "instruction": "a\0b"}, 400, JSON, "U+0000"),
    ({"input": "a", "instruction": "i", "prompt": "raw"}, 400, JSON, "official"),
    ({"input": "a", "prompt": "official", "add_special_tokens": False}, 400, JSON, "raw"),
    ({"input": "https://example.org/cat.png"}, 400, JSON, "input is a URL"),
    ({"input": ["a", " HTTP://example.org/cat.png\n"]}, 400, JSON, "input[1] is a URL"),
    ({"input": "data:image/png;base64,iVBORw0KGgo="}, 400, JSON, "is a URL"),
    ({"input": "file:///etc/passwd"}, 400, JSON, "is a URL"),
]


def send(null, body, **options):
    with null.wire() as wire:
        wire.send(post(body, **options))
        return wire.answer()


@pytest.mark.parametrize("body,status,kind,words", TABLE, ids=[str(i) for i in range(len(TABLE))])
def test_refused(null, body, status, kind, words):
    answer = send(null, body)
    assert answer.status == status and answer.headers["content-type"] == "application/json"
    error = answer.json["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["code"] == status and error["type"] == kind
    assert words in error["message"], error["message"]
    assert error["param"] is None or isinstance(error["param"], str)


@pytest.mark.parametrize("text", [
    "see https://example.org/cat.png", "https://example.org/cat.png shows a cat", "data: the new oil", "data:", "http://", "https:// a",
    "data:a b,c", "dataset", "", " ", "\0", "a\0b", "é", "\U0001F600", "httpx://a",
])
def test_texts_that_are_fine(null, text):
    answer = send(null, {"input": text})
    assert answer.status == 200, answer.body
    assert answer.json["usage"]["prompt_tokens"] == len(text.encode()) + 1


@pytest.mark.parametrize("value", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/", ""])
def test_content_type(null, value):
    with null.wire() as wire:
        body = b'{"input":"a"}'
        wire.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" %
                  (value.encode(), len(body), body))
        answer = wire.answer()
        assert answer.status == 400 and "Content-Type" in answer.json["error"]["message"]
        wire.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nContent-Type: Application/JSON; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s" %
                  (len(body), body))
        assert wire.answer().status == 200


@pytest.mark.resident
def test_a_body_of_brackets_does_not_take_gigabytes(start_null):
    server = start_null(max_body=64 << 20)

    def peak():
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) >> 10

    for piece in (b"[],", b"0,", b'"",', b"{},"):
        size = 48 << 20
        body = b'{"input":[' + piece * (size // len(piece)) + b"0]}"
        answer = send(server, body)
        assert answer.status in (400, 413), answer.body[:200]
    assert peak() < 1500, f"{peak()} MiB"
    assert send(server, {"input": "a"}).status == 200


def test_model_names(null):
    for model in (None, "", "null"):
        assert null.post("/v1/embeddings", {"input": "a", "model": model})[1]["model"] == "null"


def test_unknown_fields_are_ignored(null):
    fields = {"priority": 0, "cache_salt": "x", "request_id": "y", "padding": None, "surprise": {"a": [1]}}
    assert null.post("/v1/embeddings", {"input": "a", **fields})[0] == 200


def test_truncation_is_told(null):
    _, answer = null.post("/v1/embeddings", {"input": ["x" * 150, "short"], "truncate_prompt_tokens": -1})
    assert answer["qvec"] == {"prompt": "raw", "truncated": [{"index": 0, "tokens": 100, "untruncated": 151}]}
    assert answer["usage"]["prompt_tokens"] == 106
    _, answer = null.post("/v1/embeddings", {"input": "x" * 50, "truncate_prompt_tokens": 7, "truncation_side": "left"})
    assert answer["qvec"]["truncated"] == [{"index": 0, "tokens": 7, "untruncated": 51}]


def test_encodings_hold_the_same_numbers(null):
    import numpy as np
    ask = {"input": ["one", "three"]}
    plain = [np.array(d["embedding"], np.float32) for d in null.post("/v1/embeddings", ask)[1]["data"]]
    coded = null.post("/v1/embeddings", {**ask, "encoding_format": "base64"})[1]["data"]
    assert [np.frombuffer(base64.b64decode(d["embedding"]), "<f4").tobytes() for d in coded] == [p.tobytes() for p in plain]
    big = null.post("/v1/embeddings", {**ask, "encoding_format": "base64", "endianness": "big"})[1]["data"]
    assert (np.frombuffer(base64.b64decode(big[1]["embedding"]), ">f4") == plain[1]).all()
    half = null.post("/v1/embeddings", {**ask, "encoding_format": "base64", "embed_dtype": "float16"})[1]["data"]
    assert (np.frombuffer(base64.b64decode(half[0]["embedding"]), "<f2") == plain[0].astype(np.float16)).all()
    answer = send(null, {**ask, "encoding_format": "bytes"})
    assert answer.headers["content-type"] == "application/octet-stream"
    meta = json.loads(answer.headers["metadata"])
    assert meta["data"][1] == {"index": 1, "embed_dtype": "float32", "endianness": "little", "start": 512, "end": 1024, "shape": [128]}
    assert answer.body == plain[0].tobytes() + plain[1].tobytes()
    answer = send(null, {**ask, "encoding_format": "bytes_only"})
    assert "metadata" not in answer.headers and len(answer.body) == 1024


def test_answer_has_the_keys_in_order(null):
    answer = null.post("/v1/embeddings", {"input": "a"})[1]
    assert list(answer) == ["id", "object", "created", "model", "data", "usage", "qvec"]
    assert list(answer["data"][0]) == ["index", "object", "embedding"]
    assert answer["usage"] == {"prompt_tokens": 2, "total_tokens": 2, "completion_tokens": 0, "prompt_tokens_details": None}


def test_keys(start_null):
    server = start_null(key=["first", "second"])
    body = {"input": "a"}
    for path in ("/v1/embeddings", "/tokenize", "/detokenize"):
        assert send(server, body, path=path).status == 401
    for value in ("Bearer wrong", "Bearer firs", "Bearer firstx", "first", "Basic first", "Bearer", "Bearer ", ""):
        answer = send(server, body, headers=["Authorization: " + value])
        assert answer.status == 401 and answer.json["error"]["code"] == 401 and answer.headers["www-authenticate"] == "Bearer"
    for value in ("Bearer first", "bearer second"):
        assert send(server, body, headers=["Authorization: " + value]).status == 200
    with server.wire() as wire:
        for path, status in (("/v1/models", 401), ("/health", 200), ("/version", 200), ("/metrics", 200)):
            wire.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            assert wire.answer().status == status
    assert "first" not in server.log_text()


def test_tokenize_and_back(null):
    status, answer = null.post("/tokenize", {"prompt": "hé", "return_token_strs": True})
    assert status == 200
    assert answer == {"count": 4, "max_model_len": 100, "tokens": [104, 195, 169, 256], "token_strs": ["h", "Ã", "©", ""]}
    assert null.post("/tokenize", {"prompt": "h", "add_special_tokens": False})[1]["token_strs"] is None
    assert null.post("/detokenize", {"tokens": [104, 195, 169]})[1] == {"prompt": "hé"}
    assert null.post("/detokenize", {"tokens": [195]})[1] == {"prompt": "�"}
    for bad in ([999], [-1], ["a"], [2 ** 50], "x", None):
        assert null.post("/detokenize", {"tokens": bad})[0] == 400
    for bad in (None, 5, ["a"]):
        assert null.post("/tokenize", {"prompt": bad})[0] == 400
