"""What holds in every form that has a place for it: texts that are URLs, dimensions, fields that all have in common."""
import numpy as np
import pytest

from test_forms import PICTURE, good, same, vector
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
