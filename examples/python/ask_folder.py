#!/usr/bin/env python3
"""The retrieving half of question answering over a folder of pictures and Markdown, with no store at all:

    ask_folder.py FOLDER "How is memory bounded?" [--model M --reranker R]

All entries are embedded, the nearest to the question are read again by the reranker together with it, and what is left
is printed as a context with its sources: what one would put into a prompt."""
import argparse
from pathlib import Path

import numpy as np
from folder import entries
from qvec import Embedder, Reranker

NEAR, GIVEN = 10, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("question")
    parser.add_argument("--model", help="default: the built-in model")
    parser.add_argument("--reranker", help="default: the built-in model")
    parser.add_argument("--load-format", help="dummy: weights made by rule")
    options = parser.parse_args()

    listed = list(entries(options.folder))
    if not listed:
        parser.error(f"there are no pictures and no Markdown in {options.folder}")
    embedder = Embedder(options.model, load_format=options.load_format)
    vectors = np.stack(list(embedder.stream(entry.item for entry in listed)))
    scores = vectors @ embedder.encode(options.question, prompt_name="query")
    near = [listed[i] for i in np.argsort(-scores, kind="stable")[:NEAR]]

    reranker = Reranker(options.reranker, load_format=options.load_format)
    ranking = reranker.rank(options.question, [entry.item for entry in near], top_k=GIVEN)
    print(f"Question: {options.question}\n")
    for place, found in enumerate(ranking, 1):
        entry = near[found["corpus_id"]]
        print(f"[{place}] {entry.name} (score {found['score']:.3f})\n{entry.text[:400]}\n")


if __name__ == "__main__":
    main()
