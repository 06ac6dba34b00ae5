#!/usr/bin/env python3
"""A short session with the program just built, as `make run` shows it: texts to vectors, which passage answers which
question, the same from the reranker, and pictures found by a sentence.

    tools/session.py [BUILD [SENTENCE]]

SENTENCE is what the pictures are searched by. Each step is one qvec command; what is printed is made of its answers, which are JSON.
"""
import glob
import json
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
QUESTIONS = ["What is the capital of China?", "Explain gravity"]
PASSAGES = ["The capital of China is Beijing.",
            "Gravity is a force that attracts two bodies towards each other. It gives weight to physical objects and is "
            "responsible for the movement of planets around the sun."]
SENTENCE = "two whales left of a boat"
BAR = 24

COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(text, *codes):
    return f"\033[{';'.join(codes)}m{text}\033[0m" if COLOURS else text


def best(text, is_best):
    return paint(text, "1", "32") if is_best else text


def short(text, most):
    return text if len(text) <= most else text[:most - 2].rstrip() + " …"


def part(title, shown=""):
    print("\n" + paint(title, "1"))
    if shown:
        print(paint("$ qvec " + shown, "2"))


def qvec(*arguments):
    """A command's answers."""
    done = subprocess.run([QVEC, *arguments], stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return [json.loads(line) for line in done.stdout.splitlines()]


def flags(name, values):
    return [word for value in values for word in (name, value)]


def cosine(a, b):
    """Of two vectors of unit length."""
    return sum(x * y for x, y in zip(a, b))


def show_vectors():
    texts = QUESTIONS + PASSAGES
    part("Four texts become vectors", " ".join(["embed", *(f'--text "{short(t, 22)}"' for t in texts)]))
    vectors = [answer["embedding"] for answer in qvec("embed", *flags("--text", texts))]
    for text, v in zip(texts, vectors):
        print(f"  {short(text, 34):34}  {v[0]:+.4f} {v[1]:+.4f} {v[2]:+.4f} … {v[-1]:+.4f}   {len(v)} values")
    return vectors[:2], vectors[2:]


def show_matrix(questions, passages):
    part("Which passage answers which question: the cosines of those vectors")
    print(f"  {'':34}" + "".join(f"{short(p, 22):>26}" for p in PASSAGES))
    for text, question in zip(QUESTIONS, questions):
        row = [cosine(question, passage) for passage in passages]
        print(f"  {text:34}" + "".join(best(f"{c:26.3f}", c == max(row)) for c in row))


def show_reranked():
    part("The reranker reads a question and its passages together",
         f'rerank --query "{QUESTIONS[1]}"' + "".join(f' --document "{short(p, 22)}"' for p in PASSAGES))
    answer = qvec("rerank", "--query", QUESTIONS[1], *flags("--document", PASSAGES))[0]
    for place, i in enumerate(answer["order"]):
        print(best(f"  {answer['scores'][i]:.3f}  {short(PASSAGES[i], 66)}", place == 0))


def show_pictures(sentence):
    pictures = sorted(os.path.relpath(p, ROOT) for p in glob.glob(os.path.join(ROOT, "examples", "pictures", "*.png")))
    part(f"{len(pictures)} pictures, found by a sentence", f'embed --text "{sentence}" --image examples/pictures/…')
    wanted, *found = (a["embedding"] for a in qvec("embed", "--text", sentence, *flags("--image", pictures)))
    ranked = sorted(((cosine(wanted, v), p) for v, p in zip(found, pictures)), reverse=True)
    for place, (score, picture) in enumerate(ranked, 1):
        bar = "█" * round(BAR * max(0.0, score))
        print(best(f"  {place:2}  {score:+.3f}  {bar:{BAR}}  {picture}", place == 1))


def main(sentence):
    start = time.monotonic()
    show_matrix(*show_vectors())
    show_reranked()
    show_pictures(sentence)
    print(f"\nThat took {time.monotonic() - start:.1f} s, offline, with the small models that come along. Next:\n")
    shown = os.path.relpath(QVEC, ROOT)
    for command, why in ((f'{shown} embed --text "a train" --image examples/pictures/train-tree.png', "two vectors as JSON Lines"),
                         (f"{shown} serve", "a page at http://localhost:8000, and the API"),
                         (f"{shown} verify", "this build gives the reference's numbers")):
        print(f"  {command:78}  {paint(why, '2')}")


if __name__ == "__main__":
    arguments = sys.argv[1:] + ["build", SENTENCE][len(sys.argv) - 1:]
    QVEC = os.path.join(ROOT, arguments[0], "qvec")
    main(arguments[1])
