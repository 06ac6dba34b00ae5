"""Qwen3-VL-Embedding and Qwen3-VL-Reranker in this process, by the C library qvec.

`Embedder` turns texts, pictures and videos into vectors, `Reranker` scores documents against a query, and `LLM` is
vLLM's offline class for pooling models. `qvec.langchain` and `qvec.llama_index` are for those frameworks."""
from ._embedder import PROMPTS, Embedder
from ._errors import (BadModel, Cancelled, Error, InvalidInput, IOFailure, MediaError, NotFound, OutOfMemory, TooLong,
                      Unsupported, WrongTask)
from ._inputs import Item
from ._llm import LLM, EmbeddingOutput, PoolingOutput, PoolingParams, RequestOutput, ScoringOutput
from ._native import version as __version__
from ._reranker import Ranked, Reranker

__all__ = [
    "BadModel", "Cancelled", "Embedder", "EmbeddingOutput", "Error", "IOFailure", "InvalidInput", "Item", "LLM",
    "MediaError", "NotFound", "OutOfMemory", "PROMPTS", "PoolingOutput", "PoolingParams", "Ranked", "RequestOutput",
    "Reranker", "ScoringOutput", "TooLong", "Unsupported", "WrongTask", "__version__",
]
