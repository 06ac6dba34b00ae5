"""The command line that the vector store examples share, and the check of what a store finds."""
import argparse
import time
from pathlib import Path
from typing import Callable, Sequence

import numpy as np
from folder import Entry, entries
from qvec import Embedder

Search = Callable[[np.ndarray, int], Sequence[str]]
"""Names of the k nearest, nearest first."""

CHECKED = 5  # neighbours of every entry that are compared


def exact(vectors: np.ndarray, query: np.ndarray, k: int) -> "list[int]":
    return [int(i) for i in np.argsort(-(vectors @ query), kind="stable")[:k]]


def recall(found: Entry, listed: Sequence[Entry], vectors: np.ndarray, search: Search) -> float:
    """Of the truly nearest k, the share that the store finds. An equally near one counts."""
    query = vectors[listed.index(found)]
    scores = vectors @ query
    k = min(CHECKED, len(listed))
    floor = scores[exact(vectors, query, k)[-1]] - 1e-6
    near = {entry.name for entry, score in zip(listed, scores) if score >= floor}
    return len(near & set(search(query, k))) / k


def main(name: str, fill: Callable[[Path, Sequence[Entry], np.ndarray], Search]) -> None:
    """fill(where, entries, vectors) puts everything into a store below the folder `where` and gives its search."""
    parser = argparse.ArgumentParser(description=f"Index a folder's pictures and Markdown in {name}, and search it.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("query", help="a text, or the path of a picture")
    parser.add_argument("--store", type=Path, required=True, help="folder for the store's files")
    parser.add_argument("--model", help="default: the built-in model")
    parser.add_argument("--load-format", help="dummy: weights made by rule")
    parser.add_argument("--check", action="store_true", help="compare each entry's neighbours with an exact search")
    options = parser.parse_args()

    embedder = Embedder(options.model, load_format=options.load_format)
    listed = list(entries(options.folder))
    start = time.monotonic()
    vectors = embedder.embed([entry.item for entry in listed])
    print(f"{len(listed)} entries embedded in {time.monotonic() - start:.1f} s")
    search = fill(options.store, listed, vectors)

    query = Path(options.query) if Path(options.query).is_file() else options.query
    for found in search(embedder.encode(query, prompt_name="query"), 3):
        print(f"  {found}")
    if options.check:
        print(f"recall@{CHECKED} {np.mean([recall(entry, listed, vectors, search) for entry in listed]):.3f}")
