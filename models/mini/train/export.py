"""Writes a checkpoint folder in the published format: config, tokenizer, processor settings, weights in bf16.

    export.py STATE FOLDER --task embed|rerank      STATE: a state.pt of train.py or train_reranker.py
"""
import argparse
import json
import os

import torch
from safetensors.torch import save_file

import tokenizer
from common import cache
from model import PATCH, TEXT, VISION


def config(ids):
    rope = {"rope_type": "default", "mrope_interleaved": True, "mrope_section": list(TEXT["section"])}
    text = {"model_type": "qwen3_vl_text", "dtype": "bfloat16", "hidden_size": TEXT["hidden"],
            "intermediate_size": TEXT["intermediate"], "num_hidden_layers": TEXT["layers"],
            "num_attention_heads": TEXT["heads"], "num_key_value_heads": TEXT["kv_heads"], "head_dim": TEXT["head_dim"],
            "vocab_size": ids["size"], "rms_norm_eps": TEXT["eps"], "hidden_act": "silu", "attention_bias": False,
            "attention_dropout": 0.0, "max_position_embeddings": 32768, "rope_theta": TEXT["theta"],
            "rope_scaling": rope, "bos_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"],
            "tie_word_embeddings": True, "initializer_range": 0.02, "use_cache": True}
    vision = {"model_type": "qwen3_vl", "depth": VISION["depth"], "hidden_size": VISION["hidden"],
              "intermediate_size": VISION["intermediate"], "num_heads": VISION["heads"],
              "out_hidden_size": TEXT["hidden"], "deepstack_visual_indexes": list(VISION["deepstack"]),
              "patch_size": PATCH, "temporal_patch_size": 2, "spatial_merge_size": 2, "in_channels": 3,
              "num_position_embeddings": VISION["side"] ** 2, "hidden_act": "gelu_pytorch_tanh",
              "initializer_range": 0.02}
    return {"architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", "dtype": "bfloat16",
            "tie_word_embeddings": True, "image_token_id": ids["<|image_pad|>"], "video_token_id": ids["<|video_pad|>"],
            "vision_start_token_id": ids["<|vision_start|>"], "vision_end_token_id": ids["<|vision_end|>"],
            "text_config": text, "vision_config": vision}


# The picture limits of the published checkpoints; the template is the published recipe in short.
PICTURES = {"image_processor_type": "Qwen2VLImageProcessorFast", "processor_class": "Qwen3VLProcessor",
            "size": {"shortest_edge": 4096, "longest_edge": 1310720}, "patch_size": PATCH, "temporal_patch_size": 2,
            "merge_size": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3,
            "do_resize": True, "do_rescale": True, "do_normalize": True, "do_convert_rgb": True}
VIDEOS = {"video_processor_type": "Qwen3VLVideoProcessor", "processor_class": "Qwen3VLProcessor",
          "size": {"shortest_edge": 4096, "longest_edge": 25165824}, "patch_size": PATCH, "temporal_patch_size": 2,
          "merge_size": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3, "fps": 2,
          "min_frames": 4, "max_frames": 768}
TOKENIZER = {"tokenizer_class": "Qwen2Tokenizer", "add_bos_token": False, "add_prefix_space": False, "bos_token": None,
             "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None,
             "clean_up_tokenization_spaces": False, "errors": "replace", "model_max_length": 32768,
             "split_special_tokens": False, "additional_special_tokens": tokenizer.SPECIAL[1:]}
TEMPLATE = """{%- for message in messages -%}{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.content is string -%}{{- message.content -}}{%- else -%}{%- for part in message.content -%}
{%- if part.type == 'image' -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif part.type == 'video' -%}{{- '<|vision_start|><|video_pad|><|vision_end|>' -}}
{%- elif 'text' in part -%}{{- part.text -}}{%- endif -%}{%- endfor -%}{%- endif -%}{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
MODULES = {"embed": [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")],
           "rerank": [("", "Transformer"), ("1_LogitScore", "LogitScore")]}


def module_files(task, ids):
    """{name: value} of sentence-transformers' files."""
    kinds = "sentence_transformers.models." if task == "embed" else "sentence_transformers.cross_encoder.modules."
    out = {"modules.json": [{"idx": i, "name": str(i), "path": path,
                             "type": ("sentence_transformers.models." if not path else kinds) + kind}
                            for i, (path, kind) in enumerate(MODULES[task])]}
    if task == "embed":
        out["1_Pooling/config.json"] = {"word_embedding_dimension": TEXT["hidden"], "pooling_mode_lasttoken": True,
                                        "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False,
                                        "include_prompt": True}
    else:
        out["1_LogitScore/config.json"] = {"true_token_id": ids["yes"], "false_token_id": ids["no"]}
    return out


def write(state, folder, task):
    os.makedirs(folder, exist_ok=True)
    with open(cache("tokenizer.json"), encoding="utf-8") as f:
        text = tokenizer.for_task(f.read(), task)
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
        f.write(text)
    ids = tokenizer.load().get_vocab()
    ids["size"] = len(ids)
    files = {"config.json": config(ids), "preprocessor_config.json": PICTURES, "video_preprocessor_config.json": VIDEOS,
             "tokenizer_config.json": TOKENIZER, **module_files(task, ids)}
    for name, value in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(json.dumps(value, indent=1) + "\n")
    with open(os.path.join(folder, "chat_template.jinja"), "w", encoding="utf-8") as f:
        f.write(TEMPLATE)
    tensors = {name: t.to(torch.bfloat16).contiguous() for name, t in state.items()}
    path = os.path.join(folder, "model.safetensors")
    save_file(tensors, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state")
    parser.add_argument("folder")
    parser.add_argument("--task", choices=("embed", "rerank"), required=True)
    a = parser.parse_args()
    write(torch.load(a.state, weights_only=True)["net"], a.folder, a.task)
