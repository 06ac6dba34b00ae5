"""The texts: glossary entries, package descriptions, names of emoji in many languages, questions made by templates.

    data_text.py        writes texts.jsonl and pairs.jsonl into the cache

texts.jsonl: {"text", "target", "kind", "held"}; `target` is the English text whose teacher vector the text should have
(itself, but for translations). pairs.jsonl: {"query", "document", "group", "kind", "held"}; pairs of one group answer
each other and are never each other's negatives.
"""
import json
import os
import random
import re
import subprocess
import xml.etree.ElementTree as xml

from common import CLDR, SEED, WORDNET, cache, group_key, is_guide, is_held

LANGUAGES = "fr de es it pt nl pl sv ru tr id zh ja ko ar hi".split()
TEXT_HELD, PICTURE_HELD = 40, 12  # one in so many
LONGEST = 240                     # characters


def synsets():
    """(part of speech, terms, gloss, examples), in the files' order."""
    for part in ("noun", "verb", "adj", "adv"):
        with open(os.path.join(WORDNET, "data." + part), encoding="latin-1") as f:
            for line in f:
                if line.startswith("  "):
                    continue
                head, _, gloss = line.partition(" | ")
                fields = head.split()
                count = int(fields[3], 16)
                terms = [re.sub(r"\(\w+\)$", "", fields[4 + 2 * i]).replace("_", " ") for i in range(count)]
                examples = [e for e in re.findall(r'"([^"]{12,160})"', gloss)]
                yield part, terms, re.split(r';? *"', gloss.strip())[0].strip(" ;"), examples


def packages():
    """(name, synopsis, first sentence of the long description) of Debian's packages, families such as lib*-dev once."""
    out = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    seen = set()
    for block in out.split("\n\n"):
        name = re.search(r"^Package: (\S+)", block, re.M)
        text = re.search(r"^Description(?:-en)?: (.+)((?:\n .*)*)", block, re.M)
        if not name or not text:
            continue
        synopsis = re.sub(r"\s*[-(]+\s*(documentation|development|debug|header|common|shared|data|runtime).*$", "",
                          text.group(1)).strip()
        if synopsis.lower() in seen or len(synopsis) < 12:
            continue
        seen.add(synopsis.lower())
        body = " ".join(x.strip() for x in text.group(2).split("\n . ")[0].split("\n .\n")[0].split("\n")).strip()
        yield name.group(1), synopsis, re.split(r"(?<=[a-z)]\.)\s", body)[0] if body else ""


def annotations(language):
    """{emoji: (name, [keywords])} of one language."""
    out = {}
    for folder in ("annotations", "annotationsDerived"):
        path = os.path.join(CLDR, folder, language + ".xml")
        if not os.path.exists(path):
            continue
        for node in xml.parse(path).iter("annotation"):
            glyph = node.get("cp").replace("\ufe0f", "")
            name, words = out.get(glyph, (None, []))
            if node.get("type") == "tts":
                name = node.text
            else:
                words = [w.strip() for w in node.text.split("|")]
            out[glyph] = (name, words)
    return {g: v for g, v in out.items() if v[0] and v[0] != "↑↑↑"}


def is_pictograph(glyph):
    return any(ord(c) >= 0x1F000 or 0x2600 <= ord(c) <= 0x27BF or 0x2B05 <= ord(c) <= 0x2B55 for c in glyph)


QUESTIONS = {"noun": ["What is {}?", "what is {}", "Explain {}", "define {}", "{}", "meaning of {}", "Tell me about {}",
                      "What does {} mean?", "Describe {}", "Who or what is {}?"],
             "verb": ["what does it mean to {}?", "{}", "to {}", "meaning of {}", "define {}"],
             "adj": ["what does {} mean?", "{}", "meaning of {}"], "adv": ["what does {} mean?", "{}"]}
STATEMENTS = ["{term} is {gloss}.", "{gloss}", "{term}: {gloss}", "{Term} means {gloss}."]


def capital_pairs():
    """Countries and their capitals, read out of the glossary: "... Paris | the capital and largest city of France"."""
    asked = ["What is the capital of {}?", "capital of {}", "Which city is the capital of {}?",
             "the capital city of {}", "What city is the seat of government of {}?"]
    said = ["The capital of {1} is {0}.", "{0} is the capital of {1}.", "{1}'s capital city is {0}.",
            "{0}, capital and seat of government of {1}"]
    for _, terms, gloss, _ in synsets():
        m = re.match(r"(?:the )?(?:national )?capital[^;]*? of (?:the )?([A-Z][\w' -]+?)(?: in | on |;|,|$)", gloss)
        if m and not is_guide("capital of " + m.group(1)) and "China" not in m.group(1):
            city, country = terms[0], m.group(1).strip()
            for q in asked:
                for s in said:
                    yield q.format(country), s.format(city, country), "capital " + country


def text_row(text, target, kind, held):
    return {"text": text[:LONGEST], "target": target[:LONGEST], "kind": kind, "held": held}


def glossary(texts, pairs, rng):
    for part, terms, gloss, examples in synsets():
        if len(gloss) < 8 or is_guide(gloss):
            continue
        held = is_held(gloss, TEXT_HELD)
        texts.append(text_row(gloss, gloss, "gloss", held))
        for e in examples[:2]:
            if not is_guide(e):
                texts.append(text_row(e, e, "example", held))
        for term in terms[:2]:
            if rng.random() < 0.35:
                texts.append(text_row(term, term, "term", held))
            question = rng.choice(QUESTIONS[part]).format(term)
            if is_guide(question) or is_guide(term + gloss):
                continue
            statement = rng.choice(STATEMENTS).format(term=term, Term=term[:1].upper() + term[1:], gloss=gloss)
            pairs.append({"query": question, "document": statement, "group": gloss, "kind": part, "held": held})


def emoji_names(texts, english):
    for language in ["en"] + LANGUAGES:
        for glyph, (name, words) in annotations(language).items():
            if glyph not in english or not is_pictograph(glyph) or "skin tone" in english[glyph][0]:
                continue
            target = english[glyph][0]
            held = is_held(group_key(target), PICTURE_HELD)
            texts.append(text_row(name, target, "emoji-" + language, held))
            if words and language == "en":
                texts.append(text_row(", ".join(words), ", ".join(words), "keywords-en", held))


def build():
    rng = random.Random(SEED)
    texts, pairs = [], []
    glossary(texts, pairs, rng)
    for name, synopsis, sentence in packages():
        held = is_held(synopsis, TEXT_HELD)
        texts.append(text_row(synopsis, synopsis, "package", held))
        if 20 < len(sentence) <= LONGEST:
            texts.append(text_row(sentence, sentence, "description", held))
            pairs.append({"query": rng.choice([name, synopsis]), "document": sentence, "group": synopsis,
                          "kind": "package", "held": held})
    emoji_names(texts, annotations("en"))
    for query, document, group in capital_pairs():
        held = is_held(group, TEXT_HELD)
        pairs.append({"query": query, "document": document, "group": group, "kind": "capital", "held": held})
    return texts, pairs


def write(name, rows):
    with open(cache(name), "w", encoding="utf-8") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


def read(name):
    with open(cache(name), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


if __name__ == "__main__":
    rows, couples = build()
    write("texts.jsonl", rows)
    write("pairs.jsonl", couples)
    kinds = {}
    for row in rows:
        kinds[row["kind"]] = kinds.get(row["kind"], 0) + 1
    print(kinds, len({row["target"] for row in rows}), "targets", len(couples), "pairs")
