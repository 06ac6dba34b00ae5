"""Checkpoints of dummy weights with planted outliers: channels that enter matrices 128 times as large as their neighbours,
as trained checkpoints have them.

    balanced  the matrix that reads such a channel has its column 128 times smaller. Powers of two, so the network computes
              what it computed before, to the last bit but for the rounding of sums, and the stored answers still hold.
    bare      the columns stay as they were: another network, in which these channels rule.
"""
import json
import os
import shutil
import struct

import numpy as np

import dummy_weights

FACTOR = np.float32(128)
CHANNELS = (3, 40, 41, 130)  # of every layer's inputs, at most its width


def channels(width):
    return [c for c in CHANNELS if c < width]


def plant_pair(weights, producer, readers, balanced, rows_of=lambda c: [c], columns_of=lambda c: [c]):
    width = weights[readers[0]].shape[-1]
    for channel in channels(weights[producer].shape[0]):
        weights[producer][rows_of(channel)] *= FACTOR
        for reader in readers if balanced else []:
            columns = [c for c in columns_of(channel) if c < width]
            weights[reader][:, columns] /= FACTOR


def plant(weights, config, balanced):
    text = config["text_config"]
    head, shared = text["head_dim"], text["num_attention_heads"] // text["num_key_value_heads"]
    for i in range(text["num_hidden_layers"]):
        own = f"model.language_model.layers.{i}."
        attention, mlp = own + "self_attn.", own + "mlp."
        plant_pair(weights, own + "input_layernorm.weight",
                   [f"{attention}{x}_proj.weight" for x in "qkv"], balanced)
        plant_pair(weights, own + "post_attention_layernorm.weight",
                   [mlp + "gate_proj.weight", mlp + "up_proj.weight"], balanced)
        if balanced:  # a bare one would grow from layer to layer
            plant_pair(weights, mlp + "up_proj.weight", [mlp + "down_proj.weight"], balanced)
            plant_pair(weights, attention + "v_proj.weight", [attention + "o_proj.weight"], balanced,
                       columns_of=lambda c: [(c // head * shared + j) * head + c % head for j in range(shared)])
    for i in range(config["vision_config"]["depth"]):
        own = f"model.visual.blocks.{i}."
        # Nothing norms this tower's queries and keys: bare, they would make a choice of one key of every softmax.
        for norm, reader in (("norm1", "attn.qkv"), ("norm2", "mlp.linear_fc1"))[0 if balanced else 1:]:
            if balanced:
                for channel in channels(weights[own + norm + ".bias"].shape[0]):
                    weights[own + norm + ".bias"][channel] *= FACTOR
            plant_pair(weights, own + norm + ".weight", [f"{own}{reader}.weight"], balanced)


def bf16(values):
    return (dummy_weights.round_to_bf16(values.astype(np.float32)).view(np.uint32) >> np.uint32(16)).astype("<u2")


def write(source, folder, balanced, seed=0):
    """A copy of the checkpoint folder `source` with weights of `seed`, outliers planted."""
    shutil.copytree(source, folder)
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    shapes = dummy_weights.tensors(config)
    weights = {name: dummy_weights.elements(name, shape, seed).reshape(shape) for name, shape in shapes.items()}
    plant(weights, config, balanced)
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64)
    with open(os.path.join(folder, "model.safetensors"), "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name in shapes:
            out.write(bf16(weights[name]).tobytes())
