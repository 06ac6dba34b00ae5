#!/usr/bin/env python3
"""What Python adds to the C API.

    .venv/bin/python bench/python_cost.py [--build build] [--turns 15] [--only call|batch]

call     one short text through Embedder.embed over a library that does nothing, beside the same C call made by hand: with
         the arguments ready, and with them made from the same Python objects. CPU time of this thread, the best of many
         turns, taken one after the other
batch    64 texts of 200 tokens on the built-in model: Embedder.embed and qv_model_embed in turns, wall time; and the CPU
         time of Python's side alone, over the library that does nothing, as a share of the C call
"""
import argparse
import ctypes
import os
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CALLS, TEXTS, TOKENS = 2000, 64, 200


def best_of(functions, turns, calls):
    """Microseconds a call of each, in turns: the least of what each took."""
    least = [float("inf")] * len(functions)
    for _ in range(turns):
        for i, function in enumerate(functions):
            start = time.thread_time()
            for _ in range(calls):
                function()
            least[i] = min(least[i], (time.thread_time() - start) / calls * 1e6)
    return least


class NullLibrary:
    """The real library but for the functions of a job."""

    def __init__(self, build, native):
        self._real = native.lib
        null = ctypes.CDLL(os.path.join(build, "bench", "libnull_calls.so"))
        for name in ("qv_job_embed", "qv_job_wait", "qv_job_end"):
            function = getattr(null, name)
            function.restype, function.argtypes = native.FUNCTIONS[name]
            setattr(self, name, function)

    def __getattr__(self, name):
        return getattr(self._real, name)


def measure_call(embedder, null, turns):
    import numpy as np
    from qvec import _model, _native
    handle, width, one = embedder._model._handle.pointer, embedder.dimensions, ["a"]
    call, byref = null.qv_job_embed, ctypes.byref

    def by_hand():
        data = one[0].encode("utf-8")
        part, result, matrix = _native.Part(_native.TEXT, data, len(data)), _native.Embedding(), np.empty((1, width), np.float32)
        given, job, error = _native.Input(ctypes.addressof(part), 1), ctypes.c_void_p(), _native.ErrorText()
        call(handle, byref(given), 1, byref(result), matrix.ctypes.data, width, byref(job), byref(error))
        return matrix
    given, result, job, error = _native.Input(), _native.Embedding(), ctypes.c_void_p(), _native.ErrorText()
    ready = (handle, byref(given), 1, byref(result), np.empty(width, np.float32).ctypes.data, width, byref(job), byref(error))
    real, _model.lib = _model.lib, null
    try:
        bare, made, package = best_of([lambda: call(*ready), by_hand, lambda: embedder.embed(one)], turns, CALLS)
    finally:
        _model.lib = real
    print(f"empty call, arguments ready        {bare:7.2f} us")
    print(f"empty call, arguments made by hand {made:7.2f} us")
    print(f"Embedder.embed of one text         {package:7.2f} us   {package / made:.2f} times by hand, {package / bare:.1f} times ready")


def texts_of(embedder, count, tokens):
    texts = []
    for i in range(count):
        text = f"{i}" + " word" * (tokens + 8)
        while len(embedder.tokenize(text, special=True)) > tokens:
            text = text[:-1]
        texts.append(text)
    return texts


def measure_batch(embedder, null, turns):
    import numpy as np
    from qvec import _inputs, _model, _native
    texts = texts_of(embedder, TEXTS, TOKENS)
    batch = _inputs.Batch(texts, _inputs.Wishes(prompt="raw"))
    results, error = (_native.Embedding * TEXTS)(), _native.ErrorText()
    clear = _native.lib.qv_embedding_clear
    clear.restype, clear.argtypes = None, [ctypes.c_void_p, ctypes.c_size_t]
    embed = _native.lib.qv_model_embed
    embed.restype, embed.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p]

    def by_c():
        assert embed(embedder._model._handle.pointer, batch.inputs, TEXTS, results, ctypes.byref(error)) == 0
        clear(results, TEXTS)
    matrix = embedder.embed(texts, prompt="raw")
    assert np.isfinite(matrix).all() and sum(len(embedder.tokenize(t, special=True)) for t in texts) == TEXTS * TOKENS
    c, python = [], []
    for turn in range(turns):
        for times, function in ((c, by_c), (python, lambda: embedder.embed(texts, prompt="raw")))[::1 if turn % 2 else -1]:
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    real, _model.lib = _model.lib, null
    try:
        [own] = best_of([lambda: embedder.embed(texts, prompt="raw")], turns, 50)
    finally:
        _model.lib = real
    ratio = statistics.median(b / a for a, b in zip(c, python))
    print(f"qv_model_embed, {TEXTS} x {TOKENS} tokens    {statistics.median(c) * 1e3:8.1f} ms, best {min(c) * 1e3:.1f}")
    print(f"Embedder.embed                     {statistics.median(python) * 1e3:8.1f} ms, best {min(python) * 1e3:.1f}, "
          f"{100 * (ratio - 1):+.2f} % (median of turns), {100 * (min(python) / min(c) - 1):+.2f} % (best)")
    print(f"Python's own share                 {own:8.1f} us, {own / min(c) / 1e4:.3f} %")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--only", choices=("call", "batch"))
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    os.environ["QVEC_LIBRARY"] = os.path.join(build, "src", "libqvec.so.0")
    sys.path.insert(0, os.path.join(ROOT, "python"))
    import qvec
    from qvec import _native
    embedder, null = qvec.Embedder(prefix_cache_bytes=-1), NullLibrary(build, _native)
    if options.only != "batch":
        measure_call(embedder, null, options.turns)
    if options.only != "call":
        measure_batch(embedder, null, options.turns)


if __name__ == "__main__":
    main()
