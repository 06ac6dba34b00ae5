"""Every wire form of the embedding routes against one server: its fields, its answer, its errors, and the same vectors as
everywhere else."""
import base64
import os

import numpy as np
import pytest

import harness
from wire import post

DOCUMENT = "Represent the user's input."
QUERY = "Retrieve images or text relevant to the user's query."
PICTURE = "data:image/png;base64,Zm9v"


def vector(server, text, **fields):
    return server.embed(text, **fields)[0][0]


def good(server, path, body):
    status, answer = server.post(path, body)
    assert status == 200, answer
    return answer


def same(found, wanted):
    return np.asarray(found, np.float32).tobytes() == np.asarray(wanted, np.float32).tobytes()


@pytest.fixture(params=["null", "qvec"])
def either(request):
    return request.getfixturevalue({"null": "null", "qvec": "server"}[request.param])


def int8(v):
    """The rule of src/api/quantize.h, in other words."""
    return np.clip(np.rint(np.asarray(v, np.float64) * 16 * np.sqrt(len(v))), -127, 127).astype(np.int8)


def bits(v):
    return np.packbits(np.asarray(v) >= 0)


def codes(v):
    return {"float": np.asarray(v, np.float32), "int8": int8(v), "uint8": (int8(v).astype(int) + 128).astype(np.uint8),
            "ubinary": bits(v), "binary": (bits(v).astype(int) - 128).astype(np.int8)}


# ---- purposes ----

@pytest.mark.parametrize("path, field, value, instruction", [
    ("/v1/embeddings", "input_type", "query", QUERY),
    ("/v1/embeddings", "input_type", "document", DOCUMENT),
    ("/v1/embeddings", "input_type", None, None),
    ("/v1/embeddings", "task", "retrieval.query", QUERY),
    ("/v1/embeddings", "task", "retrieval.passage", DOCUMENT),
    ("/v1/embeddings", "task", "text-matching", "Retrieve semantically similar text."),
    ("/v1/embeddings", "normalized", True, None),
    ("/v2/embed", "input_type", "search_query", QUERY),
    ("/v2/embed", "input_type", "search_document", DOCUMENT),
    ("/v2/embed", "input_type", "clustering", "Represent the user's input for clustering."),
    ("/v1/embed", "input_type", None, None),
    ("/embed", "prompt_name", "query", QUERY),
    ("/embed", "prompt_name", None, None),
    ("/", "prompt_name", "document", DOCUMENT),
])
def test_a_purpose_is_an_instruction(server, path, field, value, instruction):
    wanted = vector(server, "a b", **({"instruction": instruction} if instruction else {}))
    name = {"/v2/embed": "texts", "/v1/embed": "texts", "/embed": "inputs", "/": "inputs"}.get(path, "input")
    answer = good(server, path, {name: ["a b"], field: value})
    found = answer[0] if isinstance(answer, list) else answer["data"][0]["embedding"] if "data" in answer else answer["embeddings"]
    assert same(found["float"][0] if isinstance(found, dict) else found if path != "/v1/embed" else found[0], wanted)


# ---- Cohere ----

def test_cohere_types(either):
    body = {"model": "", "input_type": "search_document", "texts": ["one", "two two"],
            "embedding_types": ["float", "int8", "uint8", "binary", "ubinary", "base64"]}
    answer = good(either, "/v2/embed", body)
    assert answer["texts"] == body["texts"] and answer["response_type"] == "embeddings_by_type"
    assert answer["meta"]["api_version"] == {"version": "2"} and answer["meta"]["billed_units"]["input_tokens"] > 0
    for i, text in enumerate(body["texts"]):
        wanted = vector(either, text, instruction=DOCUMENT)
        for kind, code in codes(wanted).items():
            assert np.array_equal(np.asarray(answer["embeddings"][kind][i]).astype(code.dtype), code), kind
        assert base64.b64decode(answer["embeddings"]["base64"][i]) == wanted.tobytes()


def test_cohere_v1_without_types_is_a_bare_list(either):
    answer = good(either, "/v1/embed", {"texts": ["a"], "model": ""})
    assert answer["response_type"] == "embeddings_floats" and same(answer["embeddings"][0], vector(either, "a"))
    assert good(either, "/v1/embed", {"texts": ["a"], "embedding_types": ["float"]})["embeddings"].keys() == {"float"}


def test_cohere_pictures(null):
    answer = good(null, "/v2/embed", {"images": [PICTURE, PICTURE], "input_type": "image"})
    assert len(answer["embeddings"]["float"]) == 2 and answer["meta"]["billed_units"] == {"image_tokens": 20}
    mixed = {"content": [{"type": "text", "text": "ab"}, {"type": "image_url", "image_url": {"url": PICTURE}}]}
    assert good(null, "/v2/embed", {"inputs": [mixed]})["meta"]["billed_units"] == {"image_tokens": 12}


def test_cohere_cuts(null):
    long = "x" * 150
    assert good(null, "/v2/embed", {"texts": [long]})["meta"]["billed_units"]["input_tokens"] == 100
    assert good(null, "/v2/embed", {"texts": [long], "max_tokens": 7})["meta"]["billed_units"]["input_tokens"] == 7
    assert good(null, "/v2/embed", {"texts": [long], "truncate": "START", "max_tokens": 7})["meta"]["billed_units"]["input_tokens"] == 7
    assert good(null, "/v2/embed", {"texts": ["x" * 6], "truncate": "NONE", "max_tokens": 7})["qvec"]["truncated"] == []
    for body in [{"truncate": "NONE"}, {"truncate": "NONE", "max_tokens": 7}, {"truncate": "START", "input_type": "search_query"}]:
        status, answer = null.post("/v2/embed", {"texts": [long], **body})
        assert status == 400 and "at most" in answer["message"]


def test_cohere_start_keeps_the_end(server):
    text = "the quick brown fox jumps over the lazy dog"
    ids = server.post("/tokenize", {"prompt": text})[1]["tokens"]
    found = good(server, "/v2/embed", {"texts": [text], "truncate": "START", "max_tokens": 4})
    assert same(found["embeddings"]["float"][0], vector(server, ids[-4:])) and found["qvec"]["truncated"][0]["untruncated"] == len(ids)


# ---- Jina, Voyage ----

def test_jina(either):
    body = {"model": "", "input": [{"text": "a"}, {"text": "bc"}], "task": "retrieval.query", "dimensions": 64}
    wanted = [vector(either, t, instruction=QUERY, dimensions=64) for t in ("a", "bc")]
    for kind in ("float", "binary", "ubinary"):
        answer = good(either, "/v1/embeddings", {**body, "embedding_type": kind})
        for d, w in zip(answer["data"], wanted, strict=True):
            assert np.array_equal(np.asarray(d["embedding"]).astype(codes(w)[kind].dtype), codes(w)[kind])
    several = good(either, "/v1/embeddings", {**body, "embedding_type": ["float", "base64"]})["data"][1]["embedding"]
    assert several.keys() == {"float", "base64"} and base64.b64decode(several["base64"]) == wanted[1].tobytes()


def test_jina_late_chunking_is_ignored_aloud(null):
    with null.wire() as wire:
        wire.send(post({"input": ["a", "b"], "late_chunking": True}))
        assert "late_chunking is ignored" in wire.answer().headers["x-qvec-warning"]


@pytest.mark.parametrize("kind", ["float", "int8", "uint8", "binary", "ubinary"])
def test_voyage(either, kind):
    wanted = codes(vector(either, "a b", instruction=QUERY))[kind]
    body = {"model": "", "input": "a b", "input_type": "query", "output_dtype": kind}
    plain = good(either, "/v1/embeddings", body)["data"][0]["embedding"]
    coded = good(either, "/v1/embeddings", {**body, "encoding_format": "base64"})["data"][0]["embedding"]
    assert np.array_equal(np.asarray(plain).astype(wanted.dtype), wanted) and base64.b64decode(coded) == wanted.tobytes()


def test_voyage_multimodal(null):
    answer = good(null, "/v1/multimodalembeddings", {"inputs": [
        {"content": [{"type": "text", "text": "ab"}, {"type": "image_base64", "image_base64": PICTURE}]},
        {"content": [{"type": "image_url", "image_url": PICTURE}]}], "model": "", "input_type": "document"})
    assert [d["index"] for d in answer["data"]] == [0, 1] and answer["usage"]["total_tokens"] == 22


# ---- TEI, llama.cpp ----

def test_tei_embed(either):
    one, two = vector(either, "a"), vector(either, "b c")
    assert same(good(either, "/embed", {"inputs": "a"})[0], one)
    assert same(good(either, "/", {"inputs": ["a", "b c"], "truncate": True})[1], two)
    ids = either.post("/tokenize", {"prompt": "b c"})[1]["tokens"]
    mixed = good(either, "/embed", {"inputs": ["a", ids]})
    assert same(mixed[0], one) and same(mixed[1], two)
    assert same(good(either, "/embed", {"inputs": "a", "dimensions": 64})[0], vector(either, "a", dimensions=64))
    found = np.asarray(good(either, "/similarity", {"inputs": {"source_sentence": "a", "sentences": ["a", "b c"]}}))
    assert np.abs(found - [1, one.astype(np.float64) @ two]).max() < 1e-6


def test_tei_length_of_vectors(server):
    raw = np.asarray(good(server, "/embed", {"inputs": "a", "normalize": False})[0], np.float32)
    assert same(raw, vector(server, "a", use_activation=False)) and abs(np.linalg.norm(raw) - 1) > 1e-3


def test_tei_cuts(null):
    assert len(good(null, "/embed", {"inputs": "x" * 150})) == 1
    status, answer = null.post("/embed", {"inputs": "x" * 150, "truncate": False})
    assert status == 422 and answer["error_type"] == "Validation"


def test_tei_info_and_decode(either):
    info = either.get("/info")[1]
    assert info["model_type"] == {"embedding": {"pooling": "last_token"}} and info["max_input_length"] > 0
    ids = either.post("/tokenize", {"prompt": "hello"})[1]["tokens"]
    assert good(either, "/decode", {"ids": ids}) == ["hello"]
    assert good(either, "/decode", {"ids": [ids, ids]}) == ["hello"] * 2


@pytest.mark.parametrize("path", ["/embedding", "/embeddings"])
def test_llama(either, path):
    answer = good(either, path, {"content": ["a", "b c"]})
    assert [a["index"] for a in answer] == [0, 1] and same(answer[1]["embedding"][0], vector(either, "b c"))


def test_embeddings_without_v1_is_openai(either):
    assert same(good(either, "/embeddings", {"input": "a", "modality": "text"})["data"][0]["embedding"], vector(either, "a"))


# ---- vLLM ----

def test_pooling(either):
    answer = good(either, "/pooling", {"input": ["a"], "task": "embed"})
    assert answer["id"].startswith("pooling-") and answer["data"][0]["object"] == "pooling"
    assert same(answer["data"][0]["data"], vector(either, "a"))
    assert either.post("/pooling", {"input": "a", "task": "token_embed"})[1]["error"]["param"] == "task"


def test_invocations(either):
    assert same(good(either, "/invocations", {"input": "a"})["data"][0]["embedding"], vector(either, "a"))
    assert same(good(either, "/invocations", {"inputs": ["a"]})[0], vector(either, "a"))
    assert len(good(either, "/invocations", {"query": "a", "documents": ["b", "c"]})["results"]) == 2
    assert len(good(either, "/invocations", {"text_1": "a", "text_2": ["b", "c"]})["data"]) == 2


@pytest.mark.parametrize("dtype, bits_, bias", [("fp8_e4m3", 3, 7), ("fp8_e5m2", 2, 15)])
def test_eight_bit_floats(null, dtype, bits_, bias):
    code = np.frombuffer(base64.b64decode(good(null, "/v1/embeddings", {
        "input": "a", "encoding_format": "base64", "embed_dtype": dtype})["data"][0]["embedding"]), np.uint8).astype(int)
    exponent, mantissa = (code & 127) >> bits_, code & ((1 << bits_) - 1)
    value = np.where(exponent > 0, (1 + mantissa / (1 << bits_)) * 2.0 ** (exponent - bias), mantissa / (1 << bits_) * 2.0 ** (1 - bias))
    wanted = vector(null, "a")
    assert (np.abs(value * np.where(code & 128, -1, 1) - wanted) <= np.maximum(np.abs(wanted), 2.0 ** (1 - bias)) / (1 << bits_) / 2 * 1.0001).all()


def test_tokenize_chat(server):
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    text = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n"
    for fields, want in [({}, text + "<|im_start|>assistant\n"), ({"add_generation_prompt": False}, text)]:
        ids = good(server, "/tokenize", {"messages": messages, **fields})["tokens"]
        assert ids == good(server, "/tokenize", {"prompt": want, "add_special_tokens": False})["tokens"]


def test_tokenize_chat_with_a_picture(server):
    """As many pad tokens as the model sees."""
    with open(os.path.join(harness.ASSETS, "frame0.png"), "rb") as f:
        url = "data:image/png;base64," + base64.b64encode(f.read()).decode()
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}, "what is it?"]}]
    answer = good(server, "/tokenize", {"messages": messages, "return_token_strs": True})
    body = {"messages": messages, "prompt": "raw", "add_generation_prompt": True}
    assert answer["count"] == good(server, "/v1/embeddings", body)["usage"]["prompt_tokens"]
    assert answer["token_strs"].count("<|image_pad|>") >= 4 and len(answer["token_strs"]) == answer["count"]


def test_facts_are_in_headers_where_the_body_has_no_place(null):
    with null.wire() as wire:
        wire.send(post({"inputs": ["x" * 150, "a"], "prompt_name": "query"}, path="/embed"))
        headers = wire.answer().headers
        assert headers["x-qvec-prompt"] == "official" and headers["x-qvec-truncated"] == "1"
        wire.send(post({"input": "a", "encoding_format": "bytes_only"}))
        headers = wire.answer().headers
        assert headers["x-qvec-prompt"] == "raw" and "x-qvec-truncated" not in headers and "metadata" not in headers


def test_voyage_rerank(either):
    answer = good(either, "/v1/rerank", {"query": "a", "documents": ["bb", "a", "cc"], "top_k": 2, "return_documents": True})
    assert answer["data"][0]["document"] == "a" and len(answer["data"]) == 2 and answer["usage"]["total_tokens"] > 0


def test_mixed_prompts_are_told(null):
    assert good(null, "/v1/embeddings", {"input": ["a", {"text": "a"}], "normalized": True})["qvec"]["prompt"] == "mixed"


@pytest.mark.parametrize("body, place", [
    ({"documents": ["a", "x" * 60], "truncation": False}, "detail"),
    ({"texts": ["a", "x" * 60], "truncate": False}, "error"),
    ({"texts": ["a", "x" * 60], "truncation_direction": "Left"}, "error"),
])
@pytest.mark.parametrize("rerank", [0, 1])
def test_rerank_without_cutting(start_null, rerank, body, place):
    null = start_null(rerank=rerank)
    status, answer = null.post("/rerank", {"query": "q", "truncate_prompt_tokens": 50, **body})
    assert status == (422 if place == "error" else 400) and "[1] has 6" in answer[place]
    body = {k: [t[:9] for t in v] if isinstance(v, list) else v for k, v in body.items()}
    assert null.post("/rerank", {"query": "q", "truncate_prompt_tokens": 50, **body})[0] == 200


# ---- errors, each in its dialect's shape ----

@pytest.mark.parametrize("path, body, status, place", [
    ("/v2/embed", {}, 400, "message"),
    ("/v2/embed", {"texts": ["a"], "images": [PICTURE]}, 400, "message"),
    ("/v2/embed", {"texts": ["a"], "embedding_types": ["int4"]}, 400, "message"),
    ("/v2/embed", {"texts": ["a"], "input_type": "poem"}, 400, "message"),
    ("/v2/embed", {"texts": [5]}, 400, "message"),
    ("/v2/embed", {"texts": ["a"], "output_dimension": 100000}, 400, "message"),
    ("/v2/embed", {"texts": ["a"], "output_dimension": 65, "embedding_types": ["binary"]}, 400, "message"),
    ("/v1/embed", {"texts": ["a"], "model": "gpt"}, 404, "message"),
    ("/v1/embeddings", {"input": "a", "task": "dance"}, 400, "detail"),
    ("/v1/embeddings", {"input": "a", "return_multivector": True}, 400, "detail"),
    ("/v1/embeddings", {"input": "a", "normalized": "yes"}, 400, "detail"),
    ("/v1/embeddings", {"input": "a", "input_type": "dance"}, 400, "detail"),
    ("/v1/embeddings", {"input": "a", "output_dtype": "int4"}, 400, "detail"),
    ("/v1/embeddings", {"input": "a", "input_type": None, "model": "gpt"}, 404, "detail"),
    ("/v1/multimodalembeddings", {"inputs": ["a"]}, 400, "detail"),
    ("/v1/multimodalembeddings", {"inputs": []}, 400, "detail"),
    ("/v1/rerank", {"query": "a", "documents": [], "top_k": None}, 400, "detail"),
    ("/v2/embed", {"texts": ["a"] * 2049}, 400, "message"),
    ("/embed", {"inputs": ["a"] * 2049}, 422, "error"),
    ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["a"] * 2048}}, 422, "error"),
    ("/embed", {}, 422, "error"),
    ("/embed", {"inputs": "a", "prompt_name": "dance"}, 422, "error"),
    ("/embed", {"inputs": "a", "dimensions": 0}, 422, "error"),
    ("/embed_sparse", {"inputs": "a"}, 424, "error"),
    ("/embed_all", {"inputs": "a"}, 424, "error"),
    ("/similarity", {"inputs": "a"}, 422, "error"),
    ("/decode", {"ids": "a"}, 422, "error"),
])
def test_errors_are_the_dialects(null, path, body, status, place):
    got, answer = null.post(path, body)
    assert got == status and isinstance(answer[place], str) and len(answer[place]) > 10, answer
    assert place != "error" or answer["error_type"] == {424: "Backend", 422: "Validation"}[status]


@pytest.mark.parametrize("path, body, status, kind", [
    ("/embed", {"inputs": []}, 400, "Empty"),
    ("/", {"inputs": []}, 400, "Empty"),
    ("/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400, "Empty"),
    ("/rerank", {"query": "a", "texts": []}, 400, "Empty"),
    ("/decode", {"ids": []}, 400, "Empty"),
    ("/embed", {"inputs": [-1]}, 422, "Tokenizer"),
    ("/decode", {"ids": [2 ** 30]}, 422, "Tokenizer"),
    ("/embed", {"inputs": [[1], ["a"]]}, 422, "Validation"),
    ("/embed", {"inputs": None}, 422, "Validation"),
    ("/similarity", {"inputs": {"source_sentence": "a"}}, 422, "Validation"),
])
def test_types_of_teis_errors(null, path, body, status, kind):
    got, answer = null.post(path, body)
    assert (got, answer["error_type"]) == (status, kind) and list(answer) == ["error", "error_type"]


def test_ids_that_the_vocabulary_has_not(server):
    status, answer = server.post("/embed", {"inputs": [[1, 2], [2 ** 30]]})
    assert (status, answer["error_type"]) == (422, "Tokenizer") and "inputs[1]" in answer["error"]
    assert server.post("/v1/embeddings", {"input": [2 ** 30]})[1]["error"]["code"] == 400


@pytest.mark.parametrize("path, body, characters, tokens", [
    ("/embed", {"inputs": ["aé", [1, 2, 3]]}, 5, 7),
    ("/", {"inputs": {"source_sentence": "ab", "sentences": ["c", "de"]}}, 5, 8),
    ("/similarity", {"inputs": {"source_sentence": "ab", "sentences": ["c", "de"]}}, 5, 8),
    ("/rerank", {"query": "ab", "texts": ["c", "de"]}, 7, 8),
])
def test_tei_tells_its_work_in_headers(start_null, path, body, characters, tokens):
    null = start_null(delay_us=30000)
    with null.wire() as wire:
        wire.send(post(body, path=path))
        headers = wire.answer().headers
        assert headers["x-compute-type"] == "cpu"
        assert (int(headers["x-compute-characters"]), int(headers["x-compute-tokens"])) == (characters, tokens)
        times = {name: int(headers[f"x-{name}-time"]) for name in ("compute", "total", "tokenization", "queue", "inference")}
        items = 2 if path == "/embed" else 3
        assert 30 * items <= times["inference"] and times["total"] == times["compute"]
        assert times["tokenization"] + times["queue"] + times["inference"] <= times["total"]
        for other, ask in (("/v1/embeddings", {"input": "a"}), ("/rerank", {"query": "a", "documents": ["b"]}), ("/embed", {"inputs": []})):
            wire.send(post(ask, path=other))
            assert not any(name.startswith("x-compute") for name in wire.answer().headers)


def test_a_missing_key_is_told_in_the_dialect(start_null):
    null = start_null(key="k")
    for path, place in [("/embed", "error"), ("/v2/embed", "message"), ("/v1/multimodalembeddings", "detail")]:
        status, answer = null.post(path, {})
        assert status == 401 and isinstance(answer[place], str)


def test_a_reranker_does_not_embed(start_null):
    null = start_null(rerank=1)
    assert null.post("/embed", {"inputs": "a"})[0] == 424
    assert null.post("/v2/embed", {"texts": ["a"]})[0] == 501
    assert [a["index"] for a in good(null, "/", {"query": "a", "texts": ["b", "ccc"]})] == [1, 0]
    assert null.get("/info")[1]["model_type"].keys() == {"reranker"}


# ---- pictures ----

def asset(name, mime):
    with open(os.path.join(harness.ASSETS, name), "rb") as f:
        return f"data:{mime};base64," + base64.b64encode(f.read()).decode()


def test_answer_tells_the_pictures(server):
    body = {"input": [{"text": "a", "image": [asset("vga.png", "image/png"), asset("small.png", "image/png")]}, {"text": "b"}],
            "echo": "pictures"}
    pictures = good(server, "/v1/embeddings", body)["qvec"]["pictures"]
    assert pictures[0][0] == {"height": 480, "width": 640, "tokens": 300}
    small = pictures[0][1]
    assert small["tokens"] == small["height"] // 32 * (small["width"] // 32) and len(pictures[0]) == 2 and pictures[1] == []
    assert "pictures" not in good(server, "/v1/embeddings", {**body, "echo": "none"})["qvec"]
    assert server.post("/v1/embeddings", {**body, "echo": "everything"})[0] == 400


def test_orientation_is_applied_only_when_asked(server):
    def one(**fields):
        body = {"input": {"image": asset("exif6.jpg", "image/jpeg"), **fields}, "echo": "pictures"}
        answer = good(server, "/v1/embeddings", body)
        (picture,), = answer["qvec"]["pictures"]
        return (picture["height"], picture["width"]), answer["data"][0]["embedding"]
    (size, plain), (turned_size, turned) = one(), one(apply_orientation=True)
    assert turned_size == size[::-1] != size and turned != plain
    assert one(apply_orientation=False) == (size, plain)


def test_servers_defaults_hold_for_what_says_nothing():
    with harness.serve(harness.folder("tiny"), "--mm-processor-kwargs", '{"max_pixels": 65536, "apply_orientation": true}') as found:
        def size(name, mime, **fields):
            body = {"input": {"image": asset(name, mime), **fields}, "echo": "pictures"}
            (picture,), = good(found, "/v1/embeddings", body)["qvec"]["pictures"]
            return picture["height"], picture["width"]
        height, width = size("vga.png", "image/png")
        assert height * width <= 65536
        assert size("vga.png", "image/png", max_pixels=None) == (height, width)
        assert size("vga.png", "image/png", max_pixels=1843200) == (480, 640)
        turned, plain = size("exif6.jpg", "image/jpeg"), size("exif6.jpg", "image/jpeg", apply_orientation=False)
        assert turned == plain[::-1] != plain
        tokens = [len(good(found, "/tokenize", {"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": asset("vga.png", "image/png")}}]}], **fields})["tokens"])
            for fields in ({}, {"max_pixels": 1843200})]
        assert tokens[1] - tokens[0] == 300 - height * width // 1024
