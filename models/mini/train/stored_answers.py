"""Stored answers for `qvec verify` and the tests: transformers in fp32 over a checkpoint's own bf16 weights.

    stored_answers.py FOLDER        writes FOLDER/expected.json and, where they are missing, FOLDER/expected/*.png

The file is a list of cases and answers as in tests/golden/data: "ids" of the whole prompt, "embedding" of unit length,
or "scores" by document. Media are named relative to FOLDER. Pictures have the sizes the model wants; a clip's frames
are enlarged by Pillow as the published rules size them.
"""
import argparse
import json
import os
import random

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch.nn import functional as F
from transformers import Qwen3VLForConditionalGeneration

import pages
import scenes
from check import reference_rows
from common import GUIDE_DOCUMENTS, GUIDE_QUERIES, INSTRUCTION, RERANK_INSTRUCTION, RERANK_SYSTEM, SEED

PICTURES = ["expected/scene.png", "expected/page.png", "expected/frame-1.png", "expected/frame-2.png"]
WEB_TASK = "Given a web search query, retrieve relevant passages that answer the query"
EMBED = [
    {"id": "official-question", "text": GUIDE_QUERIES[0]},
    {"id": "official-document", "text": GUIDE_DOCUMENTS[1]},
    {"id": "official-instruction", "text": GUIDE_QUERIES[1], "instruction": WEB_TASK},
    {"id": "official-languages", "text": "Grüße, 你好, здравствуйте, नमस्ते 🌻 ½ 12345"},
    {"id": "official-nothing"},
    {"id": "raw-question", "prompt": "raw", "text": f"Instruct: {WEB_TASK}\nQuery: {GUIDE_QUERIES[0]}"},
    {"id": "raw-document", "prompt": "raw", "text": GUIDE_DOCUMENTS[0]},
    {"id": "picture-scene", "image": PICTURES[0]},
    {"id": "picture-page", "image": PICTURES[1]},
    {"id": "picture-and-text", "image": PICTURES[0], "text": "at night"},
    {"id": "clip", "video": PICTURES[2:]},
]
RERANK = [
    {"id": "capital", "query": {"text": GUIDE_QUERIES[0]}, "documents": [{"text": d} for d in GUIDE_DOCUMENTS]},
    {"id": "instruction", "query": {"text": GUIDE_QUERIES[1]}, "documents": [{"text": d} for d in GUIDE_DOCUMENTS],
     "instruction": "Given a query, retrieve passages that are relevant to the query."},
    {"id": "pictures", "query": {"text": "a picture of two stars"}, "documents": [{"image": p} for p in PICTURES[:2]]},
    {"id": "picture-query", "query": {"image": PICTURES[1]}, "documents": [{"text": "a sign"}, {"text": "four stars"}]},
]


def draw(folder):
    os.makedirs(os.path.join(folder, "expected"), exist_ok=True)
    rng = random.Random(f"{SEED} stored answers")
    scene, _, _ = scenes.render(scenes.draw(rng, True), rng)
    page, _ = pages.render(pages.draw(rng, True), rng)
    frames, _, _ = scenes.clip(rng)
    small = [np.asarray(Image.fromarray(f).resize((scenes.SIZE, scenes.SIZE), Image.Resampling.BOX)) for f in frames]
    for name, array in zip(PICTURES, (scene, page, *small)):
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            Image.fromarray(array).save(path, optimize=True)


class Reference:
    def __init__(self, folder):
        self.folder = folder
        self.model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))

    def content(self, item, media):
        """The text of a side, its pads written out; its pixels are added to `media`."""
        out = ""
        for name in [item["image"]] if "image" in item else []:
            picture = np.asarray(Image.open(os.path.join(self.folder, name)).convert("RGB"))[None]
            out += self.vision(picture, "<|image_pad|>", "image_grid_thw", "pixel_values", media)
        if "video" in item:
            frames = [Image.open(os.path.join(self.folder, n)).convert("RGB") for n in item["video"]]
            size = scenes.CLIP_SIZE[::-1]
            frames = np.stack([np.asarray(f.resize(size, Image.Resampling.BICUBIC)) for f in frames])
            shown = self.vision(frames, "<|video_pad|>", "video_grid_thw", "pixel_values_videos", media)
            out = "<0.2 seconds>" + shown + out
        return out + item.get("text", "") if out or "text" in item else "NULL"

    def vision(self, frames, pad, grid, pixels, media):
        h, w = frames.shape[1:3]
        media[grid] = torch.tensor([[1, h // 16, w // 16]])
        media[pixels] = reference_rows(torch.from_numpy(frames)[None])
        return "<|vision_start|>" + pad * (h * w // 1024) + "<|vision_end|>"

    def hidden(self, prompt, media):
        ids = self.tokenizer.encode(prompt).ids
        out = self.model.model(input_ids=torch.tensor([ids]), **media).last_hidden_state[0, -1]
        return ids, out

    def embed(self, case):
        media = {}
        if case.get("prompt") == "raw":
            prompt = case["text"]
        else:
            instruction = case.get("instruction", INSTRUCTION)
            instruction += "" if instruction.endswith(".") else "."
            prompt = (f"<|im_start|>system\n{instruction}<|im_end|>\n<|im_start|>user\n{self.content(case, media)}"
                      "<|im_end|>\n<|im_start|>assistant\n")
        ids, out = self.hidden(prompt, media)
        return {"ids": ids, "embedding": [float(f"{v:.9g}") for v in F.normalize(out, dim=-1).tolist()]}

    def rerank(self, case):
        table = self.model.get_input_embeddings().weight
        yes, no = (self.tokenizer.token_to_id(w) for w in ("yes", "no"))
        answer = {"ids": [], "scores": []}
        for document in case["documents"]:
            media = {}
            prompt = (f"<|im_start|>system\n{RERANK_SYSTEM}<|im_end|>\n<|im_start|>user\n<Instruct>: "
                      f"{case.get('instruction', RERANK_INSTRUCTION)}<Query>:{self.content(case['query'], media)}\n"
                      f"<Document>:{self.content(document, media)}<|im_end|>\n<|im_start|>assistant\n")
            ids, out = self.hidden(prompt, media)
            answer["ids"].append(ids)
            answer["scores"].append(float(f"{torch.sigmoid(out @ (table[yes] - table[no])).item():.9g}"))
        return answer


@torch.inference_mode()
def main(folder):
    draw(folder)
    reference = Reference(folder)
    rerank = os.path.exists(os.path.join(folder, "1_LogitScore"))
    answers = []
    for case in RERANK if rerank else EMBED:
        answer = reference.rerank(case) if rerank else reference.embed(case)
        answers.append({**case, "task": "rerank" if rerank else "embed", **answer})
    with open(os.path.join(folder, "expected.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(a, ensure_ascii=False) for a in answers) + "\n]\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    main(parser.parse_args().folder)
