#!/usr/bin/env python3
"""Unpacks models/qwen3-tokenizer.json.xz into a checkpoint folder's tokenizer.json.

    tools/unpack_tokenizer.py FILE.xz OUT.json [--kind embedding|reranker]

The embedding kind appends <|endoftext|> to every sequence by its post-processor, as the published embedding
checkpoints do; the reranker kind appends nothing. Standard library only, so that a bare machine can build.
"""
import argparse
import json
import lzma

END_OF_TEXT = 151643


def load(path, kind):
    """The tokenizer as a dictionary, with the post-processor of the kind."""
    with lzma.open(path, "rt", encoding="utf-8") as f:
        value = json.load(f)
    if kind == "embedding":
        def side(name, type_id):
            return [{"Sequence": {"id": name, "type_id": type_id}},
                    {"SpecialToken": {"id": "<|endoftext|>", "type_id": type_id}}]
        append = {"type": "TemplateProcessing", "single": side("A", 0), "pair": side("A", 0) + side("B", 1),
                  "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [END_OF_TEXT],
                                                       "tokens": ["<|endoftext|>"]}}}
        value["post_processor"] = {"type": "Sequence", "processors": [value["post_processor"], append]}
    return value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("xz")
    parser.add_argument("out")
    parser.add_argument("--kind", choices=("embedding", "reranker"), default="embedding")
    arguments = parser.parse_args()
    with open(arguments.out, "w", encoding="utf-8") as f:
        json.dump(load(arguments.xz, arguments.kind), f, ensure_ascii=False)
