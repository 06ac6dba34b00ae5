"""Clients that keep to cohere 5 or huggingface_hub 1, in a Python of their own (.venv-cohere5): prints what they get as
JSON. Run by test_frameworks.py with the addresses of an embedding server and of a reranker, and a JSON list of texts."""
import json
import sys

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.embedders.huggingface_api import HuggingFaceAPITextEmbedder
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker
from langchain_cohere import CohereEmbeddings, CohereRerank
from langchain_huggingface import HuggingFaceEndpointEmbeddings
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank as IndexRerank

base, rank_base, texts = *sys.argv[1:3], json.loads(sys.argv[3])

cohere = CohereEmbeddings(cohere_api_key="none", base_url=base, model="tiny")
reranker = CohereRerank(cohere_api_key="none", base_url=rank_base, model="tiny", top_n=2)
endpoint = HuggingFaceEndpointEmbeddings(model=base + "/embed", huggingfacehub_api_token="none")
index_ranker = IndexRerank(api_key="none", base_url=rank_base, model="tiny", top_n=2)
nodes = [NodeWithScore(node=TextNode(text=t), score=0) for t in texts]
token = Secret.from_token("none")
embedder = HuggingFaceAPITextEmbedder(api_type="text_embeddings_inference", api_params={"url": base + "/embed"}, token=token, normalize=True)
ranker = HuggingFaceTEIRanker(url=rank_base, top_k=2, token=token)
documents = [Document(content=t) for t in texts]

print(json.dumps({
    "langchain-cohere": cohere.embed_documents(texts),
    "langchain-cohere query": [cohere.embed_query(t) for t in texts],
    "langchain-cohere ranks": [(r["index"], r["relevance_score"]) for r in reranker.rerank(texts, texts[1])],
    "langchain-huggingface": endpoint.embed_documents(texts),
    "langchain-huggingface query": endpoint.embed_query(texts[0]),
    "llama-index ranks": [(texts.index(n.node.text), n.score) for n in index_ranker.postprocess_nodes(nodes, query_str=texts[1])],
    "haystack": [embedder.run(t)["embedding"] for t in texts],
    "haystack ranks": [(texts.index(d.content), d.score) for d in ranker.run(query=texts[1], documents=documents)["documents"]],
}))
