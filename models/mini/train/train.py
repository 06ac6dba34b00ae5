"""Trains the embedder.

    train.py --minutes 70 [--folder embedder]       goes on where an earlier run stopped

Every step is one batch of one kind. Texts learn the teacher's vectors; questions and answers, captions and pictures
learn each other (contrast within the batch); drawings also learn the teacher's vector of their name. Pictures are
besides taught what lies in each cell by throw-away heads, which is what makes them learn in minutes; other heads,
shared by pictures and captions, ask both for the same facts.
"""
import argparse
import json
import os
import random
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import pages
import scenes
from batches import FORMS, INSTRUCTIONS, PAGE_LABELS, SCENE_LABELS, Data
from common import SEED, cache
from model import PATCH, TEXT, Mini, patches
from tokenizer import ADDED, SPECIAL

SHORTENED = (256, 128, 64)
SIZES = {"text": 128, "pair": 64, "drawn": 48, "scenes": 32, "pages": 32, "clips": 4, "look": 16, "glance": 32}
PEAK, WARM_STEPS, LOOKING = 1.2e-3, 80, 0.55
# What starts with knowledge moves slower; a patch's 768 values move together, so their weights do as well.
PACES = {"patch_embed": 0.3, "visual": 1.4, "embed_tokens": 0.25, "language_model": 0.6}

# Shares of the steps.
EARLY = {"look": 0.62, "glance": 0.18, "pair": 0.06, "text": 0.03, "drawn": 0.03, "scenes": 0.04, "pages": 0.04}
LATE = {"look": 0.03, "glance": 0.08, "text": 0.12, "pair": 0.08, "drawn": 0.29, "scenes": 0.16, "pages": 0.24}


class Heads(nn.Module):
    """What only training needs."""
    def __init__(self):
        super().__init__()
        h = TEXT["hidden"]
        self.what = nn.Linear(h, 1 + len(scenes.SUBJECTS))
        self.paint = nn.Linear(h, 1 + len(scenes.PAINTS))
        self.word = nn.Linear(h, 1 + len(pages.WORDS))
        self.scene, self.page = nn.Linear(h, SCENE_LABELS), nn.Linear(h, PAGE_LABELS)
        for layer in (self.scene, self.page):
            nn.init.constant_(layer.bias, -4)
        self.sharpness = nn.Parameter(torch.tensor([3.0, 3.0, 3.0]))  # log of 1/temperature: texts, drawings, composed


def shorten(x, size):
    return F.normalize(x[:, :size], dim=-1)


def contrast(a, b, sharpness, groups=None):
    """Each row of a finds its own of b and back, in full and shortened. Rows of one group are no negatives."""
    total, n = 0, len(a)
    same = None
    if groups is not None:
        ids = {g: i for i, g in enumerate(dict.fromkeys(groups))}
        number = torch.tensor([ids[g] for g in groups])
        same = (number[:, None] == number[None]) & ~torch.eye(n, dtype=torch.bool)
    for size in (256, 64):
        logits = shorten(a, size) @ shorten(b, size).T * sharpness.clamp(max=4.4).exp()
        if same is not None:
            logits = logits.masked_fill(same, -1e4)
        at = torch.arange(n)
        total = total + (F.cross_entropy(logits, at) + F.cross_entropy(logits.T, at)) * (0.5 if size == 256 else 0.2)
    return total


def distance(x, target):
    return sum((1 - (shorten(x, s) * shorten(target, s)).sum(-1)).mean() for s in SHORTENED)


def facts(head, x, held):
    """The statements that hold, asked of unit vectors."""
    loss = F.binary_cross_entropy_with_logits(head(F.normalize(x, dim=-1) * 16), held, reduction="sum")
    return loss / held.sum() * 0.3


def resized(pictures, side):
    """uint8 [B, 1, h, w, 3] at another size."""
    x = pictures[:, 0].permute(0, 3, 1, 2).float()
    x = F.interpolate(x, (side, side), mode="bicubic", antialias=True)
    return x.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)[:, None]


def named(head, cells, labels):
    """Cross entropy of what lies in each cell; an empty one (0) counts less."""
    logits, labels = head(cells).flatten(0, 1), labels.flatten()
    weight = torch.ones(logits.shape[1])
    weight[0] = 0.2
    return F.cross_entropy(logits, labels, weight)


class Trainer:
    def __init__(self, folder):
        torch.manual_seed(SEED)
        self.data, self.folder = Data(), cache(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.net = Mini(self.data.frame.tokenizer.get_vocab_size())
        self.heads = Heads()
        scale_branches(self.net)
        start_from_rows(self.net, self.data.frame)
        start_heads(self.heads, self.net, self.data.frame)
        # The mean of a patch is most of its length and says least: its share of the gradient would drown the rest.
        self.net.model.visual.patch_embed.proj.weight.register_hook(lambda g: g - 0.9 * g.mean((3, 4), keepdim=True))
        groups = {}
        for name, p in list(self.net.named_parameters()) + list(self.heads.named_parameters()):
            pace = next((PACES[part] for part in PACES if part in name), 1.0)
            groups.setdefault((pace, 0.05 if p.ndim > 1 and "embed" not in name else 0.0), []).append(p)
        self.optimizer = torch.optim.AdamW([{"params": g, "pace": pace, "weight_decay": decay}
                                            for (pace, decay), g in groups.items()], betas=(0.9, 0.97), fused=True)
        self.step, self.seconds, self.averages = 0, 0.0, {}

    def parameters(self):
        return list(self.net.parameters()) + list(self.heads.parameters())

    # ---- forward passes ----

    def texts(self, texts, rng, form=None):
        form = form or rng.choice(FORMS)
        head = self.data.frame.head(rng.choice(INSTRUCTIONS)) if form == "official" else None
        return self.net.text(head, *self.data.frame.texts(texts, form)).float()

    def pictures(self, pictures, rng, beside=None, video=False):
        f = self.data.frame
        before = (f.encode("<0.2 seconds>") if video else []) + [f.vision_start]
        beside = [[]] * len(pictures) if beside is None else [e.ids for e in f.tokenizer.encode_batch(
            beside, add_special_tokens=False)]
        after, last = f.padded([[f.vision_end] + b + f.tail for b in beside])
        head = f.head(rng.choice(INSTRUCTIONS))
        x, cells = self.net.picture(head, torch.tensor(before), pictures, after, last)
        return x.float(), cells.float()

    def cells(self, pictures):
        """The merger's rows alone [B, N/4, H]: the tower learns to see at half the price of a whole pass."""
        h, w = pictures.shape[2:4]
        return self.net.model.visual(patches(pictures), h // PATCH, w // PATCH, deepstack=False)[0].float()

    # ---- losses, one for each kind of batch ----

    def look(self, rng, size):
        pages_, _, _, words = self.data.pages(self.step, size)
        scenes_, _, _, cells = self.data.scenes(self.step, size)
        x = self.cells(torch.cat((pages_, scenes_)))
        return 1.5 * named(self.heads.word, x[:size], words[:, 0]) + named(self.heads.what, x[size:], cells[:, 0]) + \
            0.5 * named(self.heads.paint, x[size:], cells[:, 1])

    def glance(self, rng, size):
        pictures, _, target, groups = self.data.drawn(self.step, size)
        x = self.cells(pictures)[..., :-1].mean(1)
        x = F.pad(x, (0, 1))
        return distance(x, target) + contrast(x, target, self.heads.sharpness[1], groups)

    def text(self, rng, size):
        texts, target = self.data.text(self.step, size)
        half = size // 2
        x = torch.cat((self.texts(texts[:half], rng, "official"), self.texts(texts[half:], rng, "raw")))
        return 2 * distance(x, target) + 0.3 * contrast(x, target, self.heads.sharpness[0])

    def pair(self, rng, size):
        queries, documents, groups, wrapped = self.data.pair(self.step, size)
        q = self.texts(queries, rng, "raw" if wrapped else None)
        return contrast(q, self.texts(documents, rng, "raw" if wrapped else None), self.heads.sharpness[0], groups)

    def drawn(self, rng, size):
        pictures, captions, target, groups = self.data.drawn(self.step, size)
        if rng.random() < 0.2:  # users' pictures come in other sizes
            pictures = resized(pictures[:size // 2], rng.choice((64, 128, 160)))
            captions, target, groups = captions[:size // 2], target[:size // 2], groups[:size // 2]
        x, _ = self.pictures(pictures, rng, captions if rng.random() < 0.08 else None)
        t = self.texts(captions, rng)
        sharpness = self.heads.sharpness[1]
        loss = distance(x, target) + 0.5 * distance(t, target)
        return loss + 0.5 * contrast(x, target, sharpness, groups) + contrast(x, t, sharpness, groups)

    def scenes(self, rng, size):
        pictures, captions, held, cells = self.data.scenes(self.step, size)
        larger = rng.random() < 0.06
        if larger:
            pictures, captions, held = resized(pictures[:size // 2], 192), captions[:size // 2], held[:size // 2]
        x, tokens = self.pictures(pictures, rng)
        t = self.texts(captions, rng)
        loss = contrast(x, t, self.heads.sharpness[2])
        loss = loss + facts(self.heads.scene, x, held) + facts(self.heads.scene, t, held)
        if larger:
            return loss
        return loss + named(self.heads.what, tokens, cells[:, 0]) + 0.5 * named(self.heads.paint, tokens, cells[:, 1])

    def pages(self, rng, size):
        pictures, captions, held, cells = self.data.pages(self.step, size)
        x, tokens = self.pictures(pictures, rng)
        t = self.texts(captions, rng)
        loss = contrast(x, t, self.heads.sharpness[2])
        loss = loss + facts(self.heads.page, x, held) + facts(self.heads.page, t, held)
        return loss + 1.5 * named(self.heads.word, tokens, cells[:, 0])

    def clips(self, rng, size):
        pictures, captions = self.data.clips(self.step, size)
        x, _ = self.pictures(pictures, rng, video=True)
        return contrast(x, self.texts(captions, rng), self.heads.sharpness[2], captions)

    # ---- the loop ----

    def kind(self, rng, done):
        """Texts start good, so most steps go to pictures: to the tower alone at first, then to the whole."""
        shares = EARLY if done < LOOKING else {**LATE, "clips": 0.01 if done > 0.75 else 0}
        return rng.choices(list(shares), list(shares.values()))[0]

    def one(self, done):
        rng = random.Random(f"{SEED} step {self.step}")
        kind = self.kind(rng, done)
        rate = PEAK * min(1, (self.step + 1) / WARM_STEPS) * min(1, max(0.0, (1 - done) / 0.6)) ** 1.2
        for group in self.optimizer.param_groups:
            group["lr"] = max(rate * group["pace"], 1e-7)
        with torch.autocast("cpu", torch.bfloat16):
            loss = getattr(self, kind)(rng, SIZES[kind])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        value = loss.item()
        self.averages[kind] = value + 0.95 * (self.averages.get(kind, value) - value)

    def save(self):
        state = {"net": self.net.state_dict(), "heads": self.heads.state_dict(),
                 "optimizer": self.optimizer.state_dict(), "step": self.step, "seconds": self.seconds}
        torch.save(state, os.path.join(self.folder, "state.new"))
        os.replace(os.path.join(self.folder, "state.new"), os.path.join(self.folder, "state.pt"))

    def load(self):
        path = os.path.join(self.folder, "state.pt")
        if os.path.exists(path):
            state = torch.load(path, weights_only=True)
            self.net.load_state_dict(state["net"])
            self.heads.load_state_dict(state["heads"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]

    def run(self, minutes):
        saved = said = time.monotonic()
        while self.seconds < 60 * minutes:
            start = time.monotonic()
            self.one(self.seconds / (60 * minutes))
            now = time.monotonic()
            self.seconds += now - start
            if now - said > 30:
                said = now
                losses = {k: round(v, 3) for k, v in sorted(self.averages.items())}
                print(f"{self.seconds / 60:.1f} min, step {self.step}: {json.dumps(losses)}", flush=True)
            if now - saved > 180:
                saved = now
                self.save()
                self.data.load_shards()
        self.save()


def scale_branches(net):
    """Matrices that write into the residual stream start small."""
    for name, p in net.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight", "attn.proj.weight", "mlp.linear_fc2.weight")):
            p.data *= 0.3


STEADY = 6.0  # one coordinate, alike in every token, keeps the norms' divisor alike, so that rows keep their lengths


def start_from_rows(net, frame):
    """A start that already means something (start.py): each token's row is its share of a text's vector, and the first
    two layers look at all tokens alike and pass on a half of the dimensions each, so that the last token has their
    mean."""
    text, rows = net.model.language_model, torch.from_numpy(np.load(cache("start.npy")))
    table = text.embed_tokens.weight.data
    table.copy_(rows)
    table[[frame.tokenizer.token_to_id(t) for t in SPECIAL + ADDED]] = 0
    around = frame.head().tolist() + frame.tail
    turns = [frame.tokenizer.token_to_id(t) for t in ("<|im_start|>", "<|im_end|>")]
    # The prompt's own words cancel out: the five marks of turns weigh against their sum.
    total = sum(F.normalize(F.pad(table[i, :-1], (0, 1), value=STEADY), dim=0)[:-1] for i in around if i not in turns)
    share = total.norm() / sum(around.count(t) for t in turns)
    table[turns, :-1] = -total / total.norm() * STEADY * share / (1 - share ** 2) ** 0.5
    table[:, -1] = STEADY
    text.norm.weight.data[-1] = 0
    d, groups = TEXT["head_dim"], TEXT["heads"] // TEXT["kv_heads"]
    for i, layer in enumerate(text.layers):
        a = layer.self_attn
        a.o_proj.weight.data.mul_(0.15)
        layer.mlp.down_proj.weight.data.mul_(0.15)
        if i > 1:
            continue
        a.q_norm.weight.data.fill_(0.1)
        v, o = torch.zeros_like(a.v_proj.weight), torch.zeros_like(a.o_proj.weight)
        for k in range(TEXT["kv_heads"]):
            at = (i * TEXT["kv_heads"] + k) * d
            v[k * d:(k + 1) * d, at:at + d] = torch.eye(d)
            for g in range(groups):
                head = k * groups + g
                o[at:at + d, head * d:(head + 1) * d] = torch.eye(d) * 2 / groups
        v[:, -1] = 0
        a.v_proj.weight.data.mul_(0.05).add_(v)
        a.o_proj.weight.data.copy_(o)
    visual = net.model.visual
    visual.merger.linear_fc2.bias.data[-1] = STEADY
    for merger in visual.deepstack_merger_list:
        merger.linear_fc2.weight.data.mul_(0.1)


def start_heads(heads, net, frame):
    """What lies in a cell is asked for in the tokens' own space, so that cells come to add up like words."""
    def rows(words):
        table = net.model.language_model.embed_tokens.weight.data[:, :-1]
        ids = [frame.encode(" " + w) for w in words]
        return F.pad(F.normalize(torch.stack([table[i].mean(0) for i in ids]), dim=-1), (0, 1))

    for layer, words in ((heads.what, scenes.SUBJECTS), (heads.paint, scenes.PAINTS), (heads.word, pages.WORDS)):
        layer.weight.data[0] = 0
        layer.weight.data[1:] = rows(words)
    heads.scene.weight.data[:len(scenes.SUBJECTS)] = rows(scenes.SUBJECTS) * 0.5
    heads.page.weight.data[:len(pages.WORDS)] = rows(pages.WORDS) * 0.5


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--folder", default="embedder")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    trainer = Trainer(arguments.folder)
    trainer.load()
    trainer.run(arguments.minutes)
