"""`Reranker`: how well documents answer a query."""
from __future__ import annotations

from typing import Any, Iterable, Sequence, TypedDict, cast

import numpy as np

from ._embedder import Opened
from ._errors import InvalidInput
from ._inputs import Batch, Item, Wishes
from ._model import Vectors
from ._progress import Bar


class Ranked(TypedDict, total=False):
    """One document of a ranking, as sentence-transformers' `CrossEncoder.rank` gives it."""
    corpus_id: int
    """Its place in the list that was handed in."""
    score: float
    """The model's probability that it answers the query, in (0, 1)."""
    text: Item
    """The document itself, when asked for."""


class Reranker(Opened):
    """A reranker. Any number of threads may use it; the interpreter is free while it computes.

    >>> Reranker("Qwen/Qwen3-VL-Reranker-2B").rank("capital of China", ["Paris", "Beijing"])
    [{'corpus_id': 1, 'score': 0.97}, {'corpus_id': 0, 'score': 0.03}]"""

    _task = "rerank"

    def __enter__(self) -> Reranker:
        return self

    def score(self, query: Item, documents: Sequence[Item], *, instruction: str | None = None, logits: bool = False,
              max_length: int | None = None, min_pixels: int | None = None, max_pixels: int | None = None,
              apply_orientation: bool = False, fps: float | None = None, max_frames: int | None = None,
              progress: bool = False) -> Vectors:
        """Scores in the documents' order, float32 [documents]: probabilities, or the logits before the sigmoid.

        Query and documents are items as `Embedder.embed` takes them; wishes of a document of its own do not count."""
        wishes = Wishes(instruction=instruction, max_length=max_length, min_pixels=min_pixels, max_pixels=max_pixels,
                        apply_orientation=apply_orientation, fps=fps, max_frames=max_frames)
        one, many = Batch([query], wishes), Batch(documents, wishes)
        if not many.count:
            return np.empty(0, np.float32)
        with Bar(progress, many.count, "Reranking") as bar:
            results = self._model.rerank(one, many, (lambda finished, _: bar.at(finished)) if progress else None)
        return np.array([r.logit if logits else r.score for r in results], np.float32)

    def rank(self, query: Item, documents: Sequence[Item], top_k: int | None = None, return_documents: bool = False,
             **wishes: Any) -> list[Ranked]:
        """The documents, best first; equal ones in their order. top_k: the best so many."""
        documents = list(documents)
        scores = self.score(query, documents, **wishes)
        order = np.argsort(-scores, kind="stable")[:top_k]
        ranking: list[Ranked] = [{"corpus_id": int(i), "score": float(scores[i])} for i in order]
        if return_documents:
            for entry in ranking:
                entry["text"] = documents[entry["corpus_id"]]
        return ranking

    def predict(self, pairs: Iterable[tuple[Item, Item]] | tuple[str, str], **wishes: Any) -> Any:
        """As `CrossEncoder.predict`: scores of (query, document) pairs, float32 [pairs]; one pair gives one number.

        Pairs with the same query text share its computation."""
        if isinstance(pairs, (list, tuple)) and len(pairs) == 2 and all(isinstance(side, str) for side in pairs):
            return self.predict([cast("tuple[Item, Item]", tuple(pairs))], **wishes)[0]
        listed = list(cast("Iterable[tuple[Item, Item]]", pairs))
        for i, pair in enumerate(listed):
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                raise InvalidInput(f"pair {i} is not a query and a document", index=i)
        scores = np.empty(len(listed), np.float32)
        for query, places in _by_query(listed):
            scores[places] = self.score(query, [listed[i][1] for i in places], **wishes)
        return scores


def _by_query(pairs: Sequence[tuple[Item, Item]]) -> list[tuple[Item, list[int]]]:
    groups: dict[object, tuple[Item, list[int]]] = {}
    for i, (query, _) in enumerate(pairs):
        key: object = query if isinstance(query, str) else ("at", id(query))
        groups.setdefault(key, (query, []))[1].append(i)
    return list(groups.values())
