#!/usr/bin/env python3
"""Checks on the source tree itself: which folder may include which, where an outside library's headers may appear,
file sizes, and that the files and folders which docs/TOUR.md names exist. Prints one line per problem."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SRC = os.path.join(ROOT, "src")

# The house has one direction: each folder may include from itself and from those named here.
MAY_INCLUDE = {
    "base": {"qvec"},
    "store": {"base", "qvec"},
    "kernels": {"base", "qvec"},
    "backend": {"kernels", "store", "base", "qvec"},
    "model": {"backend", "kernels/half.h", "store", "base", "qvec"},
    "text": {"store", "base", "qvec"},
    "media": {"base", "qvec"},
    "prep": {"text", "kernels", "store", "base", "qvec", "model/sequence.h"},
    "engine": {"model", "backend", "base", "qvec"},
    "lib": {"engine", "media", "prep", "text", "model", "backend", "kernels/tier.h", "store", "base", "qvec"},
    "fetch": {"base", "qvec"},
    "api": {"fetch/fetch.h", "lib", "engine", "media", "prep", "text", "store", "base", "qvec"},
    "http": {"api", "base", "qvec"},
    "bench": {"api/write.h", "text", "media", "base", "qvec"},
    "cli": {"bench", "http", "fetch", "api", "lib", "engine", "media", "prep", "text", "model/network.h", "kernels/tier.h", "store", "base", "qvec"},
}
# Outside libraries and the folders that may know them.
LIBRARIES = {
    r"jpeglib\.h|jerror\.h|png\.h|webp/.*|tiff(io)?\.h|libav.*|libsw.*": {"media"},
    r"microhttpd\.h": {"http"},
    r"gnutls/.*": {"http", "bench"},
    r"curl/.*": {"fetch", "cli"},
    r"pcre2\.h": {"text"},
    r"utf8proc\.h": {"text", "prep"},
    r"nettle/.*": {"base"},
    r"jansson\.h": {"store", "text", "api", "bench", "cli"},
    r"(imm|x86|avx|arm_neon).*\.h|cpuid\.h": {"kernels"},
}
LINES_MAX = 600


def sources(folder=SRC):
    for where, _, files in sorted(os.walk(folder)):
        for name in sorted(files):
            if name.endswith((".c", ".h")):
                yield os.path.join(where, name)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def allowed(folder, included):
    top = included.split("/")[0]
    return top == folder or top in MAY_INCLUDE[folder] or included in MAY_INCLUDE[folder]


def check_includes():
    """Dependencies point one way, and outside libraries stay in their folder."""
    for path in sources():
        relative = os.path.relpath(path, SRC)
        folder = relative.split(os.sep)[0]
        if folder not in MAY_INCLUDE:
            yield f"src/{relative}: tools/check_tree.py does not know the folder {folder}"
            continue
        for kind, included in re.findall(r'^\s*#\s*include\s*(["<])([^">]+)', read(path), re.MULTILINE):
            if kind == '"' and not allowed(folder, included):
                yield f"src/{relative}: {folder} may not include {included}"
            for pattern, folders in LIBRARIES.items():
                if kind == "<" and re.fullmatch(pattern, included) and folder not in folders:
                    yield f"src/{relative}: <{included}> belongs to {', '.join(sorted(folders))}"


def check_library_is_quiet():
    """Nothing in the library prints, exits or aborts; only cli and http's main thread may."""
    for path in sources():
        relative = os.path.relpath(path, SRC)
        if relative.split(os.sep)[0] == "cli":
            continue
        code = re.sub(r'//[^\n]*|/\*.*?\*/|"(\\.|[^"\\])*"', "", read(path), flags=re.DOTALL)
        for call in re.findall(r"(?<![\w.>])(printf|puts|putchar|perror|exit|_exit|abort|assert)\s*\(", code):
            yield f"src/{relative}: calls {call}()"


def check_sizes():
    for folder in ("src", "include", "tests", "bench", "examples"):
        for path in sources(os.path.join(ROOT, folder)):
            count = read(path).count("\n")
            if count > LINES_MAX:
                yield f"{os.path.relpath(path, ROOT)}: {count} lines, at most {LINES_MAX}"


def check_documents():
    """Every `path/name.ext` and `folder/` in backquotes that starts with a folder of the tree exists."""
    tops = {name for name in os.listdir(ROOT) if os.path.isdir(os.path.join(ROOT, name)) and not name.startswith(("build", "."))}
    tops |= {name for name in os.listdir(SRC) if os.path.isdir(os.path.join(SRC, name))}
    documents = ["README.md", "docs/OPERATIONS.md", "CONTRIBUTING.md", "docs/TOUR.md", "docs/MODEL.md", "docs/SPEED.md", "docs/DECISIONS.md", "docs/QUANTIZATION.md"]
    for document in documents:
        path = os.path.join(ROOT, document)
        if not os.path.exists(path):
            continue
        for name in re.findall(r"`([\w./-]+/[\w./-]*)`", read(path)):
            if name.split("/")[0] not in tops or "NAME" in name or name.startswith("build/"):
                continue
            if not any(os.path.exists(os.path.join(base, name)) for base in (ROOT, SRC)):
                yield f"{document} names {name}, which does not exist"


CHECKS = {
    "include directions": check_includes,
    "the library prints and exits nowhere": check_library_is_quiet,
    "file sizes": check_sizes,
    "files named in the documents": check_documents,
}


def main():
    problems = [problem for check in CHECKS.values() for problem in check()]
    print("\n".join(problems) or "the tree is in order")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
