"""The network for training: the same numbers as transformers' Qwen3VLModel, without what training does not need.

Parameters carry the checkpoint's own names, so that a state dict is a checkpoint. Three things make it fast on a CPU:
all sequences of a batch lie in one padded block, the head of a prompt that all of them share is computed once, and a
picture's two equal frames are embedded by the sum of the two halves of the weight. check.py holds it to transformers.
"""
import torch
from torch import nn
from torch.nn import functional as F

TEXT = {"hidden": 256, "intermediate": 768, "layers": 4, "heads": 4, "kv_heads": 2, "head_dim": 64, "theta": 1e6,
        "section": (12, 10, 10), "eps": 1e-6}
VISION = {"hidden": 192, "intermediate": 768, "depth": 4, "heads": 3, "side": 8, "deepstack": (0, 1, 2)}
PATCH = 16


def rotate(x, cos, sin):
    """x [.., S, d]; cos, sin broadcast to it; the two halves of d are a rotation's two coordinates."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


def text_angles(positions):
    """positions [3, B, S] -> cos, sin [B, 1, S, d] of the interleaved rotary embedding."""
    half = TEXT["head_dim"] // 2
    frequencies = TEXT["theta"] ** (-torch.arange(half) / half)
    axis = torch.zeros(half, dtype=torch.long)
    axis[1:3 * TEXT["section"][1]:3] = 1
    axis[2:3 * TEXT["section"][2]:3] = 2
    angles = positions.float()[axis].permute(1, 2, 0) * frequencies
    angles = torch.cat((angles, angles), -1)[:, None]
    return angles.cos(), angles.sin()


def attention(q, k, v, mask=None):
    """Written out: for sequences this short it is faster on a CPU than the fused kernel's backward pass."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1).to(v.dtype) @ v


def later(s, p=0):
    """What hides from each of s tokens, p more before them, those that come later."""
    return torch.full((s, p + s), -1e9).triu(p + 1)


class Norm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return F.rms_norm(x.float(), self.weight.shape, self.weight, TEXT["eps"])


def linear(rows, columns, bias=False):
    layer = nn.Linear(rows, columns, bias=bias)
    nn.init.normal_(layer.weight, std=rows ** -0.5)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class TextAttention(nn.Module):
    def __init__(self):
        super().__init__()
        h, d = TEXT["hidden"], TEXT["head_dim"]
        self.q_proj = linear(h, TEXT["heads"] * d)
        self.k_proj = linear(h, TEXT["kv_heads"] * d)
        self.v_proj = linear(h, TEXT["kv_heads"] * d)
        self.o_proj = linear(TEXT["heads"] * d, h)
        self.q_norm, self.k_norm = Norm(d), Norm(d)

    def project(self, x, angles):
        """q [B, heads, S, d], k and v [B, kv heads, S, d], rotated."""
        b, s, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(b, s, -1, TEXT["head_dim"])).transpose(1, 2)
        k = self.k_norm(self.k_proj(x).view(b, s, -1, TEXT["head_dim"])).transpose(1, 2)
        v = self.v_proj(x).view(b, s, -1, TEXT["head_dim"]).transpose(1, 2)
        return rotate(q, *angles).to(v.dtype), rotate(k, *angles).to(v.dtype), v

    def attend(self, q, k, v, mask):
        times = TEXT["heads"] // TEXT["kv_heads"]
        k, v = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
        return self.o_proj(attention(q, k, v, mask).transpose(1, 2).flatten(2))


class TextMlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = linear(TEXT["hidden"], TEXT["intermediate"])
        self.up_proj = linear(TEXT["hidden"], TEXT["intermediate"])
        self.down_proj = linear(TEXT["intermediate"], TEXT["hidden"])

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class TextLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn, self.mlp = TextAttention(), TextMlp()
        self.input_layernorm, self.post_attention_layernorm = Norm(TEXT["hidden"]), Norm(TEXT["hidden"])

    def forward(self, head, x, head_angles, angles, mask):
        """head [1, P, H] is the shared start of all rows of x [B, S, H], or None."""
        q, k, v = self.self_attn.project(self.input_layernorm(x), angles)
        if head is not None:
            hq, hk, hv = self.self_attn.project(self.input_layernorm(head), head_angles)
            head = head + self.self_attn.attend(hq, hk, hv, later(head.shape[1]))
            head = head + self.mlp(self.post_attention_layernorm(head))
            k = torch.cat((hk.expand(len(k), -1, -1, -1), k), 2)
            v = torch.cat((hv.expand(len(v), -1, -1, -1), v), 2)
        x = x + self.self_attn.attend(q, k, v, mask)
        return head, x + self.mlp(self.post_attention_layernorm(x))


class LanguageModel(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab, TEXT["hidden"])
        nn.init.normal_(self.embed_tokens.weight, std=0.5)
        self.layers = nn.ModuleList(TextLayer() for _ in range(TEXT["layers"]))
        self.norm = Norm(TEXT["hidden"])

    def forward(self, head, x, positions, features=None, at=0):
        """head: ids [P] or None; x: [B, S, H], features: DeepStack's additions [B, N, H] each, for columns at..at+N."""
        b, s, _ = x.shape
        head_angles, p = None, 0 if head is None else len(head)
        mask = later(s, p)
        if head is not None:
            head_angles = text_angles(torch.arange(p).expand(3, 1, p))
            head = self.embed_tokens(head)[None]
        angles = text_angles(positions)
        for i, layer in enumerate(self.layers):
            head, x = layer(head, x, head_angles, angles, mask)
            if features is not None and i < len(features):
                n = features[i].shape[1]
                x = torch.cat((x[:, :at], x[:, at:at + n] + features[i], x[:, at + n:]), 1)
        return self.norm(x)


class Linears(nn.Module):
    """linear_fc1, an activation, linear_fc2."""
    def __init__(self, sizes, approximate):
        super().__init__()
        self.linear_fc1 = linear(sizes[0], sizes[1], True)
        self.linear_fc2 = linear(sizes[1], sizes[2], True)
        self.approximate = approximate

    def forward(self, x):
        return self.linear_fc2(F.gelu(self.linear_fc1(x), approximate=self.approximate))


class Merger(Linears):
    def __init__(self, deep):
        c = VISION["hidden"]
        super().__init__((4 * c, 4 * c, TEXT["hidden"]), "none")
        self.norm = nn.LayerNorm(4 * c if deep else c, eps=1e-6)
        self.deep = deep

    def forward(self, x):
        b, n, c = x.shape
        x = self.norm(x.view(b, n // 4, 4 * c)) if self.deep else self.norm(x).view(b, n // 4, 4 * c)
        return super().forward(x)


class VisionAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = linear(VISION["hidden"], 3 * VISION["hidden"], True)
        self.proj = linear(VISION["hidden"], VISION["hidden"], True)

    def forward(self, x, angles):
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, VISION["heads"], -1).permute(2, 0, 3, 1, 4)
        q, k = rotate(q.float(), *angles).to(v.dtype), rotate(k.float(), *angles).to(v.dtype)
        return self.proj(attention(q, k, v).transpose(1, 2).reshape(b, n, c))


class VisionBlock(nn.Module):
    def __init__(self):
        super().__init__()
        c = VISION["hidden"]
        self.norm1, self.norm2 = nn.LayerNorm(c, eps=1e-6), nn.LayerNorm(c, eps=1e-6)
        self.attn, self.mlp = VisionAttention(), Linears((c, VISION["intermediate"], c), "tanh")

    def forward(self, x, angles):
        x = x + self.attn(self.norm1(x), angles)
        return x + self.mlp(self.norm2(x))


def block_order(rows, columns):
    """Row and column of each patch, four neighbours after each other: two tensors [rows * columns]."""
    r = torch.arange(rows)[:, None].expand(rows, columns)
    c = torch.arange(columns)[None].expand(rows, columns)
    return [x.reshape(rows // 2, 2, columns // 2, 2).transpose(1, 2).reshape(-1) for x in (r, c)]


class PatchEmbed(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Conv3d(3, VISION["hidden"], (2, PATCH, PATCH), (2, PATCH, PATCH))
        nn.init.normal_(self.proj.weight, std=1536 ** -0.5)
        self.proj.weight.data -= 0.8 * self.proj.weight.data.mean((3, 4), keepdim=True)
        nn.init.zeros_(self.proj.bias)

    def forward(self, x):
        """x [B, N, 3, frames, 256] in -1..1; one frame stands for two equal ones."""
        w = self.proj.weight.flatten(3)
        if x.shape[3] == 1:
            w = w.sum(2, keepdim=True)
        return F.linear(x.flatten(2), w.flatten(1), self.proj.bias)


class Vision(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch_embed = PatchEmbed()
        self.pos_embed = nn.Embedding(VISION["side"] ** 2, VISION["hidden"])
        nn.init.normal_(self.pos_embed.weight, std=0.3)
        self.blocks = nn.ModuleList(VisionBlock() for _ in range(VISION["depth"]))
        self.merger = Merger(False)
        self.deepstack_merger_list = nn.ModuleList(Merger(True) for _ in VISION["deepstack"])

    def spread(self, size, places):
        """Weights [N, side] that interpolate the table's one axis at the places 0..size-1."""
        at = torch.linspace(0, VISION["side"] - 1, size)[places]
        low = at.floor().long()
        high = (low + 1).clamp(max=VISION["side"] - 1)
        share = (at - low)[:, None]
        return F.one_hot(low, VISION["side"]) * (1 - share) + F.one_hot(high, VISION["side"]) * share

    def forward(self, x, rows, columns, deepstack=True):
        """Patches [B, N, 3, frames, 256] -> the merger's rows [B, N/4, H] and DeepStack's."""
        r, c = block_order(rows, columns)
        table = (self.spread(rows, r)[:, :, None] * self.spread(columns, c)[:, None]).flatten(1)
        d = VISION["hidden"] // VISION["heads"]
        frequencies = 10000.0 ** (-torch.arange(d // 4) / (d // 4))
        angles = torch.cat((r[:, None] * frequencies, c[:, None] * frequencies), 1).repeat(1, 2)
        angles = angles.cos(), angles.sin()
        x = self.patch_embed(x).float() + table @ self.pos_embed.weight
        deep = []
        for i, block in enumerate(self.blocks):
            x = block(x, angles)
            if deepstack and i in VISION["deepstack"]:
                deep.append(self.deepstack_merger_list[len(deep)](x))
        return self.merger(x), deep


def patches(pictures):
    """uint8 [B, frames, h, w, 3] (frames 1 or 2) -> float [B, N, 3, frames, 256] in block order."""
    b, t, h, w, _ = pictures.shape
    x = pictures.view(b, t, h // 32, 2, 16, w // 32, 2, 16, 3).permute(0, 2, 5, 3, 6, 8, 1, 4, 7)
    return x.reshape(b, h * w // 256, 3, t, 256).float() / 127.5 - 1


class Mini(nn.Module):
    """An embedder. Vectors are not yet of unit length."""
    def __init__(self, vocab):
        super().__init__()
        self.model = nn.Module()
        self.model.language_model = LanguageModel(vocab)
        self.model.visual = Vision()

    def text(self, head, ids, last):
        """ids [B, S] with row i's last token at last[i]; head: ids [P] or None -> hidden states [B, H]."""
        start = 0 if head is None else len(head)
        positions = torch.arange(start, start + ids.shape[1]).expand(3, len(ids), -1)
        x = self.model.language_model(head, self.model.language_model.embed_tokens(ids), positions)
        return x[torch.arange(len(ids)), last]

    def picture(self, head, before, pictures, after, last):
        """`before` [b] and `after` [B, a] are ids around the picture's tokens; last [B] counts within `after`.
        -> hidden states [B, H] and the merger's rows [B, N/4, H]."""
        b, _, h, w, _ = pictures.shape
        rows, columns, start = h // 32, w // 32, (0 if head is None else len(head)) + len(before)
        tokens, deep = self.model.visual(patches(pictures), h // 16, w // 16)
        embed = self.model.language_model.embed_tokens
        x = torch.cat((embed(before)[None].expand(b, -1, -1), tokens.float(), embed(after)), 1)
        at = torch.arange(rows * columns)
        middle = torch.stack((torch.zeros_like(at), at // columns, at % columns)) + start
        then = torch.arange(after.shape[1]) + start + max(rows, columns)
        ahead = torch.arange(start - len(before), start)
        positions = torch.cat((ahead.expand(3, -1), middle, then.expand(3, -1)), 1)[:, None].expand(3, b, -1)
        out = self.model.language_model(head, x, positions, [d.float() for d in deep], len(before))
        return out[torch.arange(b), len(before) + len(at) + last], tokens
