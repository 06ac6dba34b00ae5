"""Clients and frameworks from PyPI, unmodified, against `qvec serve`: the same vectors as `qvec embed` and the same scores
as `qvec rerank`, to the byte. A package that is not installed is skipped: tests/requirements.txt holds those that install without a second ML stack."""
import base64
import json
import os
import subprocess

import numpy as np
import pytest

import harness

TEXTS = ["a red door", "é 漢字 🙂", "twelve small words in a row, of which this is the last one"]
QUERY = "Retrieve images or text relevant to the user's query."
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"


@pytest.fixture(scope="module")
def command():
    """command(texts, **fields) -> what `qvec embed` says, as float32."""
    def embed(texts, **fields):
        return [np.asarray(a["embedding"], np.float32)
                for a in harness.run_lines("embed", harness.folder("tiny"), [{"text": t, **fields} for t in texts])]
    return embed


@pytest.fixture(scope="module")
def raw(command):
    return command(TEXTS, prompt="raw")


@pytest.fixture(scope="module")
def official(command):
    return command(TEXTS)


@pytest.fixture(scope="module")
def query(command):
    return command(TEXTS, instruction=QUERY)


@pytest.fixture(scope="module")
def reranker():
    with harness.serve(harness.folder("tiny", "reranker"), "--served-model-name", "tiny") as found:
        yield found


@pytest.fixture(scope="module")
def scores():
    """{(query, document): what `qvec rerank` says} for each of TEXTS as a query."""
    answers = harness.run_lines("rerank", harness.folder("tiny", "reranker"), [{"query": q, "documents": TEXTS} for q in TEXTS])
    table = {(q, d): np.float32(score) for q, a in zip(TEXTS, answers) for d, score in zip(TEXTS, a["scores"], strict=True)}
    assert len(set(table.values())) == len(TEXTS) ** 2
    return table


def ranked(found, scores, query, count=len(TEXTS)):
    """found: [(place in TEXTS, score)] are the best `count`, best first, with the scores of `qvec rerank` to the bit."""
    best = sorted(((scores[query, d], i) for i, d in enumerate(TEXTS)), reverse=True)
    assert [(i, np.float32(score)) for i, score in found] == [(i, score) for score, i in best[:count]]


def equal(found, wanted):
    found = [np.asarray(v, np.float32) for v in found]
    assert len(found) == len(wanted) and all(f.tobytes() == w.tobytes() for f, w in zip(found, wanted))


# ---- vendors' own clients ----

def test_openai(server, raw, query):
    """With another dialect's fields beside its own, too."""
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=server.base + "/v1", api_key="none", max_retries=0)
    equal([d.embedding for d in client.embeddings.create(model="tiny", input=TEXTS).data], raw)
    for extra in ({"input_type": "query"}, {"task": "retrieval.query"}, {"instruction": QUERY}):
        equal([d.embedding for d in client.embeddings.create(model="tiny", input=TEXTS, extra_body=extra).data], query)


def test_cohere(server, official, query):
    cohere = pytest.importorskip("cohere")
    client = cohere.ClientV2(api_key="none", base_url=server.base)
    answer = client.embed(model="tiny", texts=TEXTS, input_type="search_document", embedding_types=["float", "ubinary", "int8"])
    equal(answer.embeddings.float_, official)
    assert [list(np.packbits(v >= 0)) for v in official] == [list(v) for v in answer.embeddings.ubinary]
    assert answer.texts == TEXTS and answer.meta.billed_units.input_tokens > 0
    equal(client.embed(model="tiny", texts=TEXTS, input_type="search_query", embedding_types=["float"]).embeddings.float_, query)
    first = cohere.Client(api_key="none", base_url=server.base).embed(texts=TEXTS, model="tiny", input_type="search_document")
    equal(first.embeddings, official)
    with pytest.raises(cohere.BadRequestError, match="at most|from 64 to"):
        client.embed(model="tiny", texts=["a"], input_type="search_query", output_dimension=100000)


def test_cohere_rerank(reranker, scores):
    cohere = pytest.importorskip("cohere")
    for query in TEXTS:
        for client in (cohere.ClientV2(api_key="none", base_url=reranker.base), cohere.Client(api_key="none", base_url=reranker.base)):
            results = client.rerank(model="tiny", query=query, documents=TEXTS, top_n=2).results
            ranked([(r.index, r.relevance_score) for r in results], scores, query, 2)


def test_cohere_pictures(server, command):
    cohere = pytest.importorskip("cohere")
    with open(os.path.join(harness.ASSETS, "frame0.png"), "rb") as f:
        url = "data:image/png;base64," + base64.b64encode(f.read()).decode()
    answer = cohere.ClientV2(api_key="none", base_url=server.base).embed(
        model="tiny", images=[url], input_type="image", embedding_types=["float"])
    wanted = harness.run_lines("embed", harness.folder("tiny"), [{"image": "frame0.png"}])[0]["embedding"]
    equal(answer.embeddings.float_, [np.asarray(wanted, np.float32)])


def test_voyage(server, raw, official, query):
    voyageai = pytest.importorskip("voyageai")
    client = voyageai.Client(api_key="none", base_url=server.base + "/v1", max_retries=0)
    equal(client.embed(TEXTS, model="tiny").embeddings, raw)
    equal(client.embed(TEXTS, model="tiny", input_type="document").embeddings, official)
    equal(client.embed(TEXTS, model="tiny", input_type="query").embeddings, query)
    bits = client.embed(TEXTS, model="tiny", input_type="document", output_dtype="ubinary").embeddings
    assert [list(v) for v in bits] == [list(np.packbits(v >= 0)) for v in official]
    with pytest.raises(voyageai.error.InvalidRequestError, match="dance"):
        client.embed(TEXTS, model="tiny", input_type="dance")


def test_voyage_rerank(reranker, scores):
    voyageai = pytest.importorskip("voyageai")
    client = voyageai.Client(api_key="none", base_url=reranker.base + "/v1", max_retries=0)
    for query in TEXTS:
        answer = client.rerank(query, TEXTS, model="tiny", top_k=2)
        ranked([(r.index, r.relevance_score) for r in answer.results], scores, query, 2)
        assert [r.document for r in answer.results] == [TEXTS[r.index] for r in answer.results] and answer.total_tokens > 0


def test_voyage_multimodal(server, command):
    """The client sends pictures as WebP without loss."""
    voyageai = pytest.importorskip("voyageai")
    image = pytest.importorskip("PIL.Image").open(os.path.join(harness.ASSETS, "frame0.png")).convert("RGB")
    client = voyageai.Client(api_key="none", base_url=server.base + "/v1", max_retries=0)
    answer = client.multimodal_embed([["a red door", image], ["only text"]], model="tiny", input_type="document")
    wanted = harness.run_lines("embed", harness.folder("tiny"), [{"text": "a red door", "image": "frame0.png"}, {"text": "only text"}])
    equal(answer.embeddings, [np.asarray(w["embedding"], np.float32) for w in wanted])
    assert answer.image_pixels > 0 and answer.text_tokens > 0
    assert answer.total_tokens == answer.text_tokens + answer.image_pixels // 1024


# ---- TEI's forms, as its guide has them ----

@pytest.mark.parametrize("path", ["/rerank", "/"])
def test_tei_rerank(reranker, scores, path):
    for query in TEXTS:
        status, found = reranker.post(path, {"query": query, "texts": TEXTS, "return_text": True})
        assert status == 200 and [r["text"] for r in found] == [TEXTS[r["index"]] for r in found]
        ranked([(r["index"], r["score"]) for r in found], scores, query)


def test_huggingface_hub(server, raw):
    hub = pytest.importorskip("huggingface_hub")
    client = hub.InferenceClient(model=server.base + "/embed")
    for text, wanted in zip(TEXTS, raw):
        equal(client.feature_extraction(text), [wanted])
    scores = hub.InferenceClient(model=server.base + "/similarity").sentence_similarity(TEXTS[0], other_sentences=TEXTS)
    assert abs(scores[0] - 1) < 1e-6 and abs(scores[1] - float(raw[0].astype(np.float64) @ raw[1])) < 1e-6


# ---- frameworks ----

def test_langchain_openai(server, raw):
    """Token ids of another vocabulary would mean nothing here: check_embedding_ctx_length must be off."""
    langchain = pytest.importorskip("langchain_openai")
    model = langchain.OpenAIEmbeddings(base_url=server.base + "/v1", api_key="none", model="tiny", check_embedding_ctx_length=False)
    equal(model.embed_documents(TEXTS), raw)
    equal([model.embed_query(TEXTS[0])], raw[:1])


@pytest.fixture(scope="module")
def cohere5(server, reranker):
    """What the clients get that have a Python of their own."""
    python = os.path.join(harness.ROOT, ".venv-cohere5", "bin", "python")
    if not os.path.exists(python):
        pytest.skip("no .venv-cohere5: make test makes it of tests/api/requirements-cohere5.txt")
    done = subprocess.run([python, os.path.join(os.path.dirname(__file__), "cohere5_clients.py"), server.base, reranker.base, json.dumps(TEXTS)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_langchain_cohere(cohere5, official, query):
    equal(cohere5["langchain-cohere"], official)
    equal(cohere5["langchain-cohere query"], query)


def test_langchain_huggingface(cohere5, raw):
    equal(cohere5["langchain-huggingface"], raw)
    equal([cohere5["langchain-huggingface query"]], raw[:1])


def test_haystack_inference_endpoint(cohere5, raw):
    equal(cohere5["haystack"], raw)


@pytest.mark.parametrize("client", ["langchain-cohere", "llama-index", "haystack"])
def test_rankers(cohere5, scores, client):
    ranked(cohere5[client + " ranks"], scores, TEXTS[1], 2)


def test_llama_index(server, raw):
    like = pytest.importorskip("llama_index.embeddings.openai_like")
    model = like.OpenAILikeEmbedding(model_name="tiny", api_base=server.base + "/v1", api_key="none", max_retries=0)
    equal(model.get_text_embedding_batch(TEXTS), raw)
    tei = pytest.importorskip("llama_index.embeddings.text_embeddings_inference")
    equal(tei.TextEmbeddingsInference(model_name="tiny", base_url=server.base, text_instruction="", query_instruction="").get_text_embedding_batch(TEXTS), raw)


def test_llama_index_rerank(reranker, scores):
    tei = pytest.importorskip("llama_index.postprocessor.tei_rerank")
    schema = pytest.importorskip("llama_index.core.schema")
    for query in TEXTS:
        nodes = [schema.NodeWithScore(node=schema.TextNode(text=t), score=0) for t in TEXTS]
        found = tei.TextEmbeddingInference(base_url=reranker.base, top_n=2).postprocess_nodes(nodes, query_str=query)
        ranked([(TEXTS.index(n.node.text), n.score) for n in found], scores, query, 2)


def test_haystack(server, raw):
    embedders = pytest.importorskip("haystack.components.embedders")
    from haystack import Document
    from haystack.utils import Secret
    options = {"api_base_url": server.base + "/v1", "api_key": Secret.from_token("none"), "model": "tiny", "max_retries": 0}
    equal([embedders.OpenAITextEmbedder(**options).run(TEXTS[0])["embedding"]], raw[:1])
    documents = embedders.OpenAIDocumentEmbedder(**options, progress_bar=False).run([Document(content=t) for t in TEXTS])["documents"]
    equal([d.embedding for d in documents], raw)
