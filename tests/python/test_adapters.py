"""LangChain's and LlamaIndex's embeddings in process, as those frameworks call them."""
import asyncio
import subprocess
import sys

import numpy as np
import pytest

import harness
import qvec
from conftest import asset


def same(found, want):
    return np.array(found, np.float32).tobytes() == np.asarray(want, np.float32).tobytes()


def test_langchain(embedder):
    pytest.importorskip("langchain_core")
    from langchain_core.vectorstores import InMemoryVectorStore
    from qvec.langchain import QvecEmbeddings
    adapter = QvecEmbeddings(harness.folder("tiny"), load_format="dummy")
    texts = ["red shoes", "a blue hat", "green tea"]
    assert same(adapter.embed_documents(texts), embedder.embed(texts))
    assert same(adapter.embed_query("tea"), embedder.embed("tea", instruction=qvec.PROMPTS["query"])[0])
    assert same(adapter.embed_image([asset("small.png")]), embedder.embed({"image": asset("small.png")}))
    assert same(asyncio.run(adapter.aembed_query("tea")), adapter.embed_query("tea"))
    store = InMemoryVectorStore(QvecEmbeddings(embedder, dimensions=32))
    store.add_texts(texts)
    found = [d.page_content for d in store.similarity_search("tea", k=3)]
    scores = embedder.embed(texts, dimensions=32) @ embedder.embed("tea", instruction=qvec.PROMPTS["query"], dimensions=32)[0]
    assert found == [texts[i] for i in np.argsort(-scores)]


def test_llama_index(embedder):
    pytest.importorskip("llama_index.core")
    from llama_index.core import Document, VectorStoreIndex
    from qvec.llama_index import QvecEmbedding
    adapter = QvecEmbedding(embedder, dimensions=32)
    assert adapter.class_name() == "QvecEmbedding" and adapter.model_name == embedder.model
    texts = ["red shoes", "a blue hat", "green tea"]
    assert same(adapter.get_text_embedding_batch(texts), embedder.embed(texts, dimensions=32))
    query = embedder.embed("tea", instruction=qvec.PROMPTS["query"], dimensions=32)[0]
    assert same(adapter.get_query_embedding("tea"), query) and same(asyncio.run(adapter.aget_query_embedding("tea")), query)
    assert same(adapter.get_image_embedding(asset("small.png")), embedder.embed({"image": asset("small.png")}, dimensions=32)[0])
    with open(asset("small.png"), "rb") as f:
        assert same(adapter.get_image_embedding(f), embedder.embed({"image": asset("small.png")}, dimensions=32)[0])
    index = VectorStoreIndex.from_documents([Document(text=text) for text in texts], embed_model=adapter)
    assert len(index.as_retriever(similarity_top_k=3, embed_model=adapter).retrieve("tea")) == 3


def test_frameworks_are_imported_only_when_asked_for():
    code = "import sys, qvec; print([m for m in ('langchain_core', 'llama_index', 'torch', 'PIL', 'tqdm') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
