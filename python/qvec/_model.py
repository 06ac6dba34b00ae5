"""An opened model and the calls on it: threads, signals, progress, closing."""
from __future__ import annotations

import ctypes
import os
from ctypes import byref
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import numpy as np
import numpy.typing as npt

from . import _native
from ._errors import Error, InvalidInput, NotFound, check, first_failure, from_status
from ._inputs import Batch, encode_name, encode_text
from ._native import lib

Vectors = npt.NDArray[np.float32]
Watch = Optional[Callable[[int, int], None]]
"""Told, while a call goes on, how many inputs have their result and how many tokens these had."""

TICK_SECONDS = 0.05
"""How long Python waits inside the library before it looks for signals."""

_PATH_MAX = 4096
_ONE = _native.Embedding * 1
_TASKS = {"auto": _native.TASK_AUTO, "embed": _native.TASK_EMBED, "rerank": _native.TASK_RERANK}
# The models that come along, by task.
_BUILTIN = {"embed": "mini", "rerank": "mini-reranker"}


_forks = 0  # between the process that imported this and the one that runs


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class _Handle:
    """The model's pointer. Every call under way holds a reference; the last one gone closes it.

    At the end of the process nothing is closed: the system takes the memory, and a thread may still be inside."""

    __slots__ = ("forks", "pointer")

    def __init__(self, pointer: int) -> None:
        self.pointer, self.forks = pointer, _forks

    def __del__(self, close: Any = lib.qv_model_close, pointer: Any = ctypes.c_void_p, byref: Any = byref) -> None:
        if self.forks == _forks:  # a fork has the memory but not the model's threads
            close(byref(pointer(self.pointer)))


class Model:
    """Opens a checkpoint: a folder, or org/name from the hub caches; None: the built-in model of that task."""

    def __init__(self, model: str | os.PathLike[str] | None, task: str, *, load_format: str | None = None,
                 quantization: str | None = None, cpu_tier: str | None = None, download_dir: str | os.PathLike[str] | None = None,
                 media_root: str | os.PathLike[str] | None = None, **numbers: float | None) -> None:
        if task not in _TASKS:
            raise InvalidInput(f"task is {task!r}; it must be auto, embed or rerank")
        if model is None:
            self.folder = builtin(task)
        else:
            self.folder = _find(model, download_dir)
        options = _native.ModelOptions(task=_TASKS[task])
        for name, text in (("load_format", load_format), ("quantization", quantization),
                           ("cpu_tier", None if cpu_tier == "auto" else cpu_tier)):
            if text is not None:
                setattr(options, name, encode_name(name, text))
        if media_root is not None:
            options.media_root = os.fsencode(media_root)
        for name, number in numbers.items():
            if number is not None:
                _set_number(options, name, number)
        pointer, error = ctypes.c_void_p(), _native.ErrorText()
        check(lib.qv_model_open(os.fsencode(self.folder), byref(options), byref(pointer), byref(error)), error)
        assert pointer.value is not None
        self._handle: _Handle | None = _Handle(pointer.value)
        facts = _native.ModelFacts()
        lib.qv_model_get_facts(pointer, byref(facts))
        self.task = "rerank" if facts.task == _native.TASK_RERANK else "embed"
        self.embedding_size: int = facts.embedding_size
        self.max_model_len: int = facts.max_model_len
        self.threads: int = facts.threads
        self.cpu_tier: str = facts.cpu_tier.decode()

    def close(self) -> None:
        """Lets go of the model. It is closed when the last call under way has ended."""
        self._handle = None

    @property
    def closed(self) -> bool:
        return self._handle is None

    def _open_handle(self) -> _Handle:
        handle = self._handle
        if handle is None:
            raise InvalidInput("the model is closed")
        if handle.forks != _forks:
            raise RuntimeError("the model was opened before a fork; open it in the process that uses it")
        return handle

    # ---- calls

    def embed(self, batch: Batch, matrix: Vectors, watch: Watch = None) -> ctypes.Array[_native.Embedding]:
        """Row i of the matrix becomes input i's vector. Its rows may lie apart, their values not."""
        handle, count = self._open_handle(), batch.count
        results = _ONE() if count == 1 else (_native.Embedding * max(1, count))()
        address, stride = matrix.__array_interface__["data"][0], matrix.shape[1]
        if count > 1:
            stride = matrix.strides[0] // matrix.itemsize
        error = _native.ErrorText()
        status = _run(watch, error, lib.qv_job_embed, handle.pointer, byref(batch.inputs), count, results, address, stride)
        if status:
            if count and any(result.status for result in results):
                raise first_failure(results, "input")
            check(status, error)
        return results

    def rerank(self, query: Batch, documents: Batch, watch: Watch = None) -> ctypes.Array[_native.Score]:
        handle, results, error = self._open_handle(), (_native.Score * max(1, documents.count))(), _native.ErrorText()
        status = _run(watch, error, lib.qv_job_rerank, handle.pointer, byref(query.inputs), byref(documents.inputs),
                      documents.count, results)
        if status:
            if error.message.startswith(b"document ") and any(result.status for result in results):
                raise first_failure(results, "document")
            check(status, error)
        return results

    def tokenize(self, text: str, special: bool) -> list[int]:
        handle, data = self._open_handle(), encode_text(text)
        ids, count, error = ctypes.c_void_p(), ctypes.c_size_t(), _native.ErrorText()
        check(lib.qv_model_tokenize(handle.pointer, data, len(data), special, byref(ids), byref(count), byref(error)),
              error)
        if not count.value:
            return []
        try:
            return ctypes.cast(ids, _native.int32_pointer)[:count.value]
        finally:
            lib.qv_tokens_free(ids)


def _run(watch: Watch, error: _native.ErrorText, start: Any, *arguments: Any) -> int:
    """Starts a job and works on it, in steps, so that Ctrl-C gets through; its status. However this ends, the job has
    ended and the library has let go of the inputs and the matrix."""
    job, status = ctypes.c_void_p(), 0  # type: ctypes.c_void_p, int
    here, told = byref(job), byref(error)
    try:
        status = start(*arguments, here, told)
        if not status:
            while not lib.qv_job_wait(job, TICK_SECONDS):
                if watch:
                    watch(*_progress(job))
            if watch:
                watch(*_progress(job))
    except BaseException:
        if job:
            lib.qv_job_cancel(job)
        raise
    finally:
        if job:
            status = lib.qv_job_end(here, told)
    return status


def _progress(job: ctypes.c_void_p) -> tuple[int, int]:
    finished, tokens = ctypes.c_size_t(), ctypes.c_int64()
    lib.qv_job_progress(job, byref(finished), byref(tokens))
    return finished.value, tokens.value


def _set_number(options: _native.ModelOptions, name: str, number: float) -> None:
    kind = dict(field[:2] for field in _native.ModelOptions._fields_).get(name)
    if kind not in (ctypes.c_int, ctypes.c_int64, ctypes.c_double):
        raise TypeError(f"unknown option {name!r}")
    bits = 8 * ctypes.sizeof(kind) - 1
    if kind is not ctypes.c_double and not -(1 << bits) <= int(number) < 1 << bits:
        raise InvalidInput(f"{name} is {number}; that does not fit {bits + 1} bits")
    setattr(options, name, number if kind is ctypes.c_double else int(number))


def _find(model: str | os.PathLike[str], download_dir: str | os.PathLike[str] | None) -> str:
    path, error = ctypes.create_string_buffer(_PATH_MAX), _native.ErrorText()
    directory = None if download_dir is None else os.fsencode(download_dir)
    check(lib.qv_model_find(os.fsencode(model), directory, path, _PATH_MAX, byref(error)), error)
    return os.fsdecode(path.value)


def _model_places() -> Iterator[Path]:
    """Beside the package (a wheel), beside the library (a build folder, an installed one), in the source tree."""
    yield _native.PACKAGE / "models"
    library = Path(lib._name).resolve()
    if library.is_absolute():
        yield library.parents[1] / "models"
        for above in list(library.parents)[1:4]:
            yield above / "share" / "qvec" / "models"
    yield _native.PACKAGE.parents[1] / "models"
    yield Path("/usr/local/share/qvec/models")
    yield Path("/usr/share/qvec/models")


def builtin(task: str) -> str:
    """The folder of the model that comes along for a task."""
    name = _BUILTIN["rerank" if task == "rerank" else "embed"]
    for folder in (place / name for place in _model_places()):
        if (folder / "config.json").exists() and (folder / "tokenizer.json").exists():
            return str(folder)
    raise from_status(-6, "the built-in model was not found beside the library; name a model: a folder or an org/name")


__all__ = ["Error", "Model", "NotFound", "Vectors", "Watch", "builtin"]
