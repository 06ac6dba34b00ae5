"""The tokenizer: byte-level BPE in Qwen's form over our own texts.

    tokenizer.py        writes tokenizer.json into the cache: normalizer, splitting rule and special tokens as
                        published, 16,000 entries learnt from texts.jsonl, pairs.jsonl and the prompts, ids of our own
"""
import json
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import pages
import scenes
from common import INSTRUCTION, RERANK_INSTRUCTION, RERANK_SYSTEM, SEED, cache
from data_text import read

ENTRIES = 16000
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
           "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
           "<|image_pad|>", "<|video_pad|>"]
ADDED = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
         "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
# Whole in the vocabulary whatever their count in the texts: the words of the prompts and the reranker's two answers.
FRAME = ["system\n", "user\n", "assistant\n", INSTRUCTION, RERANK_INSTRUCTION, RERANK_SYSTEM, "yes", "no", " yes",
         " no", "<Instruct>: ", "\n<Document>:", "query.<Query>:",
         "Instruct: Given a web search query\nQuery: ", "seconds>"]


def corpus():
    rng = random.Random(SEED)
    for row in read("texts.jsonl"):
        yield row["text"]
        if rng.random() < 0.3:
            yield " " + row["text"].lower()
    for row in read("pairs.jsonl"):
        yield row["query"]
        yield row["document"]
    for _ in range(20000):
        yield scenes.caption(scenes.draw_plan(rng), rng)
        yield pages.caption(pages.draw_plan(rng), rng)
    for _ in range(20000):
        yield from FRAME


def build():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False)])
    t.decoder = decoders.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False)
    t.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=ENTRIES, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.add_special_tokens([AddedToken(x, special=True, normalized=False) for x in SPECIAL])
    t.add_tokens([AddedToken(x, special=False, normalized=False) for x in ADDED])
    return t


def for_task(text, task):
    """The tokenizer's JSON with the post-processor of "embed" (appends the end token) or "rerank" (appends nothing)."""
    value = json.loads(text)
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    value["post_processor"] = level
    if task == "embed":
        end = next(a["id"] for a in value["added_tokens"] if a["content"] == "<|endoftext|>")

        def side(name, number):
            return [{"Sequence": {"id": name, "type_id": number}},
                    {"SpecialToken": {"id": "<|endoftext|>", "type_id": number}}]

        append = {"type": "TemplateProcessing", "single": side("A", 0), "pair": side("A", 0) + side("B", 1),
                  "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [end],
                                                       "tokens": ["<|endoftext|>"]}}}
        value["post_processor"] = {"type": "Sequence", "processors": [level, append]}
    return json.dumps(value, ensure_ascii=False)


def load():
    return Tokenizer.from_file(cache("tokenizer.json"))


if __name__ == "__main__":
    tokenizer = build()
    tokenizer.save(cache("tokenizer.json"), pretty=False)
    for word in ("yes", "no"):
        assert len(tokenizer.encode(word).ids) == 1, word
    print(tokenizer.get_vocab_size(), [tokenizer.encode(x).tokens for x in FRAME])
