"""Random strings of every kind of Unicode against the Hugging Face `tokenizers` package (tests/requirements.txt).

The seed is printed; QVEC_TEST_SEED sets it, QVEC_TEST_STRINGS the number of random strings (20,000).
"""
import json
import os
import random

import pytest

import harness

tokenizers = pytest.importorskip("tokenizers")

BLOCKS = [(0x00, 0x7F), (0x80, 0x24F), (0x250, 0x36F), (0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF), (0x700, 0x8FF),
          (0x900, 0xDFF), (0xE00, 0x109F), (0x1100, 0x11FF), (0x1200, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x2FFF),
          (0x3000, 0x30FF), (0x3400, 0x9FFF), (0xA000, 0xABFF), (0xAC00, 0xD7FF), (0xF900, 0xFAFF), (0xFB00, 0xFFFF),
          (0x10000, 0x11FFF), (0x12000, 0x1FFFF), (0x1F000, 0x1FAFF), (0x20000, 0x323AF), (0xE0000, 0xE01EF), (0, 0x10FFFF)]
MARKS = [0x300, 0x301, 0x302, 0x308, 0x323, 0x327, 0x345, 0x93C, 0x11A7, 0x11A8, 0x1161, 0x5B0, 0x64B, 0x653, 0x3099,
         0x1DCE, 0x1DF6, 0x1DF9, 0x8D3, 0xC3C]
SPACES = " \t\n\r\x0b\x0c\x85\xa0\u2028\u3000\u180e\u200b\ufeff\x1c  \n"


@pytest.fixture(scope="module")
def reference():
    return tokenizers.Tokenizer.from_file(os.path.join(harness.folder("tiny"), "tokenizer.json"))


def compare(reference, strings):
    lines = "".join(json.dumps({"text": s}) + "\n" for s in strings)
    ours = [json.loads(line)["ids"] for line in
            harness.run(["tokenize", harness.folder("tiny"), "--prompt", "none", "-"], lines).splitlines()]
    theirs = [e.ids for e in reference.encode_batch(strings, add_special_tokens=False)]
    assert len(ours) == len(theirs)
    wrong = [(s, a, b) for s, a, b in zip(strings, ours, theirs) if a != b]
    assert not wrong, f"{len(wrong)} of {len(strings)} differ, first: {ascii(wrong[0])}"


def characters(rng, count):
    low, high = rng.choice(BLOCKS)
    codes = (rng.randint(low, high) for _ in range(count))
    return "".join(chr(c) for c in codes if not 0xD800 <= c < 0xE000)


def random_string(rng, added, words):
    kinds = [lambda: characters(rng, rng.randint(1, 8)),
             lambda: rng.choice(words),
             lambda: rng.choice(added),
             lambda: (lambda a: a[:rng.randint(1, len(a))])(rng.choice(added)),
             lambda: "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 5))),
             lambda: rng.choice("'\u02bc\u2019") + rng.choice(["s", "S", "\u017f", "t", "re", "RE", "ve", "ll", "l\u017f", "d", "M"]),
             lambda: rng.choice("aeou\u0915\ud55c\uac01\u03a9\u212b") + "".join(chr(rng.choice(MARKS)) for _ in range(rng.randint(1, 20))),
             lambda: "".join(rng.choice("0123456789.,\u0663\xb2\u2167") for _ in range(rng.randint(1, 8)))]
    pieces = rng.choices(kinds, weights=[35, 20, 7, 4, 14, 8, 7, 8], k=rng.choice([1, 2, 3, 5, 8, 13]))
    return "".join(piece() + (" " if rng.random() < 0.3 else "") for piece in pieces)


def test_random_strings(reference):
    seed = int(os.environ.get("QVEC_TEST_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    rng = random.Random(seed)
    words = [w for text, _ in harness.stored("tokenizer") for w in text.split(" ") if w]
    with open(os.path.join(harness.folder("tiny"), "tokenizer.json"), encoding="utf-8") as f:
        added = [a["content"] for a in json.load(f)["added_tokens"]]
    count = int(os.environ.get("QVEC_TEST_STRINGS", 20000))
    compare(reference, [random_string(rng, added, words) for _ in range(count)])


def test_every_character(reference):
    """Each code point behind a letter, a space, a mark, and in front of a digit."""
    codes = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    compare(reference, ["".join(f"a{chr(c)} b{chr(c)}x\u0323{chr(c)}\u03011" for c in codes[i:i + 16])
                        for i in range(0, len(codes), 16)])
