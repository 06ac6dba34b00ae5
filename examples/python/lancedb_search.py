#!/usr/bin/env python3
"""Pictures and texts in LanceDB:  lancedb_search.py FOLDER "a dog on a beach" --store /var/tmp/store"""
from pathlib import Path
from typing import Sequence

import lancedb
import numpy as np
import pyarrow as pa
from common import Search, main
from folder import Entry


def fill(where: Path, entries: Sequence[Entry], vectors: np.ndarray) -> Search:
    table = lancedb.connect(str(where)).create_table("entries", mode="overwrite", data=pa.table({
        "name": [entry.name for entry in entries],
        "text": [entry.text for entry in entries],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),  # not copied
    }))

    def search(query: np.ndarray, k: int) -> "list[str]":
        # Unit vectors: the dot product is the cosine. Below some 100,000 rows an exact scan needs no index.
        return [row["name"] for row in table.search(query).distance_type("dot").limit(k).to_list()]
    return search


if __name__ == "__main__":
    main("LanceDB", fill)
