"""The held-out pictures through `qvec embed`: recall of the shipped folder as its users have it.

    measure_qvec.py QVEC [FOLDER]       QVEC: the program; FOLDER: a checkpoint, by default ..; prints JSON

Reads what `measure.py prepare` left in the cache. The numbers are those of measure.py but for single pictures whose
neighbours are as good as equally near: that one measures PyTorch over the same weights.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

from common import HERE, cache
from data_text import read


def embed(qvec, folder, items):
    """Vectors of unit length, [items, 256]."""
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    command = [qvec, "embed", folder, "--no-progress", "-"]
    done = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE, check=True)
    return np.array([json.loads(line)["embedding"] for line in done.stdout.splitlines()], np.float32)


def recall(a, b, at, groups):
    """Share of rows of a whose own row of b, or one of the same group, is among the nearest `at`."""
    near = np.argsort(-(a @ b.T), axis=1, kind="stable")[:, :at]
    return round(float(np.mean([groups[i] in {groups[j] for j in row} for i, row in enumerate(near)])), 3)


def measure(qvec, folder, name):
    rows, arrays = read(f"held-{name}.jsonl"), np.load(cache(f"held-{name}.npy"))
    with tempfile.TemporaryDirectory() as drawn:
        paths = [os.path.join(drawn, f"{i}.png") for i in range(len(arrays))]
        for path, array in zip(paths, arrays):
            Image.fromarray(array).save(path, compress_level=1)
        pictures = embed(qvec, folder, [{"image": path} for path in paths])
    texts = embed(qvec, folder, [{"text": row["caption"]} for row in rows])
    groups = [row.get("group", i) for i, row in enumerate(rows)]
    out = {"pictures": len(rows)}
    for at in (1, 5):
        out[f"text to picture, recall at {at}"] = recall(texts, pictures, at, groups)
        out[f"picture to text, recall at {at}"] = recall(pictures, texts, at, groups)
    return out


if __name__ == "__main__":
    program, model = (sys.argv[1:] + [os.path.join(HERE, "..")])[:2]
    print(json.dumps({name: measure(program, model, name) for name in ("scenes", "drawn", "pages")}, indent=1))
