#!/usr/bin/env python3
"""Pictures and texts in Chroma:  chroma_search.py FOLDER "a dog on a beach" --store /var/tmp/store"""
from pathlib import Path
from typing import Sequence

import chromadb
import numpy as np
from chromadb.config import Settings
from common import Search, main
from folder import Entry


def fill(where: Path, entries: Sequence[Entry], vectors: np.ndarray) -> Search:
    client = chromadb.PersistentClient(str(where), Settings(anonymized_telemetry=False))
    # Vectors are ours, so the collection needs no embedding function. A wide beam finds what an exact search finds.
    collection = client.get_or_create_collection("entries", embedding_function=None, configuration={
        "hnsw": {"space": "ip", "ef_construction": 400, "ef_search": 400, "max_neighbors": 32}})
    collection.upsert(ids=[entry.name for entry in entries], embeddings=vectors, documents=[entry.text for entry in entries])

    def search(query: np.ndarray, k: int) -> "list[str]":
        return collection.query(query_embeddings=query[None], n_results=k, include=[])["ids"][0]
    return search


if __name__ == "__main__":
    main("Chroma", fill)
