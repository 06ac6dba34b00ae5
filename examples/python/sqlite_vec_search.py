#!/usr/bin/env python3
"""Pictures and texts in SQLite with sqlite-vec:  sqlite_vec_search.py FOLDER "a dog on a beach" --store /var/tmp/store"""
import sqlite3
from pathlib import Path
from typing import Sequence

import numpy as np
import sqlite_vec
from common import Search, main
from folder import Entry


def fill(where: Path, entries: Sequence[Entry], vectors: np.ndarray) -> Search:
    where.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(where / "entries.sqlite")
    db.enable_load_extension(True)
    sqlite_vec.load(db)
    db.executescript(f"""
        DROP TABLE IF EXISTS entries;
        DROP TABLE IF EXISTS vectors;
        CREATE TABLE entries (id INTEGER PRIMARY KEY, name TEXT, text TEXT);
        CREATE VIRTUAL TABLE vectors USING vec0 (vector FLOAT[{vectors.shape[1]}] distance_metric=cosine);""")
    with db:
        for i, (entry, vector) in enumerate(zip(entries, vectors)):
            db.execute("INSERT INTO entries VALUES (?, ?, ?)", (i, entry.name, entry.text))
            db.execute("INSERT INTO vectors (rowid, vector) VALUES (?, ?)", (i, vector))  # the array's own bytes

    def search(query: np.ndarray, k: int) -> "list[str]":
        return [name for name, in db.execute(
            "SELECT name FROM vectors JOIN entries ON id = rowid WHERE vector MATCH ? AND k = ? ORDER BY distance", (query, k))]
    return search


if __name__ == "__main__":
    main("sqlite-vec", fill)
