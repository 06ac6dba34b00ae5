"""Holds model.py to transformers' Qwen3VLModel: text, a picture, a picture with text and a two-frame clip.

    check.py FOLDER         a checkpoint folder of export.py; prints the smallest cosine and fails below 0.999999
"""
import sys

import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import Qwen3VLForConditionalGeneration

import batches
from common import INSTRUCTION
from model import Mini, PATCH


def reference_rows(pictures):
    """uint8 [1, frames, h, w, 3] -> rows [N, 1536] as the published processor makes them."""
    x = pictures[0].expand(2, -1, -1, -1) if pictures.shape[1] == 1 else pictures[0]
    t, h, w, _ = x.shape
    x = x.reshape(2, h // 32, 2, PATCH, w // 32, 2, PATCH, 3).permute(1, 4, 2, 5, 7, 0, 3, 6)
    return x.reshape(h * w // 256, -1).float() / 127.5 - 1


def main(folder):
    frame = batches.Frame()
    state = {k: v.float() for k, v in load_file(folder + "/model.safetensors").items()}
    ours = Mini(frame.tokenizer.get_vocab_size()).eval()
    ours.load_state_dict(state)
    theirs = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    generator, worst = torch.Generator().manual_seed(1), 1.0
    head = frame.head(INSTRUCTION)

    def compare(name, a, ids, **media):
        nonlocal worst
        b = theirs.model(input_ids=torch.tensor([ids]), **media).last_hidden_state[0, -1]
        cosine = F.cosine_similarity(a.double(), b.double(), dim=-1).item()
        worst = min(worst, cosine)
        print(f"{name}: cosine {cosine:.9f}")

    with torch.inference_mode():
        texts = ["a small red house", "two cats left of a blue star at night"]
        for form in batches.FORMS:
            ids, last = frame.texts(texts, form)
            out = ours.text(head if form == "official" else None, ids, last)
            for i in range(2):
                whole = (head.tolist() if form == "official" else []) + ids[i, :last[i] + 1].tolist()
                compare(f"{form} text {i}", out[i], whole)
        whole = (f"<|im_start|>system\n{INSTRUCTION}<|im_end|>\n<|im_start|>user\n{texts[0]}<|im_end|>\n"
                 "<|im_start|>assistant\n")
        assert frame.tokenizer.encode(whole + "<|endoftext|>", add_special_tokens=False).ids == \
            head.tolist() + frame.texts(texts[:1], "official")[0][0].tolist()
        for name, frames, size, text in (("picture", 1, (96, 128), ""), ("picture and text", 1, (128, 96), "a dog"),
                                         ("clip", 2, (160, 96), "")):
            pictures = torch.randint(0, 256, (1, frames, *size, 3), generator=generator, dtype=torch.uint8)
            before = torch.tensor((frame.encode("<0.2 seconds>") if frames == 2 else []) + [frame.vision_start])
            after, last = frame.padded([[frame.vision_end] + frame.encode(text) + frame.tail])
            a, _ = ours.picture(head, before, pictures, after, last)
            pad = frame.tokenizer.token_to_id("<|video_pad|>" if frames == 2 else "<|image_pad|>")
            ids = [*head.tolist(), *before.tolist(), *[pad] * (size[0] * size[1] // 1024), *after[0].tolist()]
            grid = torch.tensor([[1, size[0] // PATCH, size[1] // PATCH]])
            rows = reference_rows(pictures)
            media = {"pixel_values": rows, "image_grid_thw": grid} if frames == 1 else \
                {"pixel_values_videos": rows, "video_grid_thw": grid}
            compare(name, a[0], ids, **media)
    print("smallest", worst)
    return 0 if worst > 0.999999 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
