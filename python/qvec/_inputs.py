"""What users hand in, as `qv_input`s.

An item is a text (`str`), a picture (`Path`, `PIL.Image`, uint8 array, `bytes` of a file), a video (`Path` with a
video's suffix), or a mapping of "text", "image" and "video" (one or a list of each) and of wishes of its own.
"""
from __future__ import annotations

import ctypes
import difflib
import numbers
import operator
import os
import re
import warnings
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence, Union

import numpy as np

from . import _native, _pixels
from ._errors import InvalidInput

Item = Union[str, bytes, "os.PathLike[str]", Mapping[str, Any], Any]

VIDEO_SUFFIXES = frozenset((".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"))
_LOOKS_LIKE_MEDIA = re.compile(r"data:(image|video)/[\w.+-]+;base64,|https?://\S+\.(jpe?g|png|webp|gif|bmp|tiff?|mp4|webm|mkv)$",
                               re.IGNORECASE)
_PROMPTS = {"official": _native.OFFICIAL, "raw": _native.RAW}
_CONTENT = ("text", "image", "video", "tokens", "parts")
_PART_SIZE = ctypes.sizeof(_native.Part)


@dataclass(frozen=True)
class Wishes:
    """How an input is embedded; the fields of `qv_input`, None or 0: the library's default."""
    prompt: str = "official"
    instruction: str | None = None
    dimensions: int | None = None
    max_length: int | None = None
    normalize: bool = True
    special_tokens: bool = True
    min_pixels: int | None = None
    max_pixels: int | None = None
    apply_orientation: bool = False
    fps: float | None = None
    max_frames: int | None = None

    @cached_property
    def native(self) -> _native.Input:
        """As a `qv_input` without parts, to copy. Checked: ctypes would cut a number that is too large."""
        prompt = _PROMPTS.get(self.prompt)
        if prompt is None:
            raise InvalidInput(f'prompt is {self.prompt!r}; it must be "official" or "raw"')
        instruction = None if self.instruction is None else encode_name("instruction", self.instruction)
        return _native.Input(None, 1, prompt, instruction, self._whole("dimensions", 31),
                             self._whole("max_length", 63), not self.normalize, not self.special_tokens,
                             self._whole("min_pixels", 63), self._whole("max_pixels", 63),
                             bool(self.apply_orientation), self._fps(), self._whole("max_frames", 31))

    def _whole(self, name: str, bits: int) -> int:
        value = getattr(self, name)
        if value is None:
            return 0
        try:
            number = operator.index(value)
        except TypeError:
            raise InvalidInput(f"{name} is {_kind(value)}; it must be a whole number") from None
        if abs(number) >> bits:
            raise InvalidInput(f"{name} is {number}; it must be below 2^{bits}")
        return number

    def _fps(self) -> float:
        if self.fps is not None and not isinstance(self.fps, numbers.Real):
            raise InvalidInput(f"fps is {_kind(self.fps)}; it must be a number")
        return float(self.fps or 0)


_WISHES = frozenset(field.name for field in fields(Wishes))


def encode_text(text: str) -> bytes:
    """UTF-8; lone surrogates become bytes that the library refuses by name."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=64, typed=True)
def wishes(*values: Any) -> Wishes:
    """Wishes by place, made and checked once for the calls that are alike."""
    return Wishes(*values)


def encode_name(what: str, text: str) -> bytes:
    """A string that ends at its NUL in C."""
    if "\0" in text:
        raise InvalidInput(f"the {what} holds a NUL character")
    return encode_text(text)


class Batch:
    """Inputs of one call. Owns everything that the structures point to."""

    __slots__ = ("_kept", "_memory", "_parts", "_rows", "_wishes", "count", "dimensions", "inputs")

    def __init__(self, items: Iterable[Item], wishes: Wishes) -> None:
        self._parts: list[_native.Part] = []
        self._kept: list[object] = []
        self._rows: list[tuple[int, int, _native.Input]] = []  # an input's first part, its parts, its wishes
        self._wishes = wishes
        self.dimensions = {wishes.dimensions}
        if type(items) is list and len(items) == 1 and type(items[0]) is str:
            self._only_text(items[0])
        else:
            self._add_items(items)

    def _only_text(self, text: str) -> None:
        """One text, the commonest call."""
        self._add_text(text)
        self.count = 1
        self.inputs: Any = _native.Input.from_buffer_copy(self._wishes.native)
        self.inputs.parts = ctypes.addressof(self._parts[0])

    def _add_items(self, items: Iterable[Item]) -> None:
        sizes: set[int | None] = set()
        for index, item in enumerate(items):
            first, own = len(self._parts), self._wishes
            try:
                if type(item) is str:
                    self._add_text(item)
                else:
                    own = self._add_item(item)
                self._rows.append((first, len(self._parts) - first, own.native))
            except InvalidInput as e:
                raise InvalidInput(f"input {index}: {e}", e.status, index, {index: str(e)}) from None
            sizes.add(own.dimensions)
        self.count, self.dimensions = len(self._rows), sizes or self.dimensions
        self._memory = (_native.Part * max(1, len(self._parts)))(*self._parts)
        base = ctypes.addressof(self._memory)
        self.inputs = (_native.Input * max(1, self.count))(*[native for _, _, native in self._rows])
        for one, (first, count, _) in zip(self.inputs, self._rows):
            one.parts, one.part_count = base + first * _PART_SIZE, count

    # ---- one item

    def _add_item(self, item: Item) -> Wishes:
        if isinstance(item, str):
            self._add_text(item)
        elif isinstance(item, Mapping):
            return self._add_mapping(item)
        elif isinstance(item, os.PathLike) and Path(item).suffix.lower() in VIDEO_SUFFIXES:
            self._add_video(item)
        else:
            self._add_image(item, self._wishes)
        return self._wishes

    def _add_mapping(self, item: Mapping[str, Any]) -> Wishes:
        own = self._wishes
        given = {name: value for name, value in item.items() if name not in _CONTENT}
        for name in given:
            if name not in _WISHES:
                near = difflib.get_close_matches(str(name), [*_CONTENT, *_WISHES], 1)
                raise InvalidInput(f"unknown key {name!r}" + (f"; is {near[0]!r} meant?" if near else ""))
        if given:
            own = replace(own, **given)
        for video in _videos(item.get("video")):
            self._add_video(video, own)
        for image in _list(item.get("image")):
            self._add_image(image, own)
        for text in _list(item.get("text")):
            if not isinstance(text, str):
                raise InvalidInput(f"text is {_kind(text)}; it must be a string")
            self._add_text(text)
        if item.get("tokens") is not None:
            self._add_tokens(item["tokens"])
        for kind, value in item.get("parts") or ():
            self._add_part(kind, value, own)
        return own

    def _add_part(self, kind: str, value: Any, own: Wishes) -> None:
        """Of "parts": content in an order of its own, as ("text" | "image" | "video", value) pairs."""
        if kind == "text":
            self._add_text(value)
        elif kind == "image":
            self._add_image(value, own)
        elif kind == "video":
            self._add_video(value, own)
        else:
            raise InvalidInput(f"a part of kind {kind!r}; it must be text, image or video")

    # ---- parts

    def _add(self, kind: int, data: bytes | int, size: int) -> None:
        self._parts.append(_native.Part(kind, data, size))

    def _add_text(self, text: str) -> None:
        if text.startswith(("data:", "http", "DATA:", "HTTP")) and _LOOKS_LIKE_MEDIA.match(text):
            warnings.warn(f"the text {text[:60]!r} is embedded as text; hand pictures in as {{'image': ...}}", stacklevel=5)
        data = encode_text(text)
        self._add(_native.TEXT, data, len(data))

    def _add_tokens(self, tokens: Iterable[int]) -> None:
        ids = np.ascontiguousarray(np.asarray(tokens), dtype=np.int32).reshape(-1)
        self._kept.append(ids)
        self._add(_native.TOKENS, ids.ctypes.data, ids.size)

    def _add_image(self, image: Any, own: Wishes) -> None:
        self._parts.append(self._image(image, own))

    def _image(self, image: Any, own: Wishes) -> _native.Part:
        if isinstance(image, (str, os.PathLike)):
            return _native.Part(_native.IMAGE_FILE, _path(image), 0)
        if isinstance(image, (bytes, bytearray, memoryview)):
            data = bytes(image)
            return _native.Part(_native.IMAGE, data, len(data))
        if _pixels.is_pil_image(image):
            rgb = _pixels.from_pil(image, own.apply_orientation)
        elif hasattr(image, "__array__"):
            rgb = _pixels.from_array(np.asarray(image))
        else:
            raise InvalidInput(f"an image cannot be {_kind(image)}; it is a path, the bytes of a file, a PIL image or an array")
        pixels = _native.Pixels(rgb.shape[0], rgb.shape[1], rgb.ctypes.data)
        self._kept += (rgb, pixels)
        return _native.Part(_native.PIXELS, ctypes.addressof(pixels), 0)

    def _add_video(self, video: Any, own: Wishes | None = None) -> None:
        if isinstance(video, (str, os.PathLike)):
            self._add(_native.VIDEO_FILE, _path(video), 0)
        elif isinstance(video, (bytes, bytearray, memoryview)):
            data = bytes(video)
            self._add(_native.VIDEO, data, len(data))
        else:
            frames = [self._image(frame, own or self._wishes) for frame in video]
            memory = (_native.Part * max(1, len(frames)))(*frames)
            self._kept += (frames, memory)
            self._add(_native.VIDEO_FRAMES, ctypes.addressof(memory), len(frames))


def _path(path: str | os.PathLike[str]) -> bytes:
    data = os.fsencode(path)
    if b"\0" in data:
        raise InvalidInput("a path holds a NUL character")
    return data


def _list(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)


def _videos(value: Any) -> Sequence[Any]:
    """A list is the frames of one video; a list of lists is several."""
    if value is None:
        return ()
    several = isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple))
    return value if several else (value,)


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def is_one(items: object) -> bool:
    """Whether this is an item and not a collection of them."""
    return (isinstance(items, (str, bytes, bytearray, os.PathLike, Mapping)) or _pixels.is_pil_image(items)
            or (hasattr(items, "__array__") and getattr(items, "dtype", None) == np.uint8))
