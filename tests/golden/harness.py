"""Drives the qvec program for the golden tests: folders, one-shot commands, a server."""
import base64
import contextlib
import functools
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DATA = os.path.join(HERE, "data")
ASSETS = os.path.join(DATA, "assets")
BUILD = os.environ.get("QVEC_BUILD", os.path.join(ROOT, "build"))
QVEC = os.environ.get("QVEC_BIN", os.path.join(BUILD, "qvec"))
CHECKPOINTS = os.environ.get("QVEC_TEST_CHECKPOINTS", os.path.join(BUILD, "tests", "checkpoints"))

ANSWER_FIELDS = ("ids", "frames", "embedding", "scores", "trace", "task")
VISUAL_FIELDS = ("image", "video")
LOSSY = ("video-h264", "video-vp9-max6")  # a YUV decode that no two libraries do alike


def stored(name):
    with open(os.path.join(DATA, name + ".json"), encoding="utf-8") as f:
        return json.load(f)


def question(case):
    """A golden case without its answer: what a user would send."""
    return {k: v for k, v in case.items() if k not in ANSWER_FIELDS}


def is_visual(case):
    sides = [case, case.get("query", {})] + case.get("documents", [])
    return any(field in side for side in sides for field in VISUAL_FIELDS)


def folder(shape, kind="embedding"):
    path = os.path.join(CHECKPOINTS, f"{shape}-{kind}")
    assert os.path.exists(os.path.join(path, "config.json")), f"{path} is missing: build first (make)"
    return path


def run(arguments, text="", cwd=ASSETS, timeout=600, statuses=(0,)):
    """One command. The exit status is checked; stdout comes back."""
    done = subprocess.run([QVEC, *arguments], input=text.encode(), cwd=cwd, timeout=timeout, capture_output=True)
    assert done.returncode in statuses, \
        f"qvec {' '.join(arguments)}: exit status {done.returncode}\n{done.stderr.decode(errors='replace')[-4000:]}"
    return done.stdout.decode()


def run_lines(command, model, items, *flags, seed=0, statuses=(0, 1), **options):
    """`qvec embed` or `qvec rerank` over JSON Lines: [answer], in the items' order. model: a folder."""
    text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    form = ["--load-format", f"dummy:{seed}"] if seed is not None else []
    output = run([command, model, *form, *flags, "-"], text, statuses=statuses, **options)
    answers = [json.loads(line) for line in output.splitlines()]
    assert len(answers) == len(items), f"{len(items)} lines in, {len(answers)} out"
    return answers


@functools.lru_cache(maxsize=None)
def golden_run(command, shape, name, seed):
    """{id: answer} of a whole golden file through the command line, run once for all tests."""
    kind = "embedding" if command == "embed" else "reranker"
    items = [question(case) for case in stored(name)]
    answers = run_lines(command, folder(shape, kind), items, "--echo", "ids,frames", seed=seed)
    return {answer["id"]: answer for answer in answers}


def check_vector(values, expected, cosine=0.999999, difference=2e-5):
    got, want = np.asarray(values, np.float64), np.asarray(expected, np.float64)
    assert got.shape == want.shape
    assert np.isfinite(got).all()
    assert abs(np.linalg.norm(got) - 1) < 1e-5
    similar = float(got @ want / np.linalg.norm(got) / np.linalg.norm(want))
    assert similar > cosine, f"cosine {similar:.9f}"
    worst = float(np.abs(got - want).max())
    assert worst < difference, f"largest difference {worst:.3g}"


def tolerance(case_id):
    """(cosine, largest difference, frames equal) of a golden case; data/README.md says why."""
    if case_id in LOSSY:
        return 0.9995, 0.05, False
    return 0.999999, 2e-5, True


def check_sizes(frames, expected):
    assert [f[:2] for f in frames] == [f[:2] for f in expected]


def vector_bytes(answer):
    """The exact float32 bytes of an answer: its numbers are printed so that they read back exactly."""
    assert "error" not in answer, answer
    return np.asarray(answer["embedding"], np.float32).tobytes()


# ---- over HTTP -----------------------------------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, port):
        self.base = f"http://127.0.0.1:{port}"

    def post(self, path, body, timeout=120):
        """(status, decoded JSON)"""
        return self._ask(urllib.request.Request(self.base + path, json.dumps(body).encode(), {"Content-Type": "application/json"}), timeout)

    def get(self, path, timeout=120):
        return self._ask(urllib.request.Request(self.base + path), timeout)

    @staticmethod
    def _ask(request, timeout):
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read() or b"null")

    def embed(self, value, **fields):
        """Vectors of one /v1/embeddings call, as float32 arrays, and the whole answer."""
        status, answer = self.post("/v1/embeddings", {"input": value, **fields})
        assert status == 200, answer
        data = sorted(answer["data"], key=lambda d: d["index"])
        if fields.get("encoding_format") == "base64":
            return [np.frombuffer(base64.b64decode(d["embedding"]), "<f4") for d in data], answer
        return [np.asarray(d["embedding"], np.float32) for d in data], answer


@contextlib.contextmanager
def serve(model, *flags, seed=0, log=None):
    port = free_port()
    arguments = [QVEC, "serve", model, "--runner", "pooling", "--host", "127.0.0.1", "--port", str(port), *flags]
    if seed is not None:
        arguments += ["--load-format", f"dummy:{seed}"]
    with open(log or os.devnull, "wb") as err:
        process = subprocess.Popen(arguments, cwd=ASSETS, stdout=err, stderr=err)
    try:
        server = Server(port)
        wait_until_healthy(server, process, log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            pytest.fail("the server did not stop within 30 s of SIGTERM")


def wait_until_healthy(server, process, log):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(server.base + "/health", timeout=2):
                return
        if process.poll() is not None:
            text = open(log, encoding="utf-8", errors="replace").read()[-4000:] if log else ""
            pytest.fail(f"qvec serve ended with status {process.returncode}\n{text}")
        time.sleep(0.05)
    pytest.fail("qvec serve was not healthy within 60 s")
