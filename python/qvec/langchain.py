"""LangChain's `Embeddings` in process: `from qvec.langchain import QvecEmbeddings`. Needs langchain-core."""
from __future__ import annotations

import os
from typing import Any, Iterable

from langchain_core.embeddings import Embeddings

from . import PROMPTS, Embedder, Item


class QvecEmbeddings(Embeddings):
    """Queries with the instruction for retrieval, documents with the model's default.

    model: as `Embedder` takes it, or an `Embedder`. dimensions: values to keep. options: `Embedder`'s."""

    def __init__(self, model: str | os.PathLike[str] | Embedder | None = None, *, dimensions: int | None = None,
                 query_instruction: str | None = PROMPTS["query"], document_instruction: str | None = None,
                 **options: Any) -> None:
        self.embedder = model if isinstance(model, Embedder) else Embedder(model, **options)
        self.dimensions = dimensions
        self.query_instruction, self.document_instruction = query_instruction, document_instruction

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text."""
        return self._vectors(texts, self.document_instruction)

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question."""
        return self._vectors([text], self.query_instruction)[0]

    def embed_image(self, uris: list[str]) -> list[list[float]]:
        """One vector for each picture file: what LangChain's vector stores call for pictures."""
        return self._vectors([{"image": uri} for uri in uris], self.document_instruction)

    def embed_items(self, items: Iterable[Item]) -> list[list[float]]:
        """Vectors of documents of any kind."""
        return self._vectors(items, self.document_instruction)

    def _vectors(self, items: Iterable[Item], instruction: str | None) -> list[list[float]]:
        vectors: list[list[float]] = self.embedder.embed(items, instruction=instruction, dimensions=self.dimensions).tolist()
        return vectors
