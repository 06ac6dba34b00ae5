"""What the examples index: the pictures and Markdown files of a folder, Markdown by sections."""
import re
from pathlib import Path
from typing import Any, Iterator, NamedTuple

PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


class Entry(NamedTuple):
    name: str  # "notes.md#2", "beach.jpg"
    item: Any  # as Embedder and Reranker take it: a text, or a Path
    text: str  # what to show; a picture's file name


def sections(text: str) -> Iterator[str]:
    """From heading to heading, the bare headings with what follows them."""
    for section in re.split(r"\n(?=#+ )", "\n" + text):
        if section.strip():
            yield section.strip()


def entries(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix.lower() in PICTURES:
            yield Entry(name, path, name)
        elif path.suffix.lower() == ".md":
            for i, section in enumerate(sections(path.read_text(encoding="utf-8"))):
                yield Entry(f"{name}#{i}", section, section)
