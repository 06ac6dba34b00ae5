"""The stored answers once more, through `qvec serve`."""
import base64
import concurrent.futures
import os

import numpy as np
import pytest

import harness
from test_rerank_goldens import check_scores

TEXT_CASES = [c for c in harness.stored("tiny-embed") if isinstance(c.get("text"), str) and not harness.is_visual(c)]
SINGLE_PICTURES = [c for c in harness.stored("tiny-embed") if isinstance(c.get("image"), str)]
MIME = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif", "bmp": "image/bmp"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with harness.serve(harness.folder("tiny"), log=str(tmp_path_factory.mktemp("serve") / "log")) as found:
        yield found


@pytest.fixture(scope="module")
def reranker(tmp_path_factory):
    with harness.serve(harness.folder("tiny", "reranker"), log=str(tmp_path_factory.mktemp("rerank") / "log")) as found:
        yield found


def fields(case):
    """What a /v1/embeddings caller adds to `input`. Raw is the default there."""
    out = {}
    if case["prompt"] == "official":
        out["prompt"] = "official"
    if "instruction" in case:
        out["instruction"] = case["instruction"]
    if "max_length" in case:
        out["truncate_prompt_tokens"] = case["max_length"]
    return out


@pytest.mark.parametrize("encoding", ["float", "base64"])
@pytest.mark.parametrize("case", TEXT_CASES, ids=lambda c: c["id"])
def test_text(server, case, encoding):
    (vector,), answer = server.embed(case["text"], encoding_format=encoding, **fields(case))
    harness.check_vector(vector, case["embedding"])
    assert answer["usage"]["prompt_tokens"] == len(case["ids"])


def test_float_and_base64_are_the_same_numbers(server):
    for case in TEXT_CASES[:8]:
        (a,), _ = server.embed(case["text"], encoding_format="float", **fields(case))
        (b,), _ = server.embed(case["text"], encoding_format="base64", **fields(case))
        assert a.tobytes() == b.tobytes()


def test_many_in_one_call(server):
    cases = [c for c in TEXT_CASES if c["prompt"] == "raw" and "max_length" not in c]
    found, _ = server.embed([c["text"] for c in cases])
    for vector, case in zip(found, cases, strict=True):
        harness.check_vector(vector, case["embedding"])


def test_token_ids(server):
    """The ids of an official prompt, sent as ids, are that prompt."""
    cases = [c for c in TEXT_CASES if c["prompt"] == "official"][:5]
    found, _ = server.embed([c["ids"] for c in cases])
    for vector, case in zip(found, cases, strict=True):
        harness.check_vector(vector, case["embedding"])


def test_concurrency_changes_no_byte(server):
    cases = TEXT_CASES * 3
    quiet = {c["id"]: server.embed(c["text"], **fields(c))[0][0].tobytes() for c in TEXT_CASES}

    def ask(case):
        return case["id"], server.embed(case["text"], **fields(case))[0][0].tobytes()
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for case_id, found in pool.map(ask, cases):
            assert found == quiet[case_id], case_id


def test_http_equals_command_line(server):
    answers = harness.golden_run("embed", "tiny", "tiny-embed", 0)
    for case in TEXT_CASES[:20]:
        (vector,), _ = server.embed(case["text"], encoding_format="base64", **fields(case))
        assert vector.tobytes() == harness.vector_bytes(answers[case["id"]])


def data_url(name):
    with open(os.path.join(harness.ASSETS, name), "rb") as f:
        return f"data:{MIME[name.rsplit('.', 1)[1]]};base64," + base64.b64encode(f.read()).decode()


@pytest.mark.parametrize("case", SINGLE_PICTURES, ids=lambda c: c["id"])
def test_picture(server, case):
    """As the models' own client sends it: a system turn, a user turn, the official recipe."""
    user = [{"type": "image_url", "image_url": {"url": data_url(case["image"])}}]
    user += [{"type": "text", "text": case["text"]}] if "text" in case else []
    body = {"messages": [{"role": "system", "content": [{"type": "text", "text": "Represent the user's input."}]},
                         {"role": "user", "content": user}], "encoding_format": "float"}
    limits = {k: case[k] for k in ("min_pixels", "max_pixels") if k in case}
    if limits:
        body["mm_processor_kwargs"] = limits
    status, answer = server.post("/v1/embeddings", body)
    assert status == 200, answer
    harness.check_vector(answer["data"][0]["embedding"], case["embedding"])


@pytest.mark.parametrize("case", [c for c in harness.stored("tiny-rerank") if not harness.is_visual(c)],
                         ids=lambda c: c["id"])
def test_rerank(reranker, case):
    # A document without any part has no form over HTTP.
    said = [(d["text"], score) for d, score in zip(case["documents"], case["scores"]) if "text" in d]
    body = {"query": case["query"]["text"], "documents": [text for text, _ in said]}
    if "instruction" in case:
        body["instruction"] = case["instruction"]
    status, answer = reranker.post("/v1/rerank", body)
    assert status == 200, answer
    scores = {r["index"]: r["relevance_score"] for r in answer["results"]}
    check_scores([scores[i] for i in range(len(said))], [score for _, score in said], case["id"])
    listed = [r["relevance_score"] for r in answer["results"]]
    assert listed == sorted(listed, reverse=True)


def test_wrong_kind_is_told(server, reranker):
    status, answer = reranker.post("/v1/embeddings", {"input": "hello"})
    assert status >= 400 and "embed" in answer["error"]["message"]
