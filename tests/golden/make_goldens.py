"""Makes reference answers with transformers, so that the stored ones can be made again and new ones added.

    python make_goldens.py SHAPE CASES.json OUT.json [--seed 0] [--trace ID ...] [--only ID ...]
    python make_goldens.py SHAPE CASES.json --check STORED.json [--seed 0]

SHAPE is a folder of data/configs. Install requirements-oracle.txt first: the versions matter, newer transformers
prepare video differently. The prompts are written out here from docs/MODEL.md rather than through a chat template,
and the picture and video arithmetic is qwen_vl_utils': what is compared is two readings of one definition.
data/README.md says what an answer holds. A rerank case may also have "max_length".
"""
import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import unicodedata

import numpy as np
import torch
from qwen_vl_utils import process_vision_info
from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

import dummy_weights
import make_checkpoints

ASSETS = os.path.join(make_checkpoints.DATA, "assets")
TOKENS = 1024  # pixels of one merged token: (16 * 2)^2
EMBED_INSTRUCTION = "Represent the user's input."
RERANK_INSTRUCTION = "Given a search query, retrieve relevant candidates that answer the query."
RERANK_SYSTEM = ("Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
                 'Note that the answer can only be "yes" or "no".')
EMBED_LENGTH, RERANK_LENGTH, RERANK_TAIL = 8192, 10240, 5


def turns(system, user):
    return (f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n"
            "<|im_start|>assistant\n")


def listed(value):
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def asset(name):
    return "file://" + os.path.join(ASSETS, name)


class Content:
    """One side of a prompt: its text with a pad token for every visual, and the visuals in order."""

    def __init__(self, fields):
        self.visuals = [self.video(v, fields) for v in self.videos(fields.get("video"))]
        self.visuals += [{"type": "image", "image": asset(name),
                          "min_pixels": fields.get("min_pixels", 4 * TOKENS),
                          "max_pixels": fields.get("max_pixels", 1800 * TOKENS)} for name in listed(fields.get("image"))]
        self.texts = listed(fields.get("text"))

    @staticmethod
    def videos(value):
        """A name is a clip; a list of names is one clip given by its frames; a list with lists is several."""
        if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
            return [value]
        return listed(value)

    @staticmethod
    def video(value, fields):
        most = fields.get("max_frames", 64)
        if isinstance(value, str):
            return {"type": "video", "video": asset(value), "fps": fields.get("fps", 1), "max_frames": most}
        if len(value) > most:
            value = [value[i] for i in np.linspace(0, len(value) - 1, most).astype(int)]
        return {"type": "video", "video": [asset(v) for v in value], "total_pixels": 7680 * TOKENS}

    def text(self):
        pads = [f"<|vision_start|><|{v['type']}_pad|><|vision_end|>" for v in self.visuals]
        return "".join(pads + self.texts) if pads or self.texts else "NULL"


class Reference:
    def __init__(self, folder):
        self.model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = AutoProcessor.from_pretrained(folder)

    def inputs(self, prompt, visuals, **options):
        """The processor's tensors, and what each frame looks like after resizing."""
        conversation = [{"role": "user", "content": visuals}]
        images, videos, extra = process_vision_info(conversation, image_patch_size=16, return_video_kwargs=True,
                                                    return_video_metadata=True)
        clips, facts = (list(x) for x in zip(*videos)) if videos else (None, None)
        frames = [np.moveaxis(clip.numpy(), 1, 3).astype(np.uint8) for clip in clips or []]
        frames = [f for clip in frames for f in clip] + [np.asarray(image) for image in images or []]
        tensors = self.processor(text=[prompt], images=images, videos=clips, video_metadata=facts, do_resize=False,
                                 return_tensors="pt", **options, **extra)
        seen = [[f.shape[0], f.shape[1], hashlib.sha256(np.ascontiguousarray(f).tobytes()).hexdigest()] for f in frames]
        return tensors, seen

    def last_state(self, tensors):
        with torch.no_grad():
            return self.model.model(**tensors).last_hidden_state[0, -1]

    def embed_inputs(self, case):
        if case.get("prompt", "official") == "raw":
            cut = {"truncation": True, "max_length": case["max_length"]} if "max_length" in case else {}
            return self.processor.tokenizer(case["text"], return_tensors="pt", **cut), []
        instruction = (case.get("instruction") or "").strip() or EMBED_INSTRUCTION
        if not unicodedata.category(instruction[-1]).startswith("P"):
            instruction += "."
        content = Content(case)
        return self.inputs(turns(instruction, content.text()), content.visuals, truncation=True,
                           max_length=case.get("max_length", EMBED_LENGTH))

    def embed(self, case):
        tensors, frames = self.embed_inputs(case)
        vector = self.last_state(tensors)
        vector = vector / vector.norm().clamp_min(1e-12)
        return {"ids": tensors["input_ids"][0].tolist(), "frames": frames, "embedding": rounded(vector.tolist(), 9)}

    def rerank(self, case):
        answer = {"ids": [], "frames": [], "scores": []}
        ids = self.processor.tokenizer.get_vocab()
        head = self.model.lm_head.weight.detach()
        direction = head[ids["yes"]] - head[ids["no"]]
        query = Content(case["query"])
        for document in map(Content, case["documents"]):
            user = (f"<Instruct>: {case.get('instruction') or RERANK_INSTRUCTION}<Query>:{query.text()}"
                    f"\n<Document>:{document.text()}")
            tensors, frames = self.inputs(turns(RERANK_SYSTEM, user), query.visuals + document.visuals)
            self.cut_pair(tensors, case.get("max_length", RERANK_LENGTH))
            logit = self.last_state(tensors) @ direction
            answer["ids"].append(tensors["input_ids"][0].tolist())
            answer["frames"].append(frames)
            answer["scores"] += rounded([torch.sigmoid(logit).item()], 9)
        return answer

    def cut_pair(self, tensors, most):
        """The reranker's cut: the last five ids stand aside; of the others all special ones and the first of the
        rest stay, `most` together."""
        ids = tensors["input_ids"][0].tolist()
        body, tail = ids[:-RERANK_TAIL], ids[-RERANK_TAIL:]
        if len(body) > most:
            special = set(self.processor.tokenizer.all_special_ids)
            room = most - sum(i in special for i in body)
            kept = []
            for i in body:
                if i in special:
                    kept.append(i)
                elif room > 0:
                    kept.append(i)
                    room -= 1
            tensors["input_ids"] = torch.tensor([kept + tail])
            tensors["attention_mask"] = torch.ones_like(tensors["input_ids"])

    def trace(self, case):
        """Shape, mean size, first and last row's first values of every stage of one embedding."""
        stages, hooks = [], []

        def watch(name, module):
            def record(_module, _inputs, output):
                rows = (output[0] if isinstance(output, tuple) else output).flatten(0, -2)
                stages.append({"stage": name, "shape": list(rows.shape),
                               "mean_abs": rounded([rows.abs().mean().item()], 7)[0],
                               "first": rounded(rows[0, :4].tolist(), 7), "last": rounded(rows[-1, :4].tolist(), 7)})
            hooks.append(module.register_forward_hook(record))

        tower, decoder = self.model.model.visual, self.model.model.language_model
        watch("vision.patch_embed", tower.patch_embed)
        for name, modules in (("vision.block", tower.blocks), ("vision.deepstack", tower.deepstack_merger_list),
                              ("decoder.layer", decoder.layers)):
            for i, module in enumerate(modules):
                watch(f"{name}.{i}", module)
        watch("vision.merger", tower.merger)
        watch("decoder.norm", decoder.norm)
        self.embed(case)
        for hook in hooks:
            hook.remove()
        return stages


def rounded(values, digits):
    return [float(f"{v:.{digits}g}") for v in values]


def answers(shape, seed, cases, traced):
    kind = "reranker" if cases[0]["task"] == "rerank" else "embedding"
    folder = tempfile.mkdtemp(prefix=f"qvec-{shape}-")
    try:
        make_checkpoints.make(folder, shape, kind)
        dummy_weights.write(folder, seed)
        reference = Reference(folder)
        for case in cases:
            answer = reference.rerank(case) if case["task"] == "rerank" else reference.embed(case)
            if case["id"] in traced:
                answer["trace"] = reference.trace(case)
            yield {**case, **answer}
    finally:
        shutil.rmtree(folder)


def compare(made, stored):
    """Largest difference of the numbers of two answers; ids and frames have to be equal."""
    for field in ("ids", "frames"):
        if made[field] != stored[field]:
            raise SystemExit(f"{made['id']}: {field} differ")
    field = "scores" if "scores" in made else "embedding"
    return float(np.abs(np.array(made[field]) - np.array(stored[field])).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape")
    parser.add_argument("cases")
    parser.add_argument("out", nargs="?")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trace", nargs="*", default=[])
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--check", help="compare with this file instead of writing one")
    arguments = parser.parse_args()
    with open(arguments.cases, encoding="utf-8") as f:
        cases = [c for c in json.load(f) if not arguments.only or c["id"] in arguments.only]
    made = list(answers(arguments.shape, arguments.seed, cases, arguments.trace))
    if arguments.check:
        with open(arguments.check, encoding="utf-8") as f:
            stored = {c["id"]: c for c in json.load(f)}
        worst = max((compare(answer, stored[answer["id"]]), answer["id"]) for answer in made)
        print(f"{len(made)} cases, largest difference {worst[0]:.3g} ({worst[1]})")
        sys.exit(worst[0] > 1e-6)
    if not arguments.out:
        parser.error("OUT.json or --check is needed")
    with open(arguments.out, "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(a, ensure_ascii=False) for a in made) + "\n]\n")


if __name__ == "__main__":
    main()
