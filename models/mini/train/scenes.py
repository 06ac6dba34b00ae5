"""Composed scenes without end: emoji and coloured shapes on coloured grounds, with the words that describe them.

A plan says what is seen; render() draws it and caption() words it. One plan has one or two groups of things: a group
is a count (1 to 4) of one thing, a drawn emoji or a shape in a colour; two groups stand in a relation; the ground has a
colour or a time of day. Labels say for each cell of 32 x 32 pixels what lies in it, which is what training is shown.
"""
import os
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common import EMOJI_FONT, is_held

SIZE, CELL = 128, 32
THINGS = {
    "cat": "🐈", "dog": "🐕", "horse": "🐎", "cow": "🐄", "pig": "🐖", "sheep": "🐑",
    "rabbit": "🐇", "mouse": "🐁", "chicken": "🐔", "fish": "🐟", "whale": "🐳", "turtle": "🐢",
    "snake": "🐍", "butterfly": "🦋", "bee": "🐝", "owl": "🦉", "elephant": "🐘", "tiger": "🐅",
    "car": "🚗", "bus": "🚌", "bicycle": "🚲", "train": "🚂", "airplane": "✈️", "rocket": "🚀",
    "boat": "⛵", "truck": "🚚", "house": "🏠", "tree": "🌳", "flower": "🌻", "rose": "🌹",
    "apple": "🍎", "banana": "🍌", "pizza": "🍕", "cake": "🎂", "cup": "☕", "ball": "⚽",
    "guitar": "🎸", "clock": "⏰", "book": "📕", "key": "🔑", "umbrella": "☂️", "shoe": "👟",
    "hat": "🎩", "crown": "👑", "snowman": "⛄", "balloon": "🎈", "lamp": "💡", "robot": "🤖",
    "baby": "👶", "ghost": "👻"}
SHAPES = ["circle", "square", "triangle", "star", "heart", "diamond", "ring", "cross"]
PAINTS = {"red": (214, 40, 40), "green": (40, 160, 60), "blue": (40, 80, 210), "yellow": (245, 210, 30),
          "orange": (245, 135, 25), "purple": (130, 50, 170), "pink": (245, 130, 180), "brown": (120, 75, 40),
          "black": (20, 20, 20), "white": (250, 250, 250)}
GROUNDS = {"white": (250, 250, 250), "gray": (150, 150, 150), "blue": (150, 190, 245), "green": (150, 215, 150),
           "yellow": (250, 240, 160), "pink": (250, 200, 215), "night": (22, 26, 66), "sunset": None}
COUNTS = {1: "a", 2: "two", 3: "three", 4: "four"}
RELATIONS = ["left of", "right of", "above", "below"]
SUBJECTS = list(THINGS) + SHAPES
PLURALS = {"mouse": "mice", "sheep": "sheep", "fish": "fish", "bus": "buses", "butterfly": "butterflies",
           "baby": "babies", "cross": "crosses"}
HELD = 10  # one combination in so many is never trained on


def draw_group(rng):
    if rng.random() < 0.6:
        return {"what": rng.choice(list(THINGS)), "count": rng.choice((1, 1, 1, 2, 3, 4)), "paint": None}
    return {"what": rng.choice(SHAPES), "count": rng.choice((1, 1, 1, 2, 3, 4)), "paint": rng.choice(list(PAINTS))}


def draw_plan(rng):
    groups = [draw_group(rng)]
    if rng.random() < 0.75:
        other = draw_group(rng)
        while other["what"] == groups[0]["what"]:
            other = draw_group(rng)
        groups.append(other)
    ground = rng.choice(list(GROUNDS))
    for g in groups:
        while g["paint"] and (g["paint"] == ground or (ground == "night" and g["paint"] == "black")):
            g["paint"] = rng.choice(list(PAINTS))
    return {"groups": groups, "relation": rng.choice(RELATIONS) if len(groups) == 2 else None, "ground": ground}


def key(plan):
    """The combination without its ground, both ways round alike: what the split is made by."""
    groups = [f"{g['count']} {g['paint']} {g['what']}" for g in plan["groups"]]
    relation = plan["relation"]
    if relation in ("right of", "below"):
        groups, relation = groups[::-1], {"right of": "left of", "below": "above"}[relation]
    return f"{relation}: " + " | ".join(groups)


def held(plan):
    return is_held(key(plan), HELD)


def named(group):
    word = group["what"]
    if group["count"] > 1:
        word = PLURALS.get(word, word + "s")
    words = ([group["paint"]] if group["paint"] else []) + [word]
    count = COUNTS[group["count"]]
    if count == "a" and words[0][0] in "aeiou":
        count = "an"
    return " ".join([count] + words)


def caption(plan, rng):
    groups, relation = plan["groups"], plan["relation"]
    if relation and rng.random() < 0.4:  # said the other way round
        groups = groups[::-1]
        relation = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}[relation]
    text = f"{named(groups[0])} {relation} {named(groups[1])}" if relation else named(groups[0])
    if relation in ("left of", "right of") and rng.random() < 0.3:
        text = text.replace(relation, "to the " + relation)
    ground = plan["ground"]
    if rng.random() < 0.8:
        text += {"night": " at night", "sunset": " at sunset"}.get(ground, f" on a {ground} ground")
    return rng.choice(("", "", "", "a picture of ")) + text


_glyphs = {}


def glyph(text):
    """An emoji as a square RGBA picture of 136 pixels."""
    if text not in _glyphs:
        font = ImageFont.truetype(EMOJI_FONT, 109)
        picture = Image.new("RGBA", (136, 136))
        ImageDraw.Draw(picture).text((0, 4), text, font=font, embedded_color=True)
        _glyphs[text] = picture.crop(picture.getbbox()) if picture.getbbox() else picture
    return _glyphs[text]


def shape(name, colour, side):
    picture = Image.new("RGBA", (4 * side, 4 * side))
    d, s = ImageDraw.Draw(picture), 4 * side - 1
    fill = colour + (255,)
    if name == "circle":
        d.ellipse((0, 0, s, s), fill)
    elif name == "square":
        d.rectangle((0, 0, s, s), fill)
    elif name == "triangle":
        d.polygon([(s / 2, 0), (s, s), (0, s)], fill)
    elif name == "diamond":
        d.polygon([(s / 2, 0), (s, s / 2), (s / 2, s), (0, s / 2)], fill)
    elif name == "ring":
        d.ellipse((0, 0, s, s), outline=fill, width=side)
    elif name == "cross":
        d.rectangle((s * .36, 0, s * .64, s), fill)
        d.rectangle((0, s * .36, s, s * .64), fill)
    elif name == "heart":
        d.ellipse((0, 0, s * .54, s * .56), fill)
        d.ellipse((s * .46, 0, s, s * .56), fill)
        d.polygon([(s * .05, s * .42), (s * .95, s * .42), (s / 2, s)], fill)
    else:
        points = [(s / 2 + s / 2 * (1 if i % 2 == 0 else .42) * np.sin(np.pi * i / 5),
                   s / 2 - s / 2 * (1 if i % 2 == 0 else .42) * np.cos(np.pi * i / 5)) for i in range(10)]
        d.polygon(points, fill)
    return picture.resize((side, side), Image.Resampling.BOX)


def paint_ground(name, rng, size=SIZE):
    """Plain, shaded from top to bottom, or speckled."""
    top, bottom = ((250, 160, 70), (150, 60, 110)) if name == "sunset" else (GROUNDS[name],) * 2
    top, bottom = np.array(top, np.float32), np.array(bottom, np.float32)
    kind = rng.random()
    if kind < 0.35 and name != "sunset":
        bottom = bottom * rng.uniform(0.75, 0.95)
    share = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    out = np.repeat(top * (1 - share) + bottom * share, size, 1)
    if kind > 0.7:
        noise = np.random.default_rng(rng.randrange(1 << 30)).normal(0, rng.uniform(2, 9), (size // 4, size // 4, 1))
        out = out + noise.repeat(4, 0).repeat(4, 1)
    return Image.fromarray(out.clip(0, 255).astype(np.uint8), "RGB")


def areas(plan, rng):
    """A rectangle (x0, y0, x1, y1) for each group, standing in the plan's relation."""
    cut = rng.randint(52, 76)
    left, right = (0, 0, cut, SIZE), (cut, 0, SIZE, SIZE)
    upper, lower = (0, 0, SIZE, cut), (0, cut, SIZE, SIZE)
    both = {"left of": (left, right), "right of": (right, left), "above": (upper, lower), "below": (lower, upper),
            None: ((0, 0, SIZE, SIZE),)}
    return both[plan["relation"]]


def places(area, count, rng):
    """Boxes (x, y, side) for `count` things within the area, in a grid with some play."""
    w, h = area[2] - area[0], area[3] - area[1]
    columns = 1 if count == 1 else min(count, max(1, round((count * w / h) ** 0.5)))
    rows = -(-count // columns)
    cw, ch = w / columns, h / rows
    side = int(min(cw, ch, 84) * rng.uniform(0.74, 0.97))
    for i in range(count):
        row, column = divmod(i, columns)
        in_row = min(columns, count - row * columns)
        x = area[0] + (w - in_row * cw) / 2 + column * cw + (cw - side) / 2
        y = area[1] + row * ch + (ch - side) / 2
        yield (int(x + rng.uniform(-.4, .4) * (cw - side)), int(y + rng.uniform(-.4, .4) * (ch - side)), side)


def render(plan, rng):
    """-> uint8 [SIZE, SIZE, 3] and the labels of its cells: what lies there [16] (0 nothing, else 1 + SUBJECTS' index)
    and in which paint [16] (0 none, else 1 + PAINTS' index)."""
    picture = paint_ground(plan["ground"], rng)
    covered = np.zeros((len(plan["groups"]), SIZE // CELL, SIZE // CELL))
    for g, (group, area) in enumerate(zip(plan["groups"], areas(plan, rng))):
        for x, y, side in places(area, group["count"], rng):
            if group["paint"]:
                sprite = shape(group["what"], PAINTS[group["paint"]], side)
            else:
                sprite = glyph(THINGS[group["what"]]).copy()
                sprite.thumbnail((side, side), Image.Resampling.BILINEAR)
                if rng.random() < 0.3 and group["what"] not in ("clock", "book"):
                    sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            picture.paste(sprite, (x, y), sprite)
            mask = np.zeros((SIZE, SIZE))
            mask[max(y, 0):y + sprite.height, max(x, 0):x + sprite.width] = 1
            covered[g] += mask.reshape(SIZE // CELL, CELL, SIZE // CELL, CELL).sum((1, 3))
    best = covered.argmax(0).ravel()
    seen = covered.max(0).ravel() > CELL * CELL * 0.2
    what = np.array([1 + SUBJECTS.index(g["what"]) for g in plan["groups"]])[best] * seen
    paint = np.array([1 + list(PAINTS).index(g["paint"]) if g["paint"] else 0 for g in plan["groups"]])[best] * seen
    return np.asarray(picture), what.astype(np.uint8), paint.astype(np.uint8)


def draw(rng, want_held):
    """A plan of the wanted side of the split."""
    while True:
        plan = draw_plan(rng)
        if held(plan) == want_held:
            return plan


CLIP_SIZE = (384, 384)  # what the published rules make of a short clip of square frames


def clip(rng):
    """Two frames of one thing that moves, as published rules size them: uint8 [2, h, w, 3], caption, direction."""
    ways = {"to the right": (1, 0), "to the left": (-1, 0), "up": (0, -1), "down": (0, 1)}
    what, ground, way = rng.choice(list(THINGS)), rng.choice(list(GROUNDS)), rng.choice(list(ways))
    side, step = rng.randint(36, 60), rng.randint(22, 40)
    start = [rng.randint(0, SIZE - side - step) if d >= 0 else rng.randint(step, SIZE - side) for d in ways[way]]
    back, sprite = paint_ground(ground, rng), glyph(THINGS[what]).copy()
    sprite.thumbnail((side, side), Image.Resampling.BILINEAR)
    frames = []
    for i in range(2):
        frame = back.copy()
        frame.paste(sprite, tuple(start[a] + i * step * ways[way][a] for a in range(2)), sprite)
        frames.append(np.asarray(frame.resize(CLIP_SIZE[::-1], Image.Resampling.BICUBIC)))
    verb = rng.choice(("moves", "goes", "moves"))
    return np.stack(frames), f"a {what} {verb} {way}", list(ways).index(way)
