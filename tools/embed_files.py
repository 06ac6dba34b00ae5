#!/usr/bin/env python3
"""Files as C arrays, so that the program needs none of them beside it: embed_files.py OUT.c FILE...
web/docs.html becomes qv__file_docs_html and qv__file_docs_html_size. JSON is checked and packed."""
import json
import os
import re
import sys


def content(path):
    with open(path, "rb") as f:
        data = f.read()
    return json.dumps(json.loads(data), separators=(",", ":"), ensure_ascii=False).encode() if path.endswith(".json") else data


def rows(data):
    for i in range(0, len(data), 24):
        yield "    " + ", ".join(str(byte) for byte in data[i:i + 24]) + ","


out, *paths = sys.argv[1:]
text = ['#include "api/files.h"']
for path in paths:
    name = "qv__file_" + re.sub(r"\W", "_", os.path.basename(path))
    data = content(path)
    text += ["", f"const size_t {name}_size = {len(data)};", f"const unsigned char {name}[] = {{", *rows(data), "};"]
with open(out, "w", encoding="ascii") as f:
    f.write("\n".join(text) + "\n")
