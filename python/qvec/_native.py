"""The C library: where it lies, and its structures and functions as include/qvec/qvec.h declares them."""
from __future__ import annotations

import ctypes
import os
import sys
from ctypes import c_bool, c_char, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any, Iterator

NAME = "libqvec.so.0"
PACKAGE = Path(__file__).resolve().parent

TASK_AUTO, TASK_EMBED, TASK_RERANK = 0, 1, 2
TEXT, TOKENS, IMAGE, IMAGE_FILE, VIDEO, VIDEO_FILE, VIDEO_FRAMES, PIXELS = range(8)
OFFICIAL, RAW = 0, 1


class ErrorText(ctypes.Structure):
    """qv_error"""
    _fields_ = [("code", c_int), ("message", c_char * 512)]


class ModelOptions(ctypes.Structure):
    """qv_model_options. Zero is the default of every field; the tail keeps fields of later versions at zero."""
    _fields_ = [("load_format", c_char_p), ("cpu_tier", c_char_p), ("task", c_int), ("threads", c_int),
                *((name, c_int64) for name in (
                    "max_model_len", "max_batched_tokens", "max_queued_items", "max_queued_tokens",
                    "image_cache_bytes", "prefix_cache_bytes", "max_media_bytes", "max_image_pixels",
                    "max_image_side", "max_video_frames", "max_decoded_bytes")),
                ("max_decode_seconds", c_double), ("media_root", c_char_p), ("quantization", c_char_p), ("later", c_char * 256)]


class ModelFacts(ctypes.Structure):
    """qv_model_facts"""
    _fields_ = [("task", c_int), ("embedding_size", c_int64), ("max_model_len", c_int64), ("threads", c_int),
                ("cpu_tier", c_char_p)]


class Part(ctypes.Structure):
    """qv_part. `data` takes bytes or an address."""
    _fields_ = [("kind", c_int), ("data", c_char_p), ("size", c_size_t)]


class Pixels(ctypes.Structure):
    """qv_pixels"""
    _fields_ = [("height", c_int), ("width", c_int), ("rgb", c_void_p)]


class Input(ctypes.Structure):
    """qv_input"""
    _fields_ = [("parts", c_void_p), ("part_count", c_size_t), ("prompt", c_int), ("instruction", c_char_p),
                ("dimensions", c_int), ("max_length", c_int64), ("no_normalize", c_bool),
                ("no_special_tokens", c_bool), ("min_pixels", c_int64), ("max_pixels", c_int64),
                ("apply_orientation", c_bool), ("fps", c_double), ("max_frames", c_int)]


class Embedding(ctypes.Structure):
    """qv_embedding"""
    _fields_ = [("status", c_int), ("error", ErrorText), ("values", c_void_p), ("dimensions", c_int),
                ("prompt", c_int), ("tokens", c_int64), ("untruncated", c_int64)]


class Score(ctypes.Structure):
    """qv_score"""
    _fields_ = [("status", c_int), ("error", ErrorText), ("score", ctypes.c_float), ("logit", ctypes.c_float),
                ("tokens", c_int64), ("untruncated", c_int64)]


# name: (result, arguments). Pointers are addresses or ctypes objects.
_P = c_void_p
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "qv_version": (c_char_p, []),
    "qv_status_name": (c_char_p, [c_int]),
    "qv_status_http": (c_int, [c_int]),
    "qv_model_find": (c_int, [c_char_p, c_char_p, c_char_p, c_size_t, _P]),
    "qv_model_open": (c_int, [c_char_p, _P, _P, _P]),
    "qv_model_close": (None, [_P]),
    "qv_model_get_facts": (None, [_P, _P]),
    "qv_model_tokenize": (c_int, [_P, c_char_p, c_size_t, c_bool, _P, _P, _P]),
    "qv_tokens_free": (None, [_P]),
    "qv_job_embed": (c_int, [_P, _P, c_size_t, _P, _P, c_size_t, _P, _P]),
    "qv_job_rerank": (c_int, [_P, _P, _P, c_size_t, _P, _P, _P]),
    "qv_job_wait": (c_bool, [_P, c_double]),
    "qv_job_progress": (None, [_P, _P, _P]),
    "qv_job_cancel": (None, [_P]),
    "qv_job_end": (c_int, [_P, _P]),
}


def _places() -> Iterator[str]:
    """Best first: what the user names, what a wheel brings, the source tree's build, what `make install` installed."""
    named = os.environ.get("QVEC_LIBRARY")
    if named:
        yield named
        return
    yield from (str(PACKAGE / NAME), str(PACKAGE.parents[1] / "build" / "src" / NAME), NAME)
    for prefix in (Path(sys.prefix), Path("/usr/local")):
        yield from (str(path) for path in sorted(prefix.glob(f"lib/**/{NAME}")) if "site-packages" not in path.parts)


def _load() -> ctypes.CDLL:
    said = ""
    for place in _places():
        if os.sep in place and not os.path.exists(place):
            continue
        try:
            return ctypes.CDLL(place)
        except OSError as e:
            said = f" ({e})"
    raise ImportError(f"{NAME} was not found beside the package or where libraries are installed; build and install it "
                      f"with `make install`, or name it in QVEC_LIBRARY{said}")


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    for name, (result, arguments) in FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(f"{library._name} has no {name}: it is older than this package") from None
        function.restype, function.argtypes = result, arguments
    return library


lib = _declare(_load())
version: str = lib.qv_version().decode()
int32_pointer = ctypes.POINTER(c_int32)
