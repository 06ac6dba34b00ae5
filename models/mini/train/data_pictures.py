"""Single drawings with words: emoji, Tux Paint's stamps, Open Clip Art.

    data_pictures.py            writes pictures.jsonl ({"source", "captions", "group", "held"}) and drawings.npy,
                                uint8 [n, 112, 112, 4], into the cache
    data_pictures.py render N SHARD
                                draws N scenes, N pages (half as many plain ones) and N variants of training
                                drawings into shard files, seeded by SHARD
"""
import os
import random
import re
import sys

import numpy as np
from PIL import Image

import pages
import scenes
from common import CLIPART, SEED, STAMPS, cache, group_key, is_held
from data_text import LANGUAGES, PICTURE_HELD, annotations, is_pictograph, read, synsets, write

SIDE, SHOWN = 112, 96  # pixels: as stored, and as trained on
MOST_PIXELS = 12 << 20
PLAIN_SHARDS = 12      # pages of later shards are varied


def emoji():
    english = annotations("en")
    others = {language: annotations(language) for language in LANGUAGES}
    for glyph, (name, words) in english.items():
        if "skin tone" in name or not is_pictograph(glyph):
            continue
        picture = scenes.glyph(glyph)
        if picture.width > 140 or not picture.getbbox():  # several glyphs beside each other: not in the font
            continue
        translated = [o[glyph][0] for o in others.values() if glyph in o]
        captions = [name.replace("flag: ", "flag of "), ", ".join(words[:4]) or name]
        yield "emoji", captions, translated, name, picture


def stamps():
    for folder, _, files in sorted(os.walk(STAMPS)):
        for file in sorted(files):
            path = os.path.join(folder, file[:-4] + ".txt")
            if not file.endswith(".png") or file.endswith("_mirror.png") or not os.path.exists(path):
                continue
            with open(path, encoding="utf-8", errors="replace") as f:
                lines = f.read().split("\n")
            name, translated = lines[0].strip(), []
            for line in lines[1:]:
                language, _, text = line.partition(".utf8=")
                if language in LANGUAGES and text.strip():
                    translated.append(text.strip())
            if name:
                yield "stamp", [name.rstrip(".!"), os.path.basename(folder) + ": " + name], translated, name, \
                    os.path.join(folder, file)


def lemmas():
    """Words that may be part of a title: common nouns, verbs and adjectives, not names."""
    known = {t for _, terms, _, _ in synsets() for t in terms if t.islower() and len(t) > 1}
    names = "dan jack ben bob chris mark nick marco van der de la jan ted phil rob jean le mat al max"
    return known - set(names.split())


def clipart():
    """Titles are file names, "bison_leif_lodahl_01": its leading words that are words; the rest is the author."""
    known = lemmas()
    for folder, _, files in sorted(os.walk(CLIPART)):
        for file in sorted(files):
            if not file.endswith(".png"):
                continue
            words = []
            for word in re.split(r"[_\-. ]+|(?<=[a-z])(?=[A-Z0-9])", file[:-4])[:4]:
                w = word.lower()
                if w in known or (w.endswith("s") and w[:-1] in known) or w in ("of", "and", "with", "the", "in"):
                    words.append(w)
                elif not w.isdigit():
                    break
            while words and words[-1] in ("of", "and", "with", "the", "in"):
                words.pop()
            place = os.path.basename(folder).replace("_", " ")
            if words:
                name = " ".join(words)
                yield "clipart", [name, f"{place}: {name}"], [], name, os.path.join(folder, file)


def squared(picture):
    """A picture, or the file of one, fitted into SIDE x SIDE, centred, RGBA."""
    if isinstance(picture, str):
        picture = Image.open(picture)
        if picture.width * picture.height > MOST_PIXELS:
            raise ValueError("too large to be worth its time")
    picture = picture.convert("RGBA")
    box = picture.getchannel("A").getbbox()
    picture = picture.crop(box) if box else picture
    scale = SIDE / max(picture.size)
    size = [max(1, round(s * scale)) for s in picture.size]
    picture = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    out = Image.new("RGBA", (SIDE, SIDE))
    out.paste(picture, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return np.asarray(out)


def build():
    rows, arrays = [], []
    for make in (emoji, stamps, clipart):
        for source, captions, translated, name, picture in make():
            try:
                array = squared(picture)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue
            group = group_key(name)
            rows.append({"source": source, "captions": captions, "translated": translated, "group": group,
                         "held": is_held(group, PICTURE_HELD)})
            arrays.append(array)
    write("pictures.jsonl", rows)
    np.save(cache("drawings.npy"), np.stack(arrays))
    print({s: sum(r["source"] == s for r in rows) for s in ("emoji", "stamp", "clipart")},
          "held", sum(r["held"] for r in rows), "groups", len({r["group"] for r in rows}))


def on_ground(drawing, rng, plain=False):
    """A drawing on a ground, in a size and place by chance: uint8 [SHOWN, SHOWN, 3]. plain: on white, large."""
    picture = Image.fromarray(drawing)
    if plain:
        back, side, x, y = Image.new("RGB", (SHOWN, SHOWN), (255, 255, 255)), SHOWN - 8, 4, 4
    else:
        back = Image.new("RGB", (SHOWN, SHOWN), (255, 255, 255))
        if rng.random() < 0.6:
            back = scenes.paint_ground(rng.choice(list(scenes.GROUNDS)), rng, SHOWN)
        if rng.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if rng.random() < 0.4:
            picture = picture.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)
        side = rng.randint(64, SHOWN)
        x, y = rng.randint(0, SHOWN - side), rng.randint(0, SHOWN - side)
    picture = picture.resize((side, side), Image.Resampling.BICUBIC)
    back.paste(picture, (x, y), picture)
    out = np.asarray(back)
    if not plain and rng.random() < 0.5:  # brightness and balance
        gain = np.array([rng.uniform(.8, 1.15) for _ in range(3)]) if rng.random() < .5 else rng.uniform(.75, 1.2)
        out = (out * gain).clip(0, 255).astype(np.uint8)
    return out


def render(count, shard):
    for name, module in (("scenes", scenes), ("pages", pages)):
        rng = random.Random(f"{SEED} {name} {shard}")
        rows, arrays, labels = [], [], []
        varied = module is pages and shard > PLAIN_SHARDS
        for _ in range(count if module is scenes or varied else count // 2):
            plan = module.draw(rng, False)
            picture, *label = module.render(plan, rng, True) if varied else module.render(plan, rng)
            rows.append({"captions": [module.caption(plan, rng), module.caption(plan, rng)], "plan": plan})
            arrays.append(picture)
            labels.append(np.stack(label).astype(np.uint16))
        write(f"{name}-{shard}.jsonl", rows)
        np.save(cache(f"{name}-{shard}-labels.npy"), np.stack(labels))
        np.save(cache(f"{name}-{shard}.npy"), np.stack(arrays))
    rng = random.Random(f"{SEED} drawn {shard}")
    drawings, known = np.load(cache("drawings.npy"), mmap_mode="r"), read("pictures.jsonl")
    train = [i for i, row in enumerate(known) if not row["held"]]
    chosen = [rng.choice(train) for _ in range(count)]
    np.save(cache(f"drawn-{shard}-rows.npy"), np.array(chosen))
    np.save(cache("drawn-part.npy"), np.stack([on_ground(drawings[i], rng) for i in chosen]))
    os.replace(cache("drawn-part.npy"), cache(f"drawn-{shard}.npy"))  # the last to appear: now the shard is whole
    print("shard", shard, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["render"]:
        render(int(sys.argv[2]), int(sys.argv[3]))
    else:
        build()
