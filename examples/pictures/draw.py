#!/usr/bin/env python3
"""Draws the pictures of this folder: combinations that the built-in model's training leaves out.

    examples/pictures/draw.py       writes NAME.png for each plan below, the same bytes each time

Uses the scene maker of models/mini/train, its fonts and Pillow. Not needed to build, run or test qvec.
"""
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "models", "mini", "train"))

from PIL import Image  # noqa: E402

import pages  # noqa: E402
import scenes  # noqa: E402

# name: ground, first group, relation, second group; a group is count, thing, paint of a shape
SCENES = {
    "balloons-cake": ("pink", (3, "balloon"), "above", (1, "cake")),
    "crown-ghost-night": ("night", (1, "crown"), "above", (1, "ghost")),
    "dogs-balls": ("green", (2, "dog"), "left of", (2, "ball")),
    "red-heart": ("white", (1, "heart", "red"), None, None),
    "rockets-robots": ("gray", (2, "rocket"), "left of", (4, "robot")),
    "stars-night": ("night", (2, "star", "white"), None, None),
    "train-tree": ("yellow", (1, "train"), "left of", (1, "tree")),
    "umbrella-elephant": ("sunset", (1, "umbrella"), "above", (1, "elephant")),
    "whales-boat": ("blue", (2, "whale"), "left of", (1, "boat")),
}
# name: layout, words, numbers
PAGES = {
    "menu-breakfast": ("table", ("coffee", "bread", "butter", "milk"), (31, 12, 9, 24)),
    "sign-library": ("page", ("library", "open", "monday"), (1, 1, 1)),
    "chart-weather": ("chart", ("rain", "wind", "sun", "ice"), (62, 35, 88, 18)),
}


def scene(ground, *parts):
    first, relation, second = parts
    groups = [{"count": g[0], "what": g[1], "paint": g[2] if len(g) > 2 else None} for g in (first, second) if g]
    return {"ground": ground, "groups": groups, "relation": relation}


def main():
    for name, plan in SCENES.items():
        plan = scene(*plan)
        assert scenes.held(plan), f"{name}: this combination may be among those trained on"
        save(name, scenes.render(plan, random.Random(name))[0])
    for name, (layout, words, numbers) in PAGES.items():
        plan = {"layout": layout, "words": list(words), "numbers": list(numbers)}
        assert pages.held(plan), f"{name}: these words may be among those trained on"
        save(name, pages.render(plan, random.Random(name))[0])


def save(name, pixels):
    Image.fromarray(pixels).save(os.path.join(HERE, name + ".png"), optimize=True)


if __name__ == "__main__":
    main()
