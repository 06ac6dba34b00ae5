"""Pages, receipts, tables and charts: pictures that are searched by the words on them.

Large type on lines of 32 pixels: what can be learnt in the time there was. Plain ones have one typeface, dark on light;
varied ones have three, capitals, light on dark, and some play in size and place.

A plan is a layout and its words, drawn from a list of common words; the split is made by the words together, so what is
held out is a text and not a word. Labels say which word covers each cell of 32 x 32 pixels.
"""
import os
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common import is_held

SIZE, CELL = 128, 32
WORDS = """account address airport apple april august autumn bakery bank beach bicycle bill blue board boat book bread
breakfast bridge budget butter camera castle chair cheese city class clock closed coffee color company concert cotton
country course credit dance danger december delivery dentist desk dinner discount doctor door dragon dream east egg
energy engine english evening exit family farm february festival film fire flight flower forest france free friday
friend fruit future garden gas gold grammar green hair hammer harbor health history holiday hospital hotel hour house
ice insurance island january jazz july june juice kitchen lake lamp language laptop law lemon letter library light
london lunch machine magic map march market math may meeting menu metal milk minute monday money month moon morning
mountain museum music new news night north notice november ocean october office oil open orange order organic paint
paper paris park party password pasta payment pencil pepper phone photo physics piano pizza plan planet plant police
potato power price printer private public radio rain recipe red report rice river road room rose sale salad salt
saturday school science sea season september service ship shoes shop silver snow soap soccer soup south space spring
stamp station steel stop storm street sugar summer sun sunday system table taxi tea team temple tennis theater thursday
ticket tiger today tomato total tourist town train travel tree tuesday university vacation valley video village violin
visit wallet warning water weather website wednesday week welcome west wheel wind window wine winter wood work world
yellow yogurt zoo""".split()
LAYOUTS = ["page", "page", "page", "receipt", "table", "chart"]
FOLDER = "/usr/share/fonts/truetype"
FONTS = [os.path.join(FOLDER, f) for f in ("dejavu/DejaVuSans-Bold.ttf", "liberation/LiberationSans-Bold.ttf",
                                           "lato/Lato-Bold.ttf")]
HELD = 10


def draw_plan(rng):
    layout = rng.choice(LAYOUTS)
    count = {"page": rng.randint(3, 4), "receipt": 3, "table": 4, "chart": 4}[layout]
    return {"layout": layout, "words": rng.sample(WORDS, count),
            "numbers": [rng.randint(1, 99) for _ in range(count)]}


def held(plan):
    return is_held(" ".join(sorted(plan["words"])), HELD)


def draw(rng, want_held):
    while True:
        plan = draw_plan(rng)
        if held(plan) == want_held:
            return plan


def caption(plan, rng):
    """What it says, in order; at times with what it is."""
    words = list(plan["words"])
    said = " ".join(words)
    if plan["layout"] == "page":
        return rng.choice(("{}", "{}", "a page that says {}", "a sign: {}", "text: {}")).format(said)
    if plan["layout"] == "receipt":
        return rng.choice(("{}", "a receipt: {}", "a receipt for {}")).format(said)
    if plan["layout"] == "table":
        return rng.choice(("{}", "a table of {}", "a table: {}")).format(said)
    return rng.choice(("{}", "a chart of {}", "a bar chart: {}")).format(said)


_fonts = {}


def font(path, size):
    if (path, size) not in _fonts:
        _fonts[path, size] = ImageFont.truetype(path, size)
    return _fonts[path, size]


def fitted(path, text, width, size):
    """The font at `size`, or smaller so that the text is at most `width` wide."""
    while size > 9 and font(path, size).getlength(text) > width:
        size -= 1
    return font(path, size)


def render(plan, rng, varied=False):
    """-> uint8 [SIZE, SIZE, 3] and the words of its cells [16] (0 none, else 1 + WORDS' index)."""
    dark = varied and rng.random() < 0.2
    paper = tuple(rng.randint(0, 40) if dark else rng.randint(225, 255) for _ in range(3))
    ink = tuple(rng.randint(210, 255) if dark else rng.randint(0, 70) for _ in range(3))
    picture = Image.new("RGB", (SIZE, SIZE), paper)
    d, path = ImageDraw.Draw(picture), rng.choice(FONTS) if varied else FONTS[0]
    boxes = []

    def put(x, y, text, used, word=None):
        d.text((x, y), text, ink, font=used)
        if word:
            boxes.append((d.textbbox((x, y), word, font=used), word))

    words = list(plan["words"])
    widest = {"page": 120, "receipt": 84, "table": 90, "chart": 96}[plan["layout"]]
    left, top, size = rng.randint(4, 5), rng.randint(2, 3), 19
    if varied:
        left, top, size = rng.randint(3, 7), rng.randint(1, 4), rng.randint(18, 20)
        words = [w.title() for w in words] if rng.random() < 0.3 else words
    for i, w in enumerate(words):
        put(left, top + i * CELL, w, fitted(path, w, widest, size), w)
        number, y = plan["numbers"][i], i * CELL
        if plan["layout"] == "receipt":
            price = f"{number}.{rng.randint(0, 9)}0"
            put(125 - font(path, 12).getlength(price), y + 8, price, font(path, 12))
        elif plan["layout"] == "table":
            d.rectangle((1, y, 126, y + CELL - 1), outline=ink)
            put(101, y + 8, str(number), font(path, 14))
        elif plan["layout"] == "chart":
            colour = tuple(rng.randint(30, 220) for _ in range(3))
            d.rectangle((4, y + 26, 4 + number * 1.2, y + 30), colour)
    if plan["layout"] == "receipt":
        d.line((3, 98, 125, 98), ink)
        total = f"{sum(plan['numbers'])}.00"
        put(125 - font(path, 14).getlength(total), 104, total, font(path, 14))
    cover = np.zeros((len(words), SIZE // CELL, SIZE // CELL))
    for i, ((x0, y0, x1, y1), _) in enumerate(boxes):
        mask = np.zeros((SIZE, SIZE))
        mask[max(0, int(y0)):int(y1) + 1, max(0, int(x0)):int(x1) + 1] = 1
        cover[i] = mask.reshape(SIZE // CELL, CELL, SIZE // CELL, CELL).sum((1, 3))
    seen = cover.max(0).ravel() > CELL * CELL * 0.12
    labels = np.array([1 + WORDS.index(w) for w in plan["words"]])[cover.argmax(0).ravel()] * seen
    return np.asarray(picture), labels.astype(np.uint16)
