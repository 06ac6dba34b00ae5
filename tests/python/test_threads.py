"""Threads, forks, signals, memory."""
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

# Calls of each kind, and bytes that the allocator may hold back. Each call goes through threads, so on a machine that is
# busy 100,000 take minutes; QVEC_TEST_CALLS=100000 makes them. A leak of one structure a call is seen at 20,000.
CALLS, SLACK = int(os.environ.get("QVEC_TEST_CALLS", "20000")), 5 << 19


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

def resident():
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.resident
def test_memory_is_flat(embedder, reranker):
    picture = np.zeros((64, 64, 3), np.uint8)
    out = np.empty((1, 64), np.float32)
    kinds = [(100_000, lambda: embedder.tokenize("a few words")),
             (CALLS, lambda: embedder.embed("a", prompt="raw", out=out)),
             (CALLS // 10, lambda: embedder.embed({"image": picture, "text": "b"})),
             (CALLS // 10, lambda: reranker.score("a", ["b"])),
             (CALLS, lambda: _refused(embedder))]
    for calls, call in kinds:
        for _ in range(calls // 10):
            call()
        before = resident()
        for _ in range(calls):
            call()
        grown = resident() - before
        assert grown < SLACK, f"{grown} bytes in {calls} calls"


def _refused(embedder):
    try:
        embedder.embed(b"x")
    except qvec.MediaError:
        pass
