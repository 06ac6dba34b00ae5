"""The rule for dummy weights (docs/MODEL.md, part 9) in numpy, and real safetensors files made with it.

    python3 dummy_weights.py FOLDER [--seed 0] [--dtype bf16|f16|f32|f32-of-f16] [--shards 1]
                             [--names published|bare|old]

FOLDER holds a config.json; the weights are written beside it. A tensor's values depend on its published name, its
shape and the seed alone, so every form of the file holds the same numbers. bf16 and f32 hold the rule's values
exactly; f16 rounds the smallest of them again, and f32-of-f16 holds those rounded values.
"""
import argparse
import json
import os
import struct

import numpy as np

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
PIECE = 1 << 21  # elements made at a time


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & MASK
    return value


def mix(z):
    """The 64-bit finaliser, on uint64 arrays (which wrap)."""
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def round_to_bf16(values):
    """float32 array -> the nearest bfloat16, ties to even, still as float32."""
    bits = values.view(np.uint32)
    return (bits + (np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)).view(np.float32)


def elements(name, shape, seed, first=0, count=None):
    """Values [first, first + count) of a tensor in row-major order: float32, each exact in bfloat16."""
    count = int(np.prod(shape, dtype=np.int64)) - first if count is None else count
    with np.errstate(over="ignore"):
        start = np.array([(fnv1a(name.encode()) + GOLDEN * (seed + 1)) & MASK], dtype=np.uint64)
        index = np.arange(first + 1, first + 1 + count, dtype=np.uint64)
        x = mix(mix(start) + np.uint64(GOLDEN) * index)
    u = (2.0 * (x >> np.uint64(40)).astype(np.float64) + (1.0 - 2.0 ** 24)) * 2.0 ** -24
    if name.endswith(".bias"):
        u *= 0.1
    elif len(shape) == 1:
        u = 1.0 + 0.1 * u
    else:
        u *= np.sqrt(3.0 / float(np.prod(shape[1:], dtype=np.int64)))
    return round_to_bf16(u.astype(np.float32))


def decoder_shapes(text):
    width, inner, head = text["hidden_size"], text["intermediate_size"], text["head_dim"]
    query, pair = text["num_attention_heads"] * head, text["num_key_value_heads"] * head
    yield "embed_tokens", (text["vocab_size"], width)
    for i in range(text["num_hidden_layers"]):
        for part, shape in {
                "input_layernorm": (width,), "self_attn.q_proj": (query, width), "self_attn.k_proj": (pair, width),
                "self_attn.v_proj": (pair, width), "self_attn.o_proj": (width, query), "self_attn.q_norm": (head,),
                "self_attn.k_norm": (head,), "post_attention_layernorm": (width,), "mlp.gate_proj": (inner, width),
                "mlp.up_proj": (inner, width), "mlp.down_proj": (width, inner)}.items():
            yield f"layers.{i}.{part}", shape
    yield "norm", (width,)


def vision_shapes(vision):
    """Modules of the tower; each has a weight of this shape and (all but pos_embed) a bias of its first dimension."""
    width, inner, out = vision["hidden_size"], vision["intermediate_size"], vision["out_hidden_size"]
    merged = width * vision["spatial_merge_size"] ** 2
    patch = vision["patch_size"]
    yield "patch_embed.proj", (width, vision["in_channels"], vision["temporal_patch_size"], patch, patch)
    yield "pos_embed", (vision["num_position_embeddings"], width)
    for i in range(vision["depth"]):
        for part, shape in {"norm1": (width,), "norm2": (width,), "attn.qkv": (3 * width, width),
                            "attn.proj": (width, width), "mlp.linear_fc1": (inner, width),
                            "mlp.linear_fc2": (width, inner)}.items():
            yield f"blocks.{i}.{part}", shape
    mergers = ["merger"] + [f"deepstack_merger_list.{i}" for i in range(len(vision["deepstack_visual_indexes"]))]
    for merger in mergers:
        yield f"{merger}.norm", (width if merger == "merger" else merged,)
        yield f"{merger}.linear_fc1", (merged, merged)
        yield f"{merger}.linear_fc2", (out, merged)


def tensors(config):
    """{published name: shape} of a config.json's model."""
    text, found = config["text_config"], {}
    for name, shape in decoder_shapes(text):
        found[f"model.language_model.{name}.weight"] = shape
    if "vision_config" in config:
        for name, shape in vision_shapes(config["vision_config"]):
            found[f"model.visual.{name}.weight"] = shape
            if name != "pos_embed":
                found[f"model.visual.{name}.bias"] = shape[:1]
    if not config.get("tie_word_embeddings", text.get("tie_word_embeddings", False)):
        found["lm_head.weight"] = (text["vocab_size"], text["hidden_size"])
    return found


def spelled(name, names):
    """A published name as other files spell it: without the leading "model.", or in the older form."""
    if names == "bare":
        return name.removeprefix("model.")
    if names == "old":  # "visual.x" and "model.layers.x"
        return name.removeprefix("model.") if name.startswith("model.visual.") else \
            name.replace("model.language_model.", "model.")
    return name


ENCODERS = {
    "bf16": ("BF16", 2, lambda v: (v.view(np.uint32) >> np.uint32(16)).astype("<u2")),
    "f16": ("F16", 2, lambda v: v.astype("<f2")),
    "f32": ("F32", 4, lambda v: v.astype("<f4")),
    "f32-of-f16": ("F32", 4, lambda v: v.astype("<f2").astype("<f4")),
}


def write_file(path, items, seed, dtype, names):
    """items: [(published name, shape)]."""
    code, size, encode = ENCODERS[dtype]
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in items:
        end = at + size * int(np.prod(shape, dtype=np.int64))
        header[spelled(name, names)] = {"dtype": code, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name, shape in items:
            total = int(np.prod(shape, dtype=np.int64))
            for first in range(0, total, PIECE):
                out.write(encode(elements(name, shape, seed, first, min(PIECE, total - first))).tobytes())
    return at


def write(folder, seed=0, dtype="bf16", shards=1, names="published"):
    """Weights of folder/config.json as model.safetensors, or as shards with an index."""
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        items = list(tensors(json.load(f)).items())
    if shards == 1:
        write_file(os.path.join(folder, "model.safetensors"), items, seed, dtype, names)
        return
    total, where = 0, {}
    for i in range(shards):
        own = items[i::shards]
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        total += write_file(os.path.join(folder, file), own, seed, dtype, names)
        where.update({spelled(name, names): file for name, _ in own})
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}, f, indent=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=ENCODERS, default="bf16")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--names", choices=("published", "bare", "old"), default="published")
    arguments = parser.parse_args()
    write(arguments.folder, arguments.seed, arguments.dtype, arguments.shards, arguments.names)
