"""What every step shares: where things lie, how the held-out part is chosen, the fixed texts of the prompts."""
import hashlib
import os
import re

SEED = 20240
HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get("MINI_CACHE", os.path.join(HERE, "..", "..", "..", "build", "mini"))
STAMPS = os.environ.get("MINI_STAMPS", "/usr/share/tuxpaint/stamps")
CLIPART = os.environ.get("MINI_CLIPART", "/usr/share/openclipart/png")
EMOJI_FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
WORDNET = "/usr/share/wordnet"
CLDR = "/usr/share/unicode/cldr/common"

INSTRUCTION = "Represent the user's input."
RERANK_INSTRUCTION = "Given a search query, retrieve relevant candidates that answer the query."
RERANK_SYSTEM = ('Judge whether the Document meets the requirements based on the Query and the Instruct provided. '
                 'Note that the answer can only be "yes" or "no".')

# Sentences of the published guide; measure (f) is made of them and nothing else may contain them.
GUIDE_QUERIES = ["What is the capital of China?", "Explain gravity"]
GUIDE_DOCUMENTS = ["The capital of China is Beijing.",
                   "Gravity is a force that attracts two bodies towards each other. It gives weight to physical "
                   "objects and is responsible for the movement of planets around the sun."]
GUIDE_MARKS = ("capital of china", "explain gravity", "gravity is a force that attracts", "movement of planets around")


def cache(name):
    """A file of the cache, whose folder is made when it is not there."""
    os.makedirs(CACHE, exist_ok=True)
    return os.path.join(CACHE, name)


def is_held(key, one_in):
    """Whether the thing called `key` is held out: one in `one_in` by its hash, on every machine the same."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % one_in == 0


def is_guide(text):
    return any(mark in text.lower() for mark in GUIDE_MARKS)


COLOURS = "black white red green blue yellow orange purple pink brown grey gray silver gold".split()
_DROPPED = set(COLOURS) | set("""the a an of with and in on at to for from flag medium light dark skin tone man woman
person men women people boy girl male female left right small big large old new button sign facing""".split())


def group_key(name):
    """Names that differ in colour, number, gender, skin tone or order of words share a key: they are one thing drawn in
    several forms, and all its forms fall on one side of the split."""
    words = re.findall(r"[^\W\d_]+", name.lower().split(": medium")[0])
    words = [w[:-1] if len(w) > 3 and w.endswith("s") else w for w in words if w not in _DROPPED]
    return " ".join(sorted(set(words))) or name.lower()
