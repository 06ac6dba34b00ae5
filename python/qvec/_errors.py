"""Failures of the C library as Python exceptions."""
from __future__ import annotations

import ctypes
from typing import Mapping

from . import _native


class Error(Exception):
    """Base of everything that the library refuses or fails at.

    Each one is also what Python calls such a thing: bad input is a `ValueError`, a lack of memory a `MemoryError`.
    """

    status: int
    """The C API's `qv_status`, negative."""
    code: str
    """Its name, as in the JSON answers of `qvec serve`: "image_decode"."""
    http_status: int
    """The HTTP status that `qvec serve` answers with."""
    index: int | None
    """Which input of the call failed, the first of them; None: the call as a whole."""
    failures: Mapping[int, str]
    """The texts of all inputs of the call that failed, by index."""

    def __init__(self, message: str, status: int = -3, index: int | None = None,
                 failures: Mapping[int, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.index, self.failures = status, index, dict(failures or {})
        self.code = _native.lib.qv_status_name(status).decode()
        self.http_status = _native.lib.qv_status_http(status)

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.args[0], self.status, self.index, self.failures)


class InvalidInput(Error, ValueError):
    """Something about the input or an argument is wrong."""


class MediaError(InvalidInput):
    """A picture or video cannot be read or decoded, or is over a limit."""


class TooLong(InvalidInput):
    """More tokens than the model takes."""


class BadModel(Error, ValueError):
    """The checkpoint folder cannot be used."""


class WrongTask(Error, TypeError):
    """An embedding model was asked for scores, or a reranker for vectors."""


class Unsupported(Error, NotImplementedError):
    """This build or model cannot do that."""


class OutOfMemory(Error, MemoryError):
    """There is not enough memory."""


class NotFound(Error, FileNotFoundError):
    """There is no such model."""


class IOFailure(Error, OSError):
    """Reading failed."""


class Cancelled(Error):
    """The work was cancelled, or the model was closed meanwhile."""


# By the names of the C API's status map; everything else is an Error.
_KINDS: dict[str, type[Error]] = {
    "invalid_argument": InvalidInput, "invalid_json": InvalidInput, "invalid_utf8": InvalidInput,
    "too_large": InvalidInput, "too_long": TooLong,
    "image_decode": MediaError, "video_decode": MediaError, "media_limit": MediaError, "media_source": MediaError,
    "no_memory": OutOfMemory, "not_found": NotFound, "io": IOFailure, "media_fetch": IOFailure, "bad_checkpoint": BadModel,
    "unsupported": Unsupported, "wrong_task": WrongTask, "cancelled": Cancelled, "shutting_down": Cancelled,
}


def from_status(status: int, message: str, index: int | None = None,
                failures: Mapping[int, str] | None = None) -> Error:
    """The exception for a status of the C API."""
    kind = _KINDS.get(_native.lib.qv_status_name(status).decode(), Error)
    return kind(message, status, index, failures)


def check(status: int, error: _native.ErrorText) -> None:
    """Raises what a call of the C API reports."""
    if status:
        raise from_status(status, text_of(error))


def text_of(error: _native.ErrorText) -> str:
    message: bytes = error.message
    return message.decode("utf-8", "replace")


def first_failure(results: ctypes.Array[_native.Embedding] | ctypes.Array[_native.Score], what: str) -> Error:
    """The failure of a call some of whose results failed: the first one's, which knows of the others."""
    failed = {i: result for i, result in enumerate(results) if result.status}
    failures = {i: text_of(result.error) for i, result in failed.items()}
    index = min(failed)
    text = failures[index] if len(results) == 1 else f"{what} {index}: {failures[index]}"
    return from_status(failed[index].status, text, index, failures)
