#!/usr/bin/env python3
"""Hugging Face `tokenizers` beside qvec, one thread each, the same texts in turns in one run, and the same ids.

    make bench-peers          or: PYTHON bench/peers/hf_tokenizers.py --build build [--rounds 7]
                                  PYTHON: of a venv with bench/peers/requirements.txt

Both are called once for each text, qvec through its public C function with ctypes, and hand out ids; neither sees a text
twice in a round. Prints megabytes a second of UTF-8 and the peer's time over qvec's.
"""
import argparse
import ctypes
import os
import random
import statistics
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers  # noqa: E402  it reads the environment while it is imported

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LANGUAGES = ("en", "de", "fr", "es", "pt", "it", "nl", "pl", "cs", "tr", "ru", "uk", "el", "ar", "he", "fa", "hi", "bn", "ta", "th", "vi",
             "id", "sw", "zh", "ja", "ko")


def names_of(language):
    """Words as people write them: what a language calls languages, territories, currencies, months and days."""
    import babel
    found = babel.Locale.parse(language)
    words = [*found.languages.values(), *found.territories.values(), *(str(name) for name in found.currencies.values())]
    return words + [*found.months["format"]["wide"].values(), *found.days["format"]["wide"].values()]


def multilingual(count, chance):
    """Texts of 50 to 1,500 characters; each stays mostly in one language, as documents do."""
    words = {language: names_of(language) for language in LANGUAGES}
    texts = []
    for _ in range(count):
        language, text, length = chance.choice(LANGUAGES), [], chance.randint(50, 1500)
        while sum(map(len, text)) < length:
            other = chance.choice(LANGUAGES) if chance.random() < 0.05 else language
            text.append(chance.choice(words[other]) + chance.choice((" ", " ", " ", ", ", ". ", ".\n", " 2026 ", "(", ") ")))
        texts.append("".join(text))
    return texts


def pieces(paths, chance):
    """This project's own files in pieces of 200 to 3,000 characters."""
    texts = []
    for path in paths:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        at = 0
        while at < len(text):
            size = chance.randint(200, 3000)
            texts.append(text[at:at + size])
            at += size
    return texts


def files_below(folder, end):
    return sorted(os.path.join(where, name) for where, _, names in os.walk(os.path.join(ROOT, folder)) for name in names if name.endswith(end))


class Qvec:
    """The public tokenizer of the shared library."""

    def __init__(self, build, folder):
        self.native = ctypes.CDLL(os.path.join(build, "src", "libqvec.so"))
        self.native.qv_model_tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_bool, ctypes.c_void_p,
                                                   ctypes.c_void_p, ctypes.c_void_p]
        self.native.qv_tokens_free.argtypes = [ctypes.c_void_p]
        self.model = ctypes.c_void_p()
        options = (ctypes.c_char_p * 64)(b"dummy")  # load_format is the first of qv_model_options; the rest are defaults
        if self.native.qv_model_open(os.fsencode(folder), ctypes.byref(options), ctypes.byref(self.model), None):
            raise SystemExit(f"cannot open {folder}")

    def encode(self, text):
        """(ids as a C array, how many); freed by the caller."""
        ids, count = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t()
        if self.native.qv_model_tokenize(self.model, text, len(text), False, ctypes.byref(ids), ctypes.byref(count), None):
            raise SystemExit("qvec refused a text")
        return ids, count.value

    def ids(self, text):
        ids, count = self.encode(text)
        found = ids[:count]
        self.native.qv_tokens_free(ids)
        return found

    def run(self, texts):
        free = self.native.qv_tokens_free
        for text in texts:
            free(self.encode(text)[0])


def seconds_of(work, texts):
    start = time.perf_counter()
    work(texts)
    return time.perf_counter() - start


def compare(name, texts, qvec, peer, rounds):
    raw = [text.encode() for text in texts]
    for text, utf8 in zip(texts, raw):
        if qvec.ids(utf8) != peer.encode(text, add_special_tokens=False).ids:
            raise SystemExit(f"{name}: the ids differ for {text!r}")

    def run_peer(batch):
        for text in batch:
            peer.encode(text, add_special_tokens=False)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(seconds_of(qvec.run, raw))
        theirs.append(seconds_of(run_peer, texts))
    size = sum(map(len, raw)) / 1e6
    ratio = statistics.median(t / o for o, t in zip(ours, theirs))
    print(f"{name:16} {len(texts):6} texts {size:6.2f} MB   qvec {size / statistics.median(ours):6.2f} MB/s"
          f"   tokenizers {size / statistics.median(theirs):6.2f} MB/s   {ratio:5.2f} times", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    folder = os.path.join(build, "tests", "checkpoints", "tiny-embedding")
    qvec, peer, chance = Qvec(build, folder), tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json")), random.Random(1)
    print(f"tokenizers {tokenizers.__version__}, one thread")
    compare("many languages", multilingual(3000, chance), qvec, peer, options.rounds)
    compare("English prose", pieces(files_below("docs", ".md"), chance), qvec, peer, options.rounds)
    compare("C code", pieces(files_below("src", ".c"), chance), qvec, peer, options.rounds)


if __name__ == "__main__":
    main()
