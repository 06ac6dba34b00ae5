"""Threads, forks, signals, memory."""
import ctypes
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import harness
import qvec
from conftest import asset
from qvec._inputs import Batch, Wishes

# Calls of each kind; so many tenths of them with pictures and pairs, which take ten times as long. Each goes through
# threads, so on a busy machine 100,000 take minutes: QVEC_TEST_CALLS=100000 makes them, of every kind.
CALLS = int(os.environ.get("QVEC_TEST_CALLS", "20000"))
TENTH = CALLS if "QVEC_TEST_CALLS" in os.environ else CALLS // 10


def test_many_threads_one_model(embedder):
    texts = [f"text {i}" for i in range(40)]
    want = [v.tobytes() for v in embedder.embed(texts)]
    wrong = []

    def work(k):
        for turn in range(10):
            i = (k * 7 + turn * 3) % 40
            if embedder.embed(texts[i:i + 3])[0].tobytes() != want[i]:
                wrong.append(i)
    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_the_interpreter_is_free_meanwhile():
    """Python runs on while the library computes; the long input needs many times 50 ms."""
    e = qvec.Embedder(harness.folder("small"), load_format="dummy", threads=1)
    ticks, stop = [], threading.Event()

    def count():
        while not stop.wait(0.01):
            ticks.append(time.monotonic())
    counter = threading.Thread(target=count)
    counter.start()
    start = time.monotonic()
    e.embed("word " * 2000, prompt="raw")
    end = time.monotonic()
    stop.set()
    counter.join()
    inside = [t for t in ticks if start < t < end]
    assert len(inside) > 3 and max(np.diff([start, *inside, end])) < max(0.5, 0.5 * (end - start))


def test_close_while_a_call_is_under_way():
    e = qvec.Embedder(harness.folder("small"), load_format="dummy", threads=1)
    batch, matrix = Batch([f"text {i}" for i in range(500)], Wishes()), np.full((500, e.dimensions), np.nan, np.float32)
    model, inside = e._model, threading.Event()
    thread = threading.Thread(target=lambda: model.embed(batch, matrix, lambda finished, tokens: inside.set()))
    thread.start()
    assert inside.wait(30)
    e.close()
    thread.join()
    assert np.isfinite(matrix).all()
    with pytest.raises(qvec.InvalidInput, match="closed"):
        e.embed("a")


def in_fork(embedder, queue):
    try:
        embedder.embed("a")
        queue.put("answered")
    except RuntimeError as e:
        queue.put(str(e))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_is_told(embedder):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=in_fork, args=(embedder, queue))
    process.start()
    assert "fork" in queue.get(timeout=20)
    process.join(20)
    assert process.exitcode == 0


# ---- Ctrl-C

LONG = """
import sys, time, qvec
e = {model}
print("ready", flush=True)
try:
    {call}
    print("finished")
except KeyboardInterrupt:
    print("interrupted", flush=True)
    raise
"""
EMBEDDER = f"qvec.Embedder({harness.folder('small')!r}, load_format='dummy', threads=1)"


@pytest.mark.parametrize("model, call", [
    (EMBEDDER, "e.embed('word ' * 30000, prompt='raw')"),  # one forward pass of half a minute
    (EMBEDDER, "e.embed(['some words'] * 200000)"),  # many inputs
    (EMBEDDER, "[None for _ in e.stream({'text': f'text {i}'} for i in range(10**9))]"),
    (EMBEDDER, "e.embed({'image': %r, 'min_pixels': 1800000})" % asset("base.jpg")),  # the vision tower
    (f"qvec.Reranker({harness.folder('small', 'reranker')!r}, load_format='dummy', threads=1)", "e.score('a', ['some words'] * 100000)"),
], ids=["long", "many", "stream", "picture", "rerank"])
def test_ctrl_c(model, call):
    process = subprocess.Popen([sys.executable, "-c", LONG.format(model=model, call=call)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.7)
    assert process.poll() is None
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    seconds = time.monotonic() - start
    assert out == "interrupted\n" and "KeyboardInterrupt" in err and "ignored" not in err
    assert process.returncode == -signal.SIGINT
    assert seconds < 0.5 or os.getloadavg()[0] > os.cpu_count() and seconds < 3, f"{seconds} s"


def test_a_model_works_on_after_ctrl_c():
    code = f"""
import os, qvec, signal, threading
e = {EMBEDDER}
before = e.embed("a").tobytes()
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    e.embed("word " * 30000, prompt="raw")
except KeyboardInterrupt:
    print(e.embed("a").tobytes() == before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n", done.stderr


# ---- memory

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
                                                     "uordblks", "fordblks", "keepcost")]


LIBC = ctypes.CDLL(None)
LEAST = {"heap": 50, "resident": 100, "objects": 0.25}  # what a call may leave behind: bytes, and Python's blocks
ROUNDS = 3


def in_use():
    """What is allocated in C, to the byte; pages of the process; blocks that Python's allocator has handed out."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as f:
        used = {"resident": int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"), "objects": sys.getallocatedblocks()}
    if hasattr(LIBC, "mallinfo2"):
        LIBC.mallinfo2.restype = Mallinfo
        info = LIBC.mallinfo2()
        used["heap"] = info.uordblks + info.hblkhd
    return used


def check_flat(calls, call):
    """A leak grows in every round; caches that fill and memory that the allocator holds back do so once."""
    for _ in range(calls // 10):
        call()
    seen = []
    for _ in range(ROUNDS):
        before = in_use()
        for _ in range(calls):
            call()
        after = in_use()
        seen.append({name: after[name] - before[name] for name in before})
        if all(grown < LEAST[name] * calls for name, grown in seen[-1].items()):
            return seen
    raise AssertionError(f"left by {calls} calls, and again by as many: {seen}")


@pytest.mark.resident
def test_memory_is_flat(embedder, reranker):
    picture = np.zeros((64, 64, 3), np.uint8)
    out = np.empty((1, 64), np.float32)
    kinds = {"tokenize": (100_000, lambda: embedder.tokenize("a few words")),
             "embed": (CALLS, lambda: embedder.embed("a", prompt="raw", out=out)),
             "picture": (TENTH, lambda: embedder.embed({"image": picture, "text": "b"})),
             "rerank": (TENTH, lambda: reranker.score("a", ["b"])),
             "refused": (CALLS, lambda: _refused(embedder))}
    for name, (calls, call) in kinds.items():
        print(f"{name}: {calls} calls left {check_flat(calls, call)}", flush=True)


@pytest.mark.resident
@pytest.mark.skipif(not hasattr(LIBC, "mallinfo2"), reason="the C library is older than mallinfo2")
def test_a_leak_would_show(embedder):
    """A hundred bytes a call from C, and one object a call that Python keeps, with the smallest number of calls."""
    LIBC.malloc.restype, kept = ctypes.c_void_p, []
    for leak in (lambda: LIBC.malloc(100), lambda: kept.append([])):
        with pytest.raises(AssertionError, match="left by 2000 calls"):
            check_flat(2000, lambda: (embedder.tokenize("a few words"), leak()))


def _refused(embedder):
    try:
        embedder.embed(b"x")
    except qvec.MediaError:
        pass
