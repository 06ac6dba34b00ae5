"""Lists to rerank: a query, the document that answers it, and others that look like it.

Text negatives are near ones by the teacher's vectors within a block of glossary entries; a capital's are other
countries' sentences; pictures are other pictures of the same shard, half of them on the same ground.
"""
import random

import numpy as np
import torch

from batches import Frame
from common import RERANK_INSTRUCTION, RERANK_SYSTEM, SEED

LIST, PICTURES = 4, 6  # documents for one query: texts, pictures
INSTRUCTIONS = [RERANK_INSTRUCTION] * 4 + ["Given a query, retrieve passages that are relevant to the query.",
                                           "Retrieve pictures and texts that match the query."]


class RerankFrame(Frame):
    """Ids of whole prompts, cut where all rows of a batch have begun to differ."""
    def __init__(self):
        super().__init__()
        self.end_ids = self.encode("<|im_end|>\n<|im_start|>assistant\n")

    def before(self, instruction, query):
        return (f"<|im_start|>system\n{RERANK_SYSTEM}<|im_end|>\n<|im_start|>user\n<Instruct>: {instruction}"
                f"<Query>:{query}\n<Document>:")

    def head_ids(self, instruction):
        """The start that all prompts of an instruction share: a token short, for the last may join with the query."""
        return self.encode(self.before(instruction, "").split("\n<Document>:")[0])[:-1]

    def pairs(self, instruction, queries, documents):
        """(head [P], ids [B, S], last [B])"""
        head = self.head_ids(instruction)
        whole = [self.before(instruction, q) + d + "<|im_end|>\n<|im_start|>assistant\n"
                 for q, d in zip(queries, documents)]
        rows = [e.ids for e in self.tokenizer.encode_batch(whole, add_special_tokens=False)]
        assert all(row[:len(head)] == head for row in rows)
        return torch.tensor(head), *self.padded([row[len(head):] for row in rows])

    def with_pictures(self, instruction, query, count):
        """(head, before [b], after [count, a], last [count]) of one query and `count` pictures."""
        head = self.head_ids(instruction)
        before = self.encode(self.before(instruction, query))
        after = torch.tensor([[self.vision_end] + self.end_ids]).expand(count, -1)
        return torch.tensor(head), torch.tensor(before[len(head):] + [self.vision_start]), after, \
            torch.full((count,), after.shape[1] - 1)


class RerankData:
    def __init__(self, data):
        self.data, self.frame = data, RerankFrame()
        self.pairs = [p for p in data.pairs if p["group"] in data.where]
        self.capitals = data.capitals

    def rng(self, step):
        return random.Random(f"{SEED} rerank {step}")

    def lists(self, pairs, rng, count, size=LIST):
        """`count` lists of (query, [right document, near ones ..., one by chance])."""
        block = rng.sample(pairs, min(len(pairs), 1500))
        x = self.data.vectors[[self.data.where[p["group"]] for p in block]]
        chosen = rng.sample(range(len(block)), count)
        near = np.argsort(-(x[chosen] @ x.T), axis=1)[:, 1:40]
        out = []
        for i, others in zip(chosen, near):
            picked = [block[j]["document"] for j in rng.sample(list(others), size - 2)]
            picked.append(rng.choice(block)["document"])
            out.append((block[i]["query"], [block[i]["document"]] + picked))
        return out

    def capital_lists(self, rng, count):
        out = []
        for p in rng.sample(self.capitals, count):
            others = [c["document"] for c in rng.sample(self.capitals, 3 * LIST) if c["group"] != p["group"]]
            out.append((p["query"], [p["document"]] + others[:LIST - 2] + [rng.choice(self.pairs)["document"]]))
        return out

    def texts(self, step, count):
        """(instruction, queries, documents), LIST rows for each query, the right one first."""
        rng = self.rng(step)
        lists = self.lists(self.pairs, rng, count - 2) + self.capital_lists(rng, 2)
        return rng.choice(INSTRUCTIONS), [q for q, d in lists for _ in d], [x for _, d in lists for x in d]

    def composed(self, step, count):
        """[(instruction, query, uint8 pictures [PICTURES, 1, h, w, 3])], the right one first."""
        rng, out = self.rng(step), []
        arrays, rows, _ = rng.choice(self.data.shards[rng.choice(("scenes", "pages"))])
        for _ in range(count):
            i = rng.randrange(len(rows))
            ground = rows[i]["plan"].get("ground")
            others = [j for j in rng.sample(range(len(rows)), 120) if j != i]
            alike = [j for j in others if ground and rows[j]["plan"]["ground"] == ground][:PICTURES // 2]
            chosen = [i] + alike + [j for j in others if j not in alike][:PICTURES - 1 - len(alike)]
            pictures = torch.from_numpy(np.stack([arrays[j] for j in chosen]))[:, None]
            out.append((rng.choice(INSTRUCTIONS), rng.choice(rows[i]["captions"]), pictures))
        return out
