"""LlamaIndex's embedding in process: `from qvec.llama_index import QvecEmbedding`. Needs llama-index-core."""
from __future__ import annotations

import asyncio
import os
from typing import Any, Iterable

from llama_index.core.base.embeddings.base import Embedding
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.embeddings import MultiModalEmbedding
from llama_index.core.schema import ImageType

from . import PROMPTS, Embedder, Item


class QvecEmbedding(MultiModalEmbedding):
    """Queries with the instruction for retrieval, texts and pictures with the model's default.

    model: as `Embedder` takes it, or an `Embedder`. options: `Embedder`'s."""

    dimensions: int | None = None
    query_instruction: str | None = PROMPTS["query"]
    _embedder: Embedder = PrivateAttr()

    def __init__(self, model: str | os.PathLike[str] | Embedder | None = None, *, dimensions: int | None = None,
                 query_instruction: str | None = PROMPTS["query"], embed_batch_size: int = 64, callback_manager: Any = None,
                 **options: Any) -> None:
        embedder = model if isinstance(model, Embedder) else Embedder(model, **options)
        super().__init__(model_name=embedder.model, embed_batch_size=embed_batch_size, callback_manager=callback_manager)
        self.dimensions, self.query_instruction = dimensions, query_instruction
        self._embedder = embedder

    @classmethod
    def class_name(cls) -> str:
        return "QvecEmbedding"

    def _vectors(self, items: Iterable[Item], instruction: str | None = None) -> list[Embedding]:
        vectors: list[Embedding] = self._embedder.embed(items, instruction=instruction, dimensions=self.dimensions).tolist()
        return vectors

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._vectors([query], self.query_instruction)[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._vectors([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._vectors(texts)

    def _get_image_embedding(self, img_file_path: ImageType) -> Embedding:
        image = img_file_path if isinstance(img_file_path, (str, os.PathLike)) else img_file_path.read()
        return self._vectors([{"image": image}])[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_image_embedding(self, img_file_path: ImageType) -> Embedding:
        return await asyncio.to_thread(self._get_image_embedding, img_file_path)
