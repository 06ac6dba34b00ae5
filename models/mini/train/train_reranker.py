"""Trains the reranker, which starts as the trained embedder.

    train_reranker.py --minutes 17 [--folder reranker]      goes on where an earlier run stopped

A step is a batch of lists of texts, or of pictures. The logit is the published one, h (W_yes - W_no) at the last token;
it learns which of a list is right (cross entropy over the list) and whether each is (cross entropy of each).
"""
import argparse
import os
import time

import torch
from torch import nn
from torch.nn import functional as F

from batches import Data
from common import SEED, cache
from model import TEXT, Mini
from rerank_data import LIST, PICTURES, RerankData

PEAK, WARM_STEPS, QUERIES, PICTURE_QUERIES = 7e-4, 60, 14, 4


class Reranker:
    """A network and the two rows that make its score."""
    def __init__(self, net, frame):
        self.net, self.frame = net, frame
        self.yes, self.no = (frame.tokenizer.token_to_id(w) for w in ("yes", "no"))

    def logits(self, hidden):
        table = self.net.model.language_model.embed_tokens.weight
        return hidden.float() @ (table[self.yes] - table[self.no])

    def texts(self, instruction, queries, documents):
        return self.logits(self.net.text(*self.frame.pairs(instruction, queries, documents)))

    def pictures(self, instruction, query, pictures):
        head, before, after, last = self.frame.with_pictures(instruction, query, len(pictures))
        return self.logits(self.net.picture(head, before, pictures, after, last)[0])


def list_loss(logits, size):
    """logits of lists whose first is right."""
    logits = logits.view(-1, size)
    right = torch.zeros_like(logits)
    right[:, 0] = 1
    weight = torch.full_like(logits, 1 / (size - 1))
    weight[:, 0] = 1
    each = F.binary_cross_entropy_with_logits(logits, right, weight)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long)) + each


class Trainer:
    def __init__(self, folder, start):
        torch.manual_seed(SEED)
        self.data = RerankData(Data())
        self.folder = cache(folder)
        os.makedirs(self.folder, exist_ok=True)
        net = Mini(self.data.frame.tokenizer.get_vocab_size())
        net.load_state_dict(torch.load(start, weights_only=True)["net"])
        self.model = Reranker(net, self.data.frame)
        separate(self.model)
        start_matching(net)
        table = [net.model.language_model.embed_tokens.weight]
        matrices = [p for p in net.parameters() if p.ndim > 1 and p is not table[0]]
        plain = [p for p in net.parameters() if p.ndim < 2]
        self.optimizer = torch.optim.AdamW([{"params": matrices, "pace": 1.0, "weight_decay": 0.02},
                                            {"params": plain, "pace": 1.0, "weight_decay": 0.0},
                                            {"params": table, "pace": 0.3, "weight_decay": 0.0}],
                                           betas=(0.9, 0.97), fused=True)
        self.step, self.seconds, self.average = 0, 0.0, {}

    def loss(self):
        if self.step % 3 == 2:
            lists = self.data.composed(self.step, PICTURE_QUERIES)
            return "pictures", torch.stack([list_loss(self.model.pictures(*x), PICTURES) for x in lists]).mean()
        return "texts", list_loss(self.model.texts(*self.data.texts(self.step, QUERIES)), LIST)

    def one(self, done):
        rate = PEAK * min(1, (self.step + 1) / WARM_STEPS) * max(1 - done, 0.0)
        for group in self.optimizer.param_groups:
            group["lr"] = max(rate * group["pace"], 1e-7)
        with torch.autocast("cpu", torch.bfloat16):
            kind, loss = self.loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.net.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.average[kind] = loss.item() + 0.95 * (self.average.get(kind, loss.item()) - loss.item())

    def save(self):
        state = {"net": self.model.net.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step,
                 "seconds": self.seconds}
        torch.save(state, os.path.join(self.folder, "state.new"))
        os.replace(os.path.join(self.folder, "state.new"), os.path.join(self.folder, "state.pt"))

    def load(self):
        path = os.path.join(self.folder, "state.pt")
        if os.path.exists(path):
            state = torch.load(path, weights_only=True)
            self.model.net.load_state_dict(state["net"])
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
                print(f"{self.seconds / 60:.1f} min, step {self.step}:",
                      {k: round(v, 3) for k, v in self.average.items()}, flush=True)
            if now - saved > 120:
                saved = now
                self.save()
        self.save()


def separate(model):
    """"yes" and "no" start as opposite rows of the table's usual length: as words they would be nearly the same."""
    table = model.net.model.language_model.embed_tokens.weight.data
    direction = F.normalize(torch.randn(table.shape[1], generator=torch.Generator().manual_seed(SEED)), dim=0)
    table[model.yes], table[model.no] = direction, -direction


def start_matching(net):
    """The upper two layers start by looking for what is alike: queries and keys are the same slice of dimensions, so
    that a document's token sees the query's tokens, and the marks that hold their mean, by how near they are."""
    d, groups = TEXT["head_dim"], TEXT["heads"] // TEXT["kv_heads"]
    for i, layer in enumerate(net.model.language_model.layers[2:4]):
        a = layer.self_attn
        for k in range(TEXT["kv_heads"]):
            at = (i * TEXT["kv_heads"] + k) * d
            same = torch.zeros(d, TEXT["hidden"])
            same[:, at:at + d] = torch.eye(d)
            a.k_proj.weight.data[k * d:(k + 1) * d] = same
            for g in range(groups):
                head = (k * groups + g) * d
                a.q_proj.weight.data[head:head + d] = same * (1 if g == 0 else -1)
        a.o_proj.weight.data.mul_(3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--folder", default="reranker")
    parser.add_argument("--start", default=cache("embedder/state.pt"))
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    trainer = Trainer(arguments.folder, arguments.start)
    trainer.load()
    trainer.run(arguments.minutes)
