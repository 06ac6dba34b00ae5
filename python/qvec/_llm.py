"""`LLM`: vLLM's offline class for pooling models, so that a script that embeds or scores runs with its import changed.

Prompts are raw, as there: a text is embedded as it is, with the end token behind. The published recipe is what
`Embedder` applies by itself; here it must be in the prompt."""
from __future__ import annotations

import inspect
import itertools
import os
import warnings
from dataclasses import dataclass
from typing import Any, Generic, Iterable, Mapping, Sequence, TypeVar, Union

import numpy as np

from ._errors import InvalidInput, Unsupported, WrongTask
from ._inputs import Batch, Wishes
from ._model import Model, Vectors
from ._progress import Bar
from ._vllm import sort_arguments

Prompt = Union[str, Mapping[str, Any], Sequence[int]]

_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
_VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"
_NO_SPEED = "est. speed input: 0.00 toks/s, output: 0.00 toks/s"
_PIXELS = ("min_pixels", "max_pixels", "fps", "max_frames")


@dataclass
class PoolingParams:
    """Wishes of a call: dimensions, `use_activation` or `normalize` (a vector's unit length, a score's sigmoid; on), and
    the cut. `task`, where it is given, must be what the call does."""
    dimensions: int | None = None
    normalize: bool | None = None
    use_activation: bool | None = None
    truncate_prompt_tokens: int | None = None
    task: str | None = None

    @property
    def unit(self) -> bool:
        return self.normalize is not False and self.use_activation is not False

    def _check_task(self, *tasks: str) -> None:
        if self.task is not None and self.task not in tasks:
            raise Unsupported(f"the pooling parameters' task is {self.task!r}; this call's is {tasks[0]!r}", -7)


@dataclass(repr=False)
class EmbeddingOutput:
    """A vector."""
    embedding: list[float]

    @property
    def hidden_size(self) -> int:
        return len(self.embedding)

    def __repr__(self) -> str:
        return f"EmbeddingOutput(hidden_size={self.hidden_size})"


@dataclass
class ScoringOutput:
    """A score: the reranker's probability, or the cosine of two embeddings."""
    score: float


@dataclass
class PoolingOutput:
    """A vector as an array."""
    data: Vectors


_Output = TypeVar("_Output")


@dataclass
class RequestOutput(Generic[_Output]):
    """The answer to one prompt."""
    request_id: str
    outputs: _Output
    prompt_token_ids: list[int] | None
    """The prompt's tokens; None where pictures or videos are among them, or two prompts were one."""
    num_cached_tokens: int = 0
    finished: bool = True


class LLM:
    """A pooling model in this process.

    >>> LLM(model="Qwen/Qwen3-VL-Embedding-2B", runner="pooling").embed(["a text"])[0].outputs.embedding

    model: a folder, or org/name from the hub caches; None: the built-in model. Arguments of vLLM's class that have no
    meaning here, and those that ask for what is not done here, are accepted with one warning that names them; unknown ones
    are refused. mm_processor_kwargs: min_pixels, max_pixels, fps and max_frames."""

    def __init__(self, model: str | os.PathLike[str] | None = None, *, runner: str = "auto", convert: str = "auto",
                 task: str = "auto", max_model_len: int | None = None, max_num_batched_tokens: int | None = None,
                 load_format: str = "auto", quantization: str | None = None,
                 download_dir: str | None = None, allowed_local_media_path: str = "",
                 mm_processor_kwargs: Mapping[str, Any] | None = None, threads: int = 0, **others: Any) -> None:
        if runner not in ("auto", "pooling"):
            raise Unsupported(f"runner is {runner!r}; this engine has the pooling runner only", -7)
        arguments = sort_arguments(others, inspect.signature(LLM).parameters, model)
        self._pixels = {name: value for name, value in (mm_processor_kwargs or {}).items() if name in _PIXELS}
        unread = sorted(set(mm_processor_kwargs or ()) - set(_PIXELS))
        if unread:
            arguments.instead[f"{', '.join(unread)} of mm_processor_kwargs"] = f"read are {', '.join(_PIXELS)}"
        arguments.warn(stacklevel=2)
        self._told: set[str] = set()
        wanted = "rerank" if task in ("score", "classify", "rerank") or convert == "classify" else "embed"
        self._model = Model(model, wanted if model is None else "auto", load_format=load_format,
                            quantization=quantization, threads=threads,
                            max_model_len=max_model_len, max_batched_tokens=max_num_batched_tokens,
                            download_dir=download_dir, media_root=allowed_local_media_path or None)
        self._ids = itertools.count()

    def _warn_once(self, stacklevel: int, **instead: str) -> None:
        """Of a call's arguments that change nothing here; each is told once, however many calls have it."""
        for name in sorted(set(instead) - self._told):
            self._told.add(name)
            warnings.warn(f"not done by qvec: {name} ({instead[name]})", stacklevel=stacklevel + 1)

    def _warn_of(self, lora_request: object, tokenization: Mapping[str, Any] | None) -> None:
        """Of what a public method was given. Called by it directly: the warning names the line of its caller."""
        if lora_request is not None:
            self._warn_once(3, lora_request="there are no adapters: vectors and scores are those of the model's folder")
        self._warn_once(3, **{f"{name} of tokenization_kwargs": "read is truncate_prompt_tokens"
                              for name in set(tokenization or ()) - {"truncate_prompt_tokens"}})

    # ---- vectors

    def embed(self, prompts: Prompt | Sequence[Prompt], *, use_tqdm: bool = True,
              pooling_params: PoolingParams | Sequence[PoolingParams] | None = None,
              truncate_prompt_tokens: int | None = None, lora_request: object = None,
              tokenization_kwargs: Mapping[str, Any] | None = None) -> list[RequestOutput[EmbeddingOutput]]:
        """One vector for each prompt: a text, token ids, or {"prompt": ..., "multi_modal_data": {"image": ...}}."""
        self._warn_of(lora_request, tokenization_kwargs)
        listed = _listed(prompts)
        matrix = self._vectors(listed, use_tqdm, pooling_params, _cut_of(truncate_prompt_tokens, tokenization_kwargs))
        return [RequestOutput(self._next_id(), EmbeddingOutput(row.tolist()), self._token_ids(prompt))
                for prompt, row in zip(listed, matrix)]

    def encode(self, prompts: Prompt | Sequence[Prompt], pooling_params: PoolingParams | Sequence[PoolingParams] | None = None,
               *, use_tqdm: bool = True, truncate_prompt_tokens: int | None = None, pooling_task: str = "embed",
               lora_request: object = None,
               tokenization_kwargs: Mapping[str, Any] | None = None) -> list[RequestOutput[PoolingOutput]]:
        """As embed, the vectors as float32 arrays."""
        if pooling_task != "embed":
            raise Unsupported(f"pooling_task is {pooling_task!r}; this engine embeds and scores", -7)
        self._warn_of(lora_request, tokenization_kwargs)
        listed = _listed(prompts)
        matrix = self._vectors(listed, use_tqdm, pooling_params, _cut_of(truncate_prompt_tokens, tokenization_kwargs))
        return [RequestOutput(self._next_id(), PoolingOutput(row), self._token_ids(prompt))
                for prompt, row in zip(listed, matrix)]

    def _vectors(self, prompts: Sequence[Prompt], use_tqdm: bool, params: PoolingParams | Sequence[PoolingParams] | None,
                 cut: int | None) -> list[Vectors]:
        if self._model.task != "embed":
            raise WrongTask("this model is a reranker: it scores pairs and makes no embeddings", -21)
        each = [params or PoolingParams()] * len(prompts) if not isinstance(params, Sequence) else params
        if len(each) != len(prompts):
            raise InvalidInput(f"{len(prompts)} prompts and {len(each)} pooling parameters")
        items = []
        with Bar(use_tqdm, len(prompts), "Adding requests") as bar:
            for i, (prompt, own) in enumerate(zip(prompts, each)):
                own._check_task("embed")
                items.append({**_content(prompt), "dimensions": own.dimensions, "normalize": own.unit,
                              "max_length": self._cut(_first(cut, own.truncate_prompt_tokens))})
                bar.at(i + 1)
        batch = Batch(items, Wishes(prompt="raw", **self._pixels))
        matrix = np.zeros((batch.count, self._model.embedding_size), np.float32)
        with Bar(use_tqdm, len(prompts), "Processed prompts", postfix=_NO_SPEED) as bar:
            if not prompts:
                return []
            results = self._model.embed(batch, matrix, bar.watch)
        return [row[:result.dimensions] for row, result in zip(matrix, results)]

    def _cut(self, tokens: int | None) -> int | None:
        """-1: the model's length."""
        return self._model.max_model_len if tokens == -1 else tokens

    def _token_ids(self, prompt: Prompt) -> list[int] | None:
        """Uncut, as the request had them."""
        if isinstance(prompt, str):
            return self._model.tokenize(prompt, True)
        if not isinstance(prompt, Mapping):
            return list(prompt)
        if prompt.get("multi_modal_data"):
            return None
        return list(prompt["prompt_token_ids"]) if "prompt_token_ids" in prompt else self._token_ids(prompt["prompt"])

    # ---- scores

    def score(self, data_1: Any, data_2: Any, *, use_tqdm: bool = True, truncate_prompt_tokens: int | None = None,
              pooling_params: PoolingParams | None = None, lora_request: object = None, chat_template: str | None = None,
              tokenization_kwargs: Mapping[str, Any] | None = None) -> list[RequestOutput[ScoringOutput]]:
        """Scores of pairs: one against one, one against many, or many against as many.

        A reranker applies its published recipe and gives probabilities, or the logits before the sigmoid where
        `pooling_params` have `use_activation` off. With an embedding model a score is the cosine of two vectors, of the
        first `dimensions` values where that is given. A side is a text or {"content": [{"type": "text" | "image_url" |
        "video_url", ...}]}."""
        self._warn_of(lora_request, tokenization_kwargs)
        if chat_template is not None:
            self._warn_once(2, chat_template="scores apply the published recipe")
        params = pooling_params or PoolingParams()
        first, second = _sides(data_1), _sides(data_2)
        if len(first) not in (1, len(second)):
            raise InvalidInput(f"{len(first)} against {len(second)}: it must be one against many, or many against as many")
        cut = self._cut(_first(_cut_of(truncate_prompt_tokens, tokenization_kwargs), params.truncate_prompt_tokens))
        scores = (self._scores(first, second, params, cut, use_tqdm) if self._model.task == "rerank"
                  else self._cosines(first, second, params, cut, use_tqdm))
        return [RequestOutput(self._next_id(), ScoringOutput(score), None) for score in scores]

    def _scores(self, first: Sequence[Any], second: Sequence[Any], params: PoolingParams, cut: int | None,
                use_tqdm: bool) -> list[float]:
        params._check_task("score", "classify")
        if params.dimensions is not None:
            raise InvalidInput(f"dimensions is {params.dimensions}; a reranker's score has none")

        def value(result: Any) -> float:
            return float(result.score if params.unit else result.logit)
        wishes = Wishes(max_length=cut, **self._pixels)
        with Bar(use_tqdm, len(second), "Processed prompts", postfix=_NO_SPEED) as bar:
            if len(first) == 1 and second:
                return [value(result) for result in self._model.rerank(Batch(first, wishes), Batch(second, wishes), bar.watch)]
            scores, tokens = [], 0
            for i, (query, document) in enumerate(zip(first, second)):
                result = self._model.rerank(Batch([query], wishes), Batch([document], wishes))[0]
                tokens += result.tokens
                scores.append(value(result))
                bar.watch(i + 1, tokens)
            return scores

    def _cosines(self, first: Sequence[Any], second: Sequence[Any], params: PoolingParams, cut: int | None,
                 use_tqdm: bool) -> list[float]:
        """A cosine is the same for vectors of any length, so that they are always brought to 1."""
        params._check_task("score", "embed")
        batch = Batch([*first, *second], Wishes(prompt="raw", dimensions=params.dimensions, max_length=cut, **self._pixels))
        matrix = np.zeros((batch.count, self._model.embedding_size), np.float32)
        with Bar(use_tqdm, batch.count, "Processed prompts", postfix=_NO_SPEED) as bar:
            if second:
                self._model.embed(batch, matrix, bar.watch)
        a, b = matrix[:len(first)], matrix[len(first):]
        return [float(value) for value in np.sum(a * b, axis=1)]

    def _next_id(self) -> str:
        return str(next(self._ids))

    # ---- what a pooling model does not do

    def generate(self, *arguments: Any, **named: Any) -> Any:
        raise Unsupported("this engine embeds and scores; it generates no text", -7)

    chat = classify = reward = generate


def _first(*values: int | None) -> int | None:
    """The first that is given."""
    return next((value for value in values if value is not None), None)


def _cut_of(tokens: int | None, tokenization: Mapping[str, Any] | None) -> int | None:
    """The call's own cut, under either of its names."""
    return _first(tokens, (tokenization or {}).get("truncate_prompt_tokens"))


def _listed(prompts: Prompt | Sequence[Prompt]) -> list[Prompt]:
    if isinstance(prompts, (str, Mapping)):
        return [prompts]
    listed: list[Any] = list(prompts)
    if listed and all(isinstance(token, (int, np.integer)) for token in listed):
        return [listed]
    return listed


def _content(prompt: Prompt) -> dict[str, Any]:
    """A prompt as an item: its parts in the order of the text's placeholders."""
    if isinstance(prompt, str):
        return {"text": prompt}
    if not isinstance(prompt, Mapping):
        return {"tokens": prompt}
    media = prompt.get("multi_modal_data") or {}
    unknown = set(media) - {"image", "video"}
    if unknown:
        raise InvalidInput(f"multi_modal_data holds {sorted(unknown)[0]!r}; this model takes images and videos")
    if "prompt_token_ids" in prompt:
        if media:
            raise InvalidInput("token ids and multi_modal_data: pictures need a text prompt with their placeholders")
        return {"tokens": prompt["prompt_token_ids"]}
    if not media:
        return {"text": prompt["prompt"]}
    return {"parts": _placed(str(prompt["prompt"]), _many(media.get("image")), _many_videos(media.get("video")))}


def _placed(text: str, images: list[Any], videos: list[Any]) -> Iterable[tuple[str, Any]]:
    """The text cut at its placeholders, with the pictures and videos in their places."""
    counts = {"image": (text.count(_IMAGE), len(images)), "video": (text.count(_VIDEO), len(videos))}
    for kind, (places, given) in counts.items():
        if places != given:
            mark = _IMAGE if kind == "image" else _VIDEO
            raise InvalidInput(f"{given} {kind}s for {places} placeholders {mark} in the prompt")
    parts: list[tuple[str, Any]] = []
    while text:
        at = min((place for place in (text.find(_IMAGE), text.find(_VIDEO)) if place >= 0), default=len(text))
        if at:
            parts.append(("text", text[:at]))
        if text.startswith(_IMAGE, at):
            parts.append(("image", images.pop(0)))
        elif text.startswith(_VIDEO, at):
            parts.append(("video", videos.pop(0)))
        text = text[at + len(_IMAGE):]
    return parts


def _many(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _many_videos(value: Any) -> list[Any]:
    """One video is an array of frames, a list of pictures, or a file; a list of arrays of frames or of lists is several."""
    if value is None:
        return []
    several = isinstance(value, (list, tuple)) and value and (
        isinstance(value[0], (list, tuple, str, bytes, os.PathLike)) or getattr(value[0], "ndim", 0) == 4)
    return list(value) if several else [value]


def _sides(data: Any) -> list[Any]:
    if isinstance(data, (str, Mapping)):
        return [_side(data)]
    return [_side(one) for one in data]


def _side(data: Any) -> Any:
    if isinstance(data, Mapping) and "content" in data:
        return {"parts": [_message_part(part) for part in data["content"]]}
    if isinstance(data, Mapping) and "prompt" in data:
        return _content(data)
    return data


def _message_part(part: Mapping[str, Any]) -> tuple[str, Any]:
    kind = str(part.get("type"))
    value = part.get(kind)
    if kind == "text":
        return "text", value
    if kind in ("image_url", "video_url"):
        url = value["url"] if isinstance(value, Mapping) else value
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            raise InvalidInput(f"{url[:80]}: nothing is fetched from the network; hand in a file or a data: URL")
        return kind[:5], url
    if kind in ("image", "video", "image_pil"):
        return kind[:5], value
    raise InvalidInput(f"a part of type {kind!r}; it must be text, image_url or video_url")
