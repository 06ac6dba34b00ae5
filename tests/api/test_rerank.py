"""Rerank and score in every form, over the null back end: a document's score grows with its length."""
import math

import pytest

from wire import post


@pytest.fixture(scope="module")
def rerank(tmp_path_factory):
    from conftest import Null
    server = Null(["--rerank", "1", "--max-len", "1000"], str(tmp_path_factory.mktemp("rerank") / "log"))
    yield server
    server.stop()


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def score_of(text):
    return sigmoid((len(text) + 1) / 16 - 2)


DOCUMENTS = ["bb", "dddd", "a", "ccc"]
ORDER = [1, 3, 0, 2]
PNG = "data:image/png;base64,iVBORw0KGgo="


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_rerank(rerank, path):
    status, answer = rerank.post(path, {"model": "null", "query": "q", "documents": DOCUMENTS, "truncate_prompt_tokens": -1})
    assert status == 200, answer
    assert list(answer) == ["id", "model", "usage", "results", "qvec"]
    assert answer["id"].startswith("score-") and answer["model"] == "null"
    assert [r["index"] for r in answer["results"]] == ORDER
    assert answer["results"][0]["document"] == {"text": "dddd", "multi_modal": None}
    for r in answer["results"]:
        assert abs(r["relevance_score"] - score_of(DOCUMENTS[r["index"]])) < 1e-6
    assert answer["usage"] == {"prompt_tokens": 22, "total_tokens": 22}


def test_wishes(rerank):
    ask = {"query": "q", "documents": DOCUMENTS}
    _, answer = rerank.post("/rerank", {**ask, "top_n": 2, "return_documents": False})
    assert [r["index"] for r in answer["results"]] == ORDER[:2] and "document" not in answer["results"][0]
    assert len(rerank.post("/rerank", {**ask, "top_n": 0})[1]["results"]) == 4
    assert len(rerank.post("/rerank", {**ask, "top_n": 99})[1]["results"]) == 4
    _, answer = rerank.post("/rerank", {**ask, "use_activation": False})
    assert answer["results"][0]["relevance_score"] == 5 / 16 - 2
    _, answer = rerank.post("/rerank", {**ask, "max_tokens_per_doc": 3})
    assert [r["index"] for r in answer["results"]] == [1, 3, 0, 2]
    assert answer["results"][0]["relevance_score"] == answer["results"][1]["relevance_score"]
    assert answer["results"][0]["document"]["text"] == "dddd"


# ---- what was cut ----

def cuts(server, body, path="/rerank"):
    """The list of the body (None: there is no place for it) and the header of its length."""
    with server.wire() as wire:
        wire.send(post(body, path=path))
        answer = wire.answer()
    assert answer.status == 200, answer.body
    told = answer.json["qvec"]["truncated"] if isinstance(answer.json, dict) else None
    return told, answer.headers.get("x-qvec-truncated")


LONG = {"query": "q", "truncate_prompt_tokens": 100}
WHOLE = {"tokens": 100, "untruncated": 503}


@pytest.mark.parametrize("form", [{"documents": ["a", "x" * 500]}, {"documents": ["a", "x" * 500], "top_k": None}, {"texts": ["a", "x" * 500]}])
def test_a_cut_pair_is_told(rerank, form):
    wanted = None if "texts" in form else [{"index": 1, **WHOLE}]
    assert cuts(rerank, {**LONG, **form}) == (wanted, "1")
    short = {k: v[:1] if isinstance(v, list) else v for k, v in form.items()}
    assert cuts(rerank, {**LONG, **short}) == (None if "texts" in form else [], None)


def test_cut_scores_are_told(rerank):
    body = {"queries": ["q", "q"], "documents": ["x" * 500, "a"], "truncate_prompt_tokens": 100}
    assert cuts(rerank, body, "/score") == ([{"index": 0, **WHOLE}], "1")


def test_texts_cut_by_a_limit_of_their_own_are_told(rerank, null):
    document = {"content": ["x" * 20, {"image": PNG}, "y" * 5]}
    body = {"query": "q" * 9, "documents": ["a", document, "x" * 11], "max_tokens_per_doc": 10, "max_tokens_per_query": 4}
    wanted = [{"query": 0, "by": "max_tokens_per_query", "tokens": 4, "untruncated": 9},
              {"index": 1, "by": "max_tokens_per_doc", "tokens": 15, "untruncated": 25},
              {"index": 2, "by": "max_tokens_per_doc", "tokens": 10, "untruncated": 11}]
    for server in (rerank, null):
        assert cuts(server, body) == (wanted, "3")
        assert cuts(server, {**body, "texts": body["documents"], "documents": None}) == (None, "3")
        assert cuts(server, {**body, "max_tokens_per_doc": 20, "max_tokens_per_query": 0}) == ([], None)
    both = {**LONG, "documents": ["x" * 500], "max_tokens_per_doc": 300}
    assert cuts(rerank, both) == ([{"index": 0, "by": "max_tokens_per_doc", "tokens": 300, "untruncated": 500},
                                   {"index": 0, "tokens": 100, "untruncated": 303}], "1")


def test_a_cut_query_of_an_embedding_model_is_told(null):
    body = {"truncate_prompt_tokens": 50, "query": "q" * 60, "documents": ["a", "x" * 70]}
    wanted = [{"query": 0, "tokens": 50, "untruncated": 61}, {"index": 1, "tokens": 50, "untruncated": 71}]
    assert cuts(null, body) == (wanted, "2")
    assert cuts(null, {**body, "texts": body["documents"], "documents": None}) == (None, "2")
    body = {"truncate_prompt_tokens": 50, "text_1": ["a", "q" * 60], "text_2": ["a", "b"]}
    assert cuts(null, body, "/score") == ([{"query": 1, "tokens": 50, "untruncated": 61}], "1")


def test_the_prompt_is_told(rerank, null):
    for server, documents, wanted in ((rerank, ["a"], "official"), (null, ["a"], "raw"), (null, ["a", {"image": PNG}], "mixed")):
        assert server.post("/rerank", {"query": "q", "documents": documents})[1]["qvec"]["prompt"] == wanted
    with null.wire() as wire:
        wire.send(post({"query": "q", "texts": ["a"]}, path="/rerank"))
        assert wire.answer().headers["x-qvec-prompt"] == "raw"


def test_ties_keep_the_order(rerank):
    _, answer = rerank.post("/rerank", {"query": "q", "documents": ["a"] * 50})
    assert [r["index"] for r in answer["results"]] == list(range(50))


@pytest.mark.parametrize("documents", ["one", {"text": "one"}, ["one"], [{"text": "one"}], {"content": [{"type": "text", "text": "one"}]}])
def test_one_document_in_any_shape(rerank, documents):
    status, answer = rerank.post("/rerank", {"query": {"text": "q"}, "documents": documents})
    assert status == 200 and len(answer["results"]) == 1


def test_pictures_on_both_sides(rerank):
    documents = [{"content": [{"type": "image_url", "image_url": {"url": PNG}}, {"type": "text", "text": "x"}]}, {"image": PNG}, {"text": "t", "image": PNG},
                 "text", {}, {"video": [PNG, PNG]}]
    status, answer = rerank.post("/rerank", {"query": {"text": "q", "image": PNG}, "documents": documents})
    assert status == 200, answer
    by_index = {r["index"]: r["document"] for r in answer["results"]}
    assert by_index[0] == {"text": None, "multi_modal": documents[0]["content"]}
    assert by_index[1] == {"text": None, "multi_modal": documents[1]}
    assert by_index[3] == {"text": "text", "multi_modal": None}


@pytest.mark.parametrize("kind", ["rerank", "null"])
def test_a_broken_picture_is_its_own_document_s_error(request, kind):
    server = request.getfixturevalue(kind)
    bad = {"image": "YmFk"}
    status, answer = server.post("/rerank", {"query": "q", "documents": ["a", bad, "cc"]})
    assert status == 200, answer
    last = answer["results"][-1]
    assert last["index"] == 1 and last["relevance_score"] == 0
    assert last["error"] == {"code": "image_decode", "message": "documents[1]: no known picture format"}
    assert all("error" not in r for r in answer["results"][:2])
    good = {r["index"]: r["relevance_score"] for r in server.post("/rerank", {"query": "q", "documents": ["a", "b", "cc"]})[1]["results"]}
    assert {r["index"]: r["relevance_score"] for r in answer["results"][:2]} == {i: good[i] for i in (0, 2)}
    data = server.post("/score", {"queries": "q", "documents": ["a", bad]})[1]["data"]
    assert "error" not in data[0] and data[1]["error"]["code"] == "image_decode"
    for query, documents in (("q", [bad]), (bad, ["a", "b"])):
        status, answer = server.post("/rerank", {"query": query, "documents": documents})
        assert status == 422 and answer["error"]["type"] == "UnprocessableEntityError"


def test_tei(rerank):
    _, answer = rerank.post("/rerank", {"query": "q", "texts": DOCUMENTS})
    assert [r["index"] for r in answer] == ORDER and list(answer[0]) == ["index", "score"]
    _, answer = rerank.post("/rerank", {"query": "q", "texts": DOCUMENTS, "raw_scores": True, "return_text": True, "truncate": True})
    assert answer[0] == {"index": 1, "score": 5 / 16 - 2, "text": "dddd"}


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
@pytest.mark.parametrize("left,right", [("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2")])
def test_score(rerank, path, left, right):
    status, answer = rerank.post(path, {left: "q", right: DOCUMENTS})
    assert status == 200, answer
    assert list(answer) == ["id", "object", "created", "model", "data", "usage", "qvec"]
    assert [d["index"] for d in answer["data"]] == [0, 1, 2, 3] and answer["data"][0]["object"] == "score"
    assert all(abs(d["score"] - score_of(t)) < 1e-6 for d, t in zip(answer["data"], DOCUMENTS, strict=True))
    assert len(rerank.post(path, {left: ["a", "b"], right: ["c", "d"]})[1]["data"]) == 2
    assert len(rerank.post(path, {left: "a", right: "c"})[1]["data"]) == 1


def test_an_embedding_model_scores_by_cosine(null):
    _, answer = null.post("/score", {"text_1": "ab", "text_2": ["cd", "other"]})
    same, other = (d["score"] for d in answer["data"])
    assert abs(same - 1) < 1e-6 and other < 0.99 and answer["qvec"]["score"] == "cosine"
    assert answer["usage"]["prompt_tokens"] == 3 + 1 + 3 + 3 + 1 + 6
    vectors = [d["embedding"] for d in null.post("/v1/embeddings", {"input": ["ab", "other"]})[1]["data"]]
    assert abs(sum(x * y for x, y in zip(*vectors, strict=True)) - other) < 1e-6
    _, answer = null.post("/rerank", {"query": "ab", "documents": ["other", "cd"]})
    assert [r["index"] for r in answer["results"]] == [1, 0]
    _, answer = null.post("/score", {"text_1": ["ab", "other"], "text_2": ["xy", "other"]})
    assert all(abs(d["score"] - 1) < 1e-6 for d in answer["data"])


def test_a_reranker_does_not_embed(rerank):
    status, answer = rerank.post("/v1/embeddings", {"input": "a"})
    assert status == 501 and answer["error"]["type"] == "NotImplementedError" and "embed" in answer["error"]["message"]


@pytest.mark.parametrize("path,body,status,words", [
    ("/rerank", {}, 400, "query is missing"),
    ("/rerank", {"query": "q"}, 400, "documents is missing"),
    ("/rerank", {"query": "q", "documents": []}, 400, "empty list"),
    ("/rerank", {"query": "q", "texts": []}, 400, "texts is an empty list"),
    ("/rerank", {"query": "q", "documents": 5}, 400, "documents must be a string or an object"),
    ("/rerank", {"query": "q", "documents": ["a", 5]}, 400, "documents[1] must be a string or an object"),
    ("/rerank", {"query": "q", "documents": ["a", None]}, 400, "documents[1]"),
    ("/rerank", {"query": 5, "documents": ["a"]}, 400, "query must be a string"),
    ("/rerank", {"query": ["q"], "documents": ["a"]}, 400, "query must be a string"),
    ("/rerank", {"query": "q", "documents": ["a"] * 10001}, 400, "10001 entries; one request takes at most 10000"),
    ("/rerank", {"query": "q", "documents": ["a", "x" * 1000]}, 400, "documents[1]"),
    ("/rerank", {"query": "q", "documents": ["a", "x" * 1000]}, 400, "maximum context length is 1000 tokens"),
    ("/rerank", {"query": "q", "documents": [{"image": "http://h/a.png"}]}, 400, "fetches no URLs"),
    ("/rerank", {"query": "q", "documents": ["a"], "top_n": -1}, 400, "top_n"),
    ("/rerank", {"query": "q", "documents": ["a"], "top_n": "x"}, 400, "top_n must be an integer"),
    ("/rerank", {"query": "q", "documents": ["a"], "max_tokens_per_doc": -1}, 400, "max_tokens_per_doc"),
    ("/rerank", {"query": "q", "documents": ["a"], "max_tokens_per_doc": 1000}, 400, "max_tokens_per_doc"),
    ("/rerank", {"query": "q", "documents": ["a"], "instruction": 5}, 400, "instruction"),
    ("/rerank", {"query": "q", "documents": ["a"], "chat_template_kwargs": {"tools": [1]}}, 400, "chat_template_kwargs"),
    ("/rerank", {"query": "q", "documents": ["a"], "model": "x"}, 404, "does not exist"),
    ("/score", {"text_1": "a"}, 400, "Two fields are needed"),
    ("/score", {"text_1": [], "text_2": "a"}, 400, "At least one text element must be given"),
    ("/score", {"text_1": "a", "text_2": []}, 400, "At least one text_pair element must be given"),
    ("/score", {"text_1": ["a", "b"], "text_2": ["c"]}, 400, "Input lengths must be either 1:1, 1:N or N:N"),
])
def test_refused(rerank, path, body, status, words):
    got, answer = rerank.post(path, body)
    error = answer["error"]
    assert got == status and words in (error if "texts" in body else error["message"]), answer


def test_broken_bodies(rerank):
    with rerank.wire() as wire:
        for body in (b"", b"{", b"[]", b'{"query": "\xff"}'):
            for path in ("/rerank", "/score"):
                wire.send(post(body, path=path))
                assert wire.answer().status == 400
