"""What holds in every form that has a place for it: texts that are URLs, dimensions, fields that all have in common."""
import base64
import os
import re

import numpy as np
import pytest

import harness
from test_forms import PICTURE, good, same, vector
from test_load import wait_for
from wire import post

# ---- texts that are URLs ----

URLS = ["https://example.org/cat.png", " HTTP://example.org/a?b=c\n", "data:image/png;base64,iVBORw0KGgo=", "file:///etc/passwd"]
CHAT = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def each_place(text):
    """(path, body) of every place where a form takes a text."""
    message = {"role": "user", "content": text}
    part = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    inputs = [text, [text], {"text": text}, {"text": ["a", text]}, {"content": text}, {"content": part}, {"text": text, "image": PICTURE}]
    yield from (("/v1/embeddings", {"input": i}) for i in inputs)
    yield from (("/v1/embeddings", {"input": i, "task": None}) for i in inputs)
    yield from (("/v1/embeddings", {"messages": m}) for m in ([message], [{**message, "content": part}], [*CHAT, message]))
    yield "/v1/embeddings", {"input": [text], "input_type": "query"}
    yield "/pooling", {"input": text}
    yield "/v2/embed", {"texts": ["a", text]}
    yield "/v2/embed", {"inputs": [{"content": part}]}
    yield "/v1/multimodalembeddings", {"inputs": [{"content": part}]}
    yield "/embed", {"inputs": text}
    yield "/similarity", {"inputs": {"source_sentence": text, "sentences": ["a"]}}
    yield "/similarity", {"inputs": {"source_sentence": "a", "sentences": ["a", text]}}
    yield "/embedding", {"content": [text]}
    for item in (text, {"text": text}, {"content": part}, {"content": [text]}):
        for documents in ({"documents": ["a", item]}, {"documents": item}, {"documents": [item], "top_k": 1}, {"texts": [item]}):
            yield "/rerank", {"query": "q", **documents}
        for documents in ({"documents": ["a"]}, {"documents": ["a"], "top_k": 1}, {"texts": ["a"]}):
            yield "/v1/rerank", {"query": item, **documents}
        for left, right in (("queries", "documents"), ("data_1", "data_2"), ("text_1", "text_2"), ("queries", "items")):
            yield "/score", {left: item, right: ["a"]}
            yield "/score", {left: "a", right: ["a", item]}


@pytest.mark.parametrize("rerank", [0, 1])
def test_a_url_is_no_text_anywhere(start_null, rerank):
    server = start_null(rerank=rerank, max_len=1000)
    for text in URLS:
        for path, body in each_place(text):
            if rerank and path not in ("/rerank", "/v1/rerank", "/score"):
                continue
            status, answer = server.post(path, body)
            assert status in (400, 422) and "is a URL: the model would read its characters" in str(answer), (path, body, answer)
    for text in ("see https://example.org/cat.png", "data: the new oil"):
        for path, body in each_place(text):
            if not rerank or path in ("/rerank", "/v1/rerank", "/score"):
                status, answer = server.post(path, body)
                assert status == 200, (path, body, answer)


# ---- dimensions ----

DIMENSIONS = [
    ("/v1/embeddings", {"input": "a"}, ["dimensions"]),
    ("/v1/embeddings", {"messages": CHAT}, ["dimensions"]),
    ("/v1/embeddings", {"input": "a", "task": None}, ["dimensions"]),
    ("/v1/embeddings", {"input": "a", "input_type": None}, ["dimensions", "output_dimension"]),
    ("/embeddings", {"content": "a"}, ["dimensions"]),
    ("/embedding", {"content": "a"}, ["dimensions"]),
    ("/embed", {"inputs": "a"}, ["dimensions"]),
    ("/v1/embed", {"texts": ["a"]}, ["dimensions", "output_dimension"]),
    ("/v2/embed", {"texts": ["a"]}, ["dimensions", "output_dimension"]),
    ("/v1/multimodalembeddings", {"inputs": [{"content": ["a"]}]}, ["dimensions", "output_dimension"]),
    ("/invocations", {"input": "a"}, ["dimensions"]),
]


def vectors_in(answer):
    """Every list of numbers in an answer."""
    if isinstance(answer, list) and answer and isinstance(answer[0], float):
        yield answer
    elif isinstance(answer, (list, dict)):
        for inner in answer.values() if isinstance(answer, dict) else answer:
            yield from vectors_in(inner)


@pytest.mark.parametrize("path, body, names", DIMENSIONS, ids=range(len(DIMENSIONS)))
def test_dimensions_in_every_form(null, path, body, names):
    whole, = vectors_in(good(null, path, body))
    assert len(whole) == 128
    for name in names:
        short, = vectors_in(good(null, path, {**body, name: 64}))
        assert len(short) == 64
        for wrong in (63, 129, 9999, 0, -1):
            status, answer = null.post(path, {**body, name: wrong})
            assert status in (400, 422) and f"{name} is {wrong}; it must be from 64 to 128." in str(answer)


def test_dimensions_of_cosines(null):
    texts = ["a", "b c", "d e f"]
    one, *others = null.embed(texts, dimensions=64)[0]
    wanted = np.asarray(others, np.float64) @ np.asarray(one, np.float64)
    ask = {"query": "a", "documents": texts[1:], "dimensions": 64}
    sides = {"source_sentence": "a", "sentences": texts[1:]}
    found = {
        "similarity": good(null, "/similarity", {"inputs": sides, "dimensions": 64}),
        "parameters": good(null, "/similarity", {"inputs": sides, "parameters": {"dimensions": 64}}),
        "score": [d["score"] for d in good(null, "/score", {"text_1": "a", "text_2": texts[1:], "dimensions": 64})["data"]],
    }
    for name, (form, field) in {"rerank": ({}, "relevance_score"), "voyage": ({"top_k": None}, "relevance_score"),
                                "tei": ({"texts": texts[1:], "documents": None}, "score")}.items():
        answer = good(null, "/rerank", {**ask, **form})
        ranks = answer if isinstance(answer, list) else answer.get("results") or answer["data"]
        found[name] = [r[field] for r in sorted(ranks, key=lambda r: r["index"])]
    for name, scores in found.items():
        assert np.abs(np.asarray(scores) - wanted).max() < 1e-6, name
    full = good(null, "/rerank", {**ask, "dimensions": None})["results"]
    assert abs(next(r["relevance_score"] for r in full if r["index"] == 0) - wanted[0]) > 1e-4
    for path, body in [("/similarity", {"inputs": sides}), ("/similarity", {"inputs": sides, "parameters": {"dimensions": 9999}}),
                       ("/rerank", ask), ("/rerank", {"query": "a", "texts": ["b"]}), ("/score", {"text_1": "a", "text_2": "b"})]:
        status, answer = null.post(path, {**body, "dimensions": 9999})
        assert status in (400, 422) and "dimensions is 9999; it must be from 64 to " in str(answer)


def test_dimensions_where_there_are_none(null, start_null):
    """vLLM's /pooling refuses the field. A reranker's scores have no dimensions: the field is ignored aloud."""
    assert null.post("/pooling", {"input": "a", "dimensions": 64})[1]["error"]["message"] == "dimensions is currently not supported"
    rerank = start_null(rerank=1)
    with rerank.wire() as wire:
        for form in ({"documents": ["a"]}, {"texts": ["a"]}):
            wire.send(post({"query": "q", "dimensions": 9999, **form}, path="/rerank"))
            answer = wire.answer()
            assert answer.status == 200 and answer.headers["x-qvec-warning"] == "dimensions is ignored: a reranker makes no vectors"


# ---- items ----

def test_older_items_of_jina(null):
    """{"url"} and {"bytes"} are pictures; beside other content they are not looked at."""
    data = PICTURE.split(",")[1]
    wanted = vector(null, {"image": PICTURE})
    for item in ({"url": PICTURE}, {"bytes": data}, {"bytes": PICTURE}):
        assert same(vector(null, item, task=None), wanted) and same(vector(null, item), wanted)
        assert len(good(null, "/v1/rerank", {"query": item, "documents": [item, "a"]})["results"]) == 2
    for body in ({"input": [{"url": "https://example.org/a.png"}]}, {"input": [{"bytes": "no base64"}]}, {"input": [{"url": "file:///etc/passwd"}]}):
        status, answer = null.post("/v1/embeddings", body)
        assert status == 400 and "input[0]: " in answer["error"]["message"]
    with_source = {"text": "ab", "url": "https://example.org/a", "bytes": 1234}
    assert same(vector(null, with_source), vector(null, {"text": "ab"}))


@pytest.mark.parametrize("text, parts", [("{}x", ["{}", "x"]), ("a{}x", ["a", "{}", "x"])])
def test_a_place_written_into_the_text_is_the_pictures(server, text, parts):
    """As older clients of vLLM send it, beside the picture: the picture stands there once."""
    with open(os.path.join(harness.ASSETS, "frame0.png"), "rb") as f:
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(f.read()).decode()}}
    place = "<|vision_start|><|image_pad|><|vision_end|>"
    for fields in ({}, {"prompt": "raw", "add_generation_prompt": True}):
        def ask(content, fields=fields):
            return good(server, "/v1/embeddings", {"messages": [{"role": "user", "content": content}], "echo": "prompts", **fields})
        wanted = ask([picture if part == "{}" else part for part in parts])
        found = ask([picture, {"type": "text", "text": text.format(place)}])
        assert found["data"] == wanted["data"] and found["qvec"] == wanted["qvec"]
        status, answer = server.post("/v1/embeddings", {"messages": [{"role": "user", "content": [picture, text.format(place * 2)]}]})
        assert status == 400 and "Found more" in answer["error"]["message"]


# ---- fields that all have in common ----

PLAIN = {"/v1/embeddings": {"input": "a"}, "/pooling": {"input": "a"}, "/embed": {"inputs": "a"}, "/v2/embed": {"texts": ["a"]},
         "/v1/multimodalembeddings": {"inputs": [{"content": ["a"]}]}, "/embedding": {"content": "a"},
         "/similarity": {"inputs": {"source_sentence": "a", "sentences": ["b"]}}, "/rerank": {"query": "a", "documents": ["b"]},
         "/score": {"text_1": "a", "text_2": "b"}}


@pytest.mark.parametrize("path", PLAIN)
def test_common_fields(null, path):
    for fine in ({"priority": 0}, {"priority": None}, {"cache_salt": "s"}, {"cache_salt": "é" * 1024}, {"request_id": "x", "user": "y"},
                 {"padding": "do_not_pad"}, {"padding": None, "cache_salt": None}):
        good(null, path, {**PLAIN[path], **fine})
    for field, wrong in [("priority", 5), ("priority", -1), ("priority", "0"), ("cache_salt", ""), ("cache_salt", 5), ("cache_salt", "é" * 1025),
                         ("request_id", 5), ("user", []), ("padding", "max_length"), ("padding", True)]:
        status, answer = null.post(path, {**PLAIN[path], field: wrong})
        assert status in (400, 422) and field in str(answer), (field, wrong, answer)


def test_too_long_raw_texts_of_cosines(null):
    """As for embeddings: refused in vLLM's form without a wish, cut where the request or the dialect says so."""
    documents = ["a", "x" * 150]
    status, answer = null.post("/rerank", {"query": "q", "documents": documents})
    assert status == 400 and "maximum context length is 100 tokens" in answer["error"]["message"]
    for form in ({"documents": documents, "truncate_prompt_tokens": -1}, {"documents": documents, "top_k": None}, {"texts": documents}):
        with null.wire() as wire:
            wire.send(post({"query": "q", **form}, path="/rerank"))
            answer = wire.answer()
            assert answer.status == 200 and answer.headers["x-qvec-truncated"] == "1", answer.body
    for form in ({"documents": documents, "truncation": False}, {"texts": documents, "truncate": False},
                 {"documents": documents, "truncate_prompt_tokens": -1, "truncation_side": "left"}):
        status, answer = null.post("/rerank", {"query": "q", **form})
        assert status in (400, 422) and "[1] has 151 tokens; at most 100 are taken, and the request asks not to cut it" in str(answer)
    for wrong, words in ((0, "must be -1 or at least 1"), (101, "value is greater than max_model_len"), (-2, "truncate_prompt_tokens is -2")):
        assert words in null.post("/score", {**PLAIN["/score"], "truncate_prompt_tokens": wrong})[1]["error"]["message"]


def test_raw_scores_beside_documents(start_null):
    """Infinity's name for it."""
    rerank = start_null(rerank=1)
    raw, = good(rerank, "/rerank", {"query": "a", "documents": ["b"], "raw_scores": True})["results"]
    assert raw["relevance_score"] == good(rerank, "/rerank", {"query": "a", "documents": ["b"], "use_activation": False})["results"][0]["relevance_score"] < 0


def test_jinas_older_name_of_the_type(null):
    wanted = good(null, "/v1/embeddings", {"input": "a", "embedding_type": "binary"})["data"]
    assert good(null, "/v1/embeddings", {"input": "a", "encoding_type": "binary"})["data"] == wanted


# ---- fields that nobody knows ----

IGNORED = re.compile(r"ignored id=(\S+) path=(\S+) count=(\d+) fields=(\S*)$", re.MULTILINE)


def ignored(server, path, body):
    """(count, names) of the log's lines about one request; the line is written before the answer."""
    with server.wire() as wire:
        wire.send(post(body, path=path, headers=["X-Request-Id: probe"]))
        answer = wire.answer()
        assert answer.status == 200, (body, answer.body)
    wait_for(lambda: f" POST {path} 200 " in server.log_text())
    return [(int(count), names.split(",")) for one, where, count, names in IGNORED.findall(server.log_text()) if one == "probe" and where == path]


@pytest.mark.parametrize("path", PLAIN)
def test_unknown_fields_are_told_to_the_log(start_null, path):
    server = start_null()
    assert ignored(server, path, PLAIN[path]) == []
    assert ignored(server, path, {**PLAIN[path], "surprise": "the content", "another": {"a": [1]}}) == [(2, ["surprise", "another"])]
    assert "the content" not in server.log_text()


def test_a_field_of_another_dialect_is_unknown(start_null):
    server = start_null()
    assert ignored(server, "/v1/embeddings", {"input": "a", "task": None, "use_activation": False}) == [(1, ["use_activation"])]
    assert ignored(server, "/invocations", {"query": "a", "documents": ["b"], "inputs": "c"}) == [(1, ["inputs"])]


def test_names_in_the_log_are_few_short_and_plain(start_null):
    server = start_null()
    body = {"input": "a", "x" * 5000: 1, "evil\n2026 request id=root fields=": 2, "esc\x1b[31m\u2028é": 3, "": 4, **{f"f{i}": i for i in range(100)}}
    (count, names), = ignored(server, "/v1/embeddings", body)
    assert count == 104 and len(names) == 8
    assert names[:3] == ["x" * 40 + "...", "evil?2026?request?id?root?fields?", "esc??31m?????"]
    assert len(max(server.log_text().splitlines(), key=len)) < 600


def properties(schemas, schema):
    """Names of fields of an object's schema."""
    schema = schemas[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    found = set(schema.get("properties", ()))
    for inner in schema.get("allOf", []) + schema.get("anyOf", []):
        found |= properties(schemas, inner)
    return found


def test_every_documented_field_is_read(start_null):
    """Each field of a path's schema means something in one of its dialects at least."""
    server = start_null()
    document = server.get("/openapi.json")[1]
    for path, plain in PLAIN.items():
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        unread = properties(document["components"]["schemas"], schema)
        assert len(unread) > 15
        others = {"/v1/embeddings": [{"messages": CHAT}, {"input": "a", "normalized": None}], "/pooling": [{"messages": CHAT}],
                  "/rerank": [{"query": "a", "texts": ["b"]}]}
        for base in [plain, *others.get(path, [])]:
            start = len(server.log_text())
            for name in unread - set(base):
                good(server, path, {**base, name: None})
            unread &= {name for _, _, _, names in IGNORED.findall(server.log_text()[start:]) for name in names.split(",")}
        assert not unread, path
