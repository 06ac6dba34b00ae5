"""`Embedder`: texts, pictures and videos to vectors."""
from __future__ import annotations

import os
from itertools import islice
from types import TracebackType
from typing import Any, Iterable, Iterator, Mapping, Sequence, cast

import numpy as np

from . import _inputs
from ._errors import Error, InvalidInput
from ._inputs import Batch, Item
from ._model import Model, Vectors
from ._progress import Bar

STREAM_ITEMS = 64
"""Items of a stream that are embedded together."""

PROMPTS: Mapping[str, str | None] = {
    "query": "Retrieve images or text relevant to the user's query.",
    "document": None, "passage": None, "image": None,
    "classification": "Represent the user's input for classification.",
    "clustering": "Represent the user's input for clustering.",
    "text-matching": "Retrieve semantically similar text.",
}
"""The instructions behind `prompt_name`, the same as the server's; None: the model's default."""


class Opened:
    """What `Embedder` and `Reranker` have in common: the options of a model, closing, pickling."""

    _task = "auto"

    def __init__(self, model: str | os.PathLike[str] | None = None, *, load_format: str | None = None,
                 quantization: str | None = None, threads: int = 0,
                 max_model_len: int | None = None, max_batched_tokens: int | None = None,
                 download_dir: str | os.PathLike[str] | None = None, cpu_tier: str | None = None,
                 media_root: str | os.PathLike[str] | None = None, **limits: float | None) -> None:
        """model: a folder, or org/name from the hub caches; None: the built-in model.

        load_format: "auto", "safetensors", or "dummy[:SEED]" for weights made by rule. quantization: "int8" turns the
        matrices into 8-bit codes while opening. threads: compute threads; 0: the CPUs this process may use.
        max_model_len: the longest input in tokens. media_root: the folder that paths of pictures and videos must lie
        below. limits: the other fields of the C API's `qv_model_options` by name."""
        self._options: dict[str, Any] = dict(
            model=model, load_format=load_format, quantization=quantization, threads=threads, max_model_len=max_model_len,
            max_batched_tokens=max_batched_tokens, download_dir=download_dir, cpu_tier=cpu_tier, media_root=media_root,
            **limits)
        self._open()

    def _open(self) -> None:
        given = dict(self._options)
        model = given.pop("model")
        # A folder says itself what it is; of the built-in models there is one for each class.
        self._model = Model(model, self._task if model is None else "auto", **given)

    def __getstate__(self) -> dict[str, Any]:
        return self._options

    def __setstate__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._open()

    @property
    def model(self) -> str:
        """The checkpoint's folder."""
        return self._model.folder

    @property
    def max_model_len(self) -> int:
        """The longest input in tokens."""
        return self._model.max_model_len

    @property
    def threads(self) -> int:
        """Compute threads."""
        return self._model.threads

    @property
    def cpu_tier(self) -> str:
        """The kernels in use: "c", "avx2", "avx512", …"""
        return self._model.cpu_tier

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """The text's token ids. special: with what the tokenizer adds, as a raw prompt does."""
        return self._model.tokenize(text, special)

    def close(self) -> None:
        """Lets go of the model; calls under way in other threads still end well."""
        self._model.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"


class Embedder(Opened):
    """An embedding model. Any number of threads may use it; the interpreter is free while it computes.

    >>> embedder = Embedder("Qwen/Qwen3-VL-Embedding-2B")
    >>> embedder.embed(["a dog on a beach", Path("beach.jpg"), {"text": "at dusk", "image": "beach.jpg"}]).shape
    (3, 2048)

    A vector's bytes depend on its input alone, not on the others, the order or the number of threads."""

    _task = "embed"

    @property
    def dimensions(self) -> int:
        """Values of a full vector."""
        return self._model.embedding_size

    def __enter__(self) -> Embedder:
        return self

    def embed(self, items: Iterable[Item] | Item, *, instruction: str | None = None, prompt: str = "official",
              dimensions: int | None = None, normalize: bool = True, max_length: int | None = None,
              min_pixels: int | None = None, max_pixels: int | None = None, apply_orientation: bool = False,
              fps: float | None = None, max_frames: int | None = None, special_tokens: bool = True,
              out: Vectors | None = None, progress: bool = False) -> Vectors:
        """Vectors of the items, float32 [items, dimensions].

        An item is a `str`, a `Path`, a `PIL.Image`, a uint8 array, a file's `bytes`, or a mapping: "text", "image",
        "video" with one or a list of each, and wishes of its own under the names of the arguments here. A list under
        "video" is the frames of one. One item in place of a list gives one row.

        prompt: "official", the models' published recipe around the instruction and the content, or "raw", the text as
        it is and the end token. dimensions: keep so many values, then normalise. out: a float32 array to write into.
        Raises an `Error` of the first item that fails; its `failures` has them all."""
        wishes = _inputs.wishes(prompt, instruction, dimensions, max_length, normalize, special_tokens, min_pixels,
                                max_pixels, apply_orientation, fps, max_frames)
        if type(items) is not list and _inputs.is_one(items):
            items = [items]
        batch = Batch(cast("Iterable[Item]", items), wishes)
        matrix = self._matrix(batch, out)
        if not batch.count:
            return matrix
        if progress:
            with Bar(True, batch.count, "Embedding") as bar:
                self._model.embed(batch, matrix, lambda finished, _: bar.at(finished))
        else:
            self._model.embed(batch, matrix)
        return matrix

    def _matrix(self, batch: Batch, out: Vectors | None) -> Vectors:
        full = self._model.embedding_size
        wanted = batch.dimensions if len(batch.dimensions) == 1 else {size or full for size in batch.dimensions}
        if len(wanted) > 1:
            raise InvalidInput(f"items of {' and '.join(map(str, sorted(map(int, filter(None, wanted)))))} dimensions do not make "
                               "a matrix; embed them in calls of their own")
        [size] = wanted
        width = full if not size else min(max(size, 1), full)
        shape = (batch.count, width)
        if out is None:
            return np.empty(shape, np.float32)
        if out.dtype != np.float32 or out.shape != shape or not out.flags.writeable or (
                out.size and (out.strides[1] != 4 or out.strides[0] < 4 * width or out.strides[0] % 4)):
            raise InvalidInput(f"out must be a writable float32 array of shape {shape} with rows in one piece")
        return out

    def stream(self, items: Iterable[Item], *, on_error: str = "raise", **wishes: Any) -> Iterator[Vectors | Error]:
        """Vectors of any number of items, one after another, as they are read: memory does not grow with their number.

        on_error="yield" gives the `Error` of an item that fails in its vector's place, and goes on."""
        if on_error not in ("raise", "yield"):
            raise InvalidInput(f'on_error is {on_error!r}; it must be "raise" or "yield"')
        rest = iter(items)
        start = 0
        while chunk := list(islice(rest, STREAM_ITEMS)):
            try:
                yield from self.embed(chunk, **wishes)
            except Error as e:
                if e.index is None:
                    raise
                yield from self._one_by_one(chunk, start, on_error == "yield", wishes)
            start += len(chunk)

    def _one_by_one(self, chunk: Sequence[Item], start: int, go_on: bool,
                    wishes: dict[str, Any]) -> Iterator[Vectors | Error]:
        """A chunk with a bad item: what comes before it is given, and the error knows its place in the stream."""
        for i, item in enumerate(chunk):
            try:
                vector = self.embed([item], **wishes)[0]
            except Error as e:
                e.index = start + i
                if not go_on:
                    raise
                yield e
            else:
                yield vector

    def encode(self, sentences: Sequence[Item] | Item, prompt_name: str | None = None, prompt: str | None = None,
               batch_size: int = 32, show_progress_bar: bool | None = None, output_value: str = "sentence_embedding",
               precision: str = "float32", convert_to_numpy: bool = True, convert_to_tensor: bool = False,
               device: object = None, normalize_embeddings: bool = True, truncate_dim: int | None = None,
               **wishes: Any) -> Any:
        """As `SentenceTransformer.encode`: one item gives a vector, a list gives a matrix.

        prompt_name: "query", "document", … (`PROMPTS`); prompt: the instruction itself. batch_size and device have no
        meaning here."""
        if output_value != "sentence_embedding" or precision != "float32":
            raise InvalidInput(f"output_value={output_value!r}, precision={precision!r}: only sentence embeddings in float32")
        if prompt is None and prompt_name is not None:
            if prompt_name not in PROMPTS:
                raise InvalidInput(f"prompt_name is {prompt_name!r}; it must be one of {', '.join(PROMPTS)}")
            prompt = PROMPTS[prompt_name]
        one = _inputs.is_one(sentences)
        matrix = self.embed(sentences, instruction=prompt, dimensions=truncate_dim, normalize=normalize_embeddings,
                            progress=bool(show_progress_bar), **wishes)
        if convert_to_tensor:
            import torch  # type: ignore[import-not-found,unused-ignore]
            tensor = torch.from_numpy(matrix)
            return tensor[0] if one else tensor
        if not convert_to_numpy:
            return list(matrix) if not one else matrix[0]
        return matrix[0] if one else matrix

    def encode_query(self, sentences: Sequence[Item] | Item, **wishes: Any) -> Any:
        """`encode` with the instruction for queries."""
        return self.encode(sentences, **{"prompt_name": "query", **wishes})

    def encode_document(self, sentences: Sequence[Item] | Item, **wishes: Any) -> Any:
        """`encode` with the instruction for documents: the model's default."""
        return self.encode(sentences, **{"prompt_name": "document", **wishes})

    @staticmethod
    def similarity(a: Vectors, b: Vectors) -> Vectors:
        """Cosines of all pairs, [rows of a, rows of b]."""
        def unit(x: Vectors) -> Vectors:
            x = np.atleast_2d(np.asarray(x, np.float32))
            return cast(Vectors, x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))
        return cast(Vectors, unit(a) @ unit(b).T)

    def get_sentence_embedding_dimension(self) -> int:
        """Values of a full vector, under the name that sentence-transformers has for it."""
        return self.dimensions


