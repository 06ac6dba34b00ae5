"""qvec serve: starting, stopping, its own flags and the ones people bring from vLLM."""
import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

import harness
from models import TINY


class Running:
    """A server on a port of its own choosing, told by its start line."""

    def __init__(self, *flags, env=None, model=TINY, **options):
        command = [harness.QVEC, "serve", *model, "--host", "127.0.0.1", "--port", "0", *map(str, flags)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(env or {})},
                                        **options)
        self.lines = []
        self.line = next((line for line in self.read() if " serves " in line), "")
        assert self.line, self.lines
        self.base = re.search(r"http://127\.0\.0\.1:\d+", self.line)[0]

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode())
            yield self.lines[-1]

    def post(self, path, body, key=None):
        head = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.base + path, json.dumps(body).encode(), head), timeout=60) as r:
                return r.status, json.load(r)
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read() or b"null")

    def get(self, path):
        with urllib.request.urlopen(self.base + path, timeout=20) as r:
            return r.read().decode()

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        rest = self.process.communicate(timeout=60)
        self.lines.append(rest[1].decode())
        return self.process.returncode


@contextlib.contextmanager
def serve(*flags, **options):
    server = Running(*flags, **options)
    try:
        yield server
    finally:
        assert server.stop() == 0


def test_start_line_and_clean_end():
    server = Running("--served-model-name", "one", "two", "--threads", "1", "--cpu-tier", "c")
    assert re.fullmatch(r"qvec \S+ serves one \(embed, 64 values, up to 32768 tokens\) at http://127\.0\.0\.1:\d+ on cpu c with 1 threads; "
                        r"started in \d+ ms\n", server.line)
    assert [m["id"] for m in json.loads(server.get("/v1/models"))["data"]] == ["one", "two"]
    assert server.post("/v1/embeddings", {"input": "a", "model": "two"})[0] == 200
    assert server.post("/v1/embeddings", {"input": "a", "model": "three"})[0] == 404
    assert server.stop(signal.SIGINT) == 0 and "stopping" in server.lines[-1]


LONG = {"input": ["word " * 3000 + str(i) for i in range(8)], "encoding_format": "base64"}


def test_requests_under_way_are_finished():
    server = Running("--threads", "1")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(server.post("/v1/embeddings", LONG)))
    thread.start()
    while '"server_load":1' not in server.get("/load").replace(" ", ""):
        time.sleep(0.01)
    assert server.stop() == 0
    thread.join(60)
    assert answers[0][0] == 200 and len(answers[0][1]["data"]) == 8


def post_quietly(server, body):
    with contextlib.suppress(OSError):
        server.post("/v1/embeddings", body)


def test_second_signal_ends_at_once():
    server = Running("--threads", "1", "--cpu-tier", "c", "--drain-timeout", "600")
    body = {"input": ["word " * 8000 + str(i) for i in range(64)]}
    thread = threading.Thread(target=post_quietly, args=(server, body))
    thread.start()
    while '"server_load":1' not in server.get("/load").replace(" ", ""):
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    next(line for line in server.read() if "stopping" in line)
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 130 and time.monotonic() - begun < 10
    thread.join(20)
    server.process.communicate()


@pytest.mark.parametrize("body", [{"input": "word " * 8000}, {"input": ["word " * 3000, "word " * 3100]}], ids=["one", "two"])
def test_the_drain_time_bounds_the_exit(body):
    """Documents that would take this CPU tier minutes: the pass under way stops between two of its blocks."""
    server = Running("--threads", "1", "--cpu-tier", "c", "--drain-timeout", "1")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(server.post("/v1/embeddings", body)))
    thread.start()
    while " 1" not in [line[-2:] for line in server.get("/metrics").splitlines() if "num_requests_running{" in line]:
        time.sleep(0.05)
    begun = time.monotonic()
    assert server.stop() == 0
    seconds = time.monotonic() - begun
    thread.join(20)
    assert answers[0][0] == 503 and "shutting down" in answers[0][1]["error"]["message"]
    assert 1 <= seconds < 6, seconds


def test_keys_from_flag_and_environment():
    with serve("--api-key", "k1", "k2", env={"QVEC_API_KEY": "env"}) as s:
        assert [s.post("/v1/embeddings", {"input": "a"}, k)[0] for k in (None, "k1", "k2", "env")] == [401, 200, 200, 401]
    for name in ("QVEC_API_KEY", "VLLM_API_KEY"):
        with serve(env={name: "env"}) as s:
            assert [s.post("/v1/embeddings", {"input": "a"}, k)[0] for k in (None, "env")] == [401, 200]


def test_a_command_line_for_vllm():
    flags = ["--runner", "pooling", "--convert", "embed", "--dtype", "auto", "--trust-remote-code", "--gpu-memory-utilization", "0.9",
             "--max-model-len", "25.6k", "--max_num_seqs", "64", "--max-num-batched-tokens=4096", "--tensor-parallel-size", "1",
             "--hf-overrides", '{"is_matryoshka": true}', "--limit-mm-per-prompt", '{"image": 1, "video": {"count": 0}}', "--enforce-eager",
             "--mm-processor-kwargs", '{"min_pixels": 4096, "max_pixels": 65536}', "--enable-prefix-caching", "--disable-log-requests",
             "--uvicorn-log-level", "warning", "--seed", "0", "--chat-template", "x.jinja", "--pooler-config", '{"pooling_type": "LAST"}']
    with serve(*flags) as s:
        warned = [line for line in s.lines if "warning: " in line]
        assert len(warned) == 5 and all(line.count("\n") == 1 for line in warned)
        assert "up to 25600 tokens" in s.line
        with open(os.path.join(harness.ASSETS, "vga.png"), "rb") as f:
            url = "data:image/png;base64," + base64.b64encode(f.read()).decode()
        item = {"type": "image_url", "image_url": {"url": url}}
        one = s.post("/v1/embeddings", {"messages": [{"role": "user", "content": [item]}]})
        two = s.post("/v1/embeddings", {"messages": [{"role": "user", "content": [item, item]}]})
        video = s.post("/v1/embeddings", {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": url}}]}]})
        assert (one[0], two[0], video[0]) == (200, 400, 400)
        assert one[1]["usage"]["prompt_tokens"] < 100 and "At most 1 image" in two[1]["error"]["message"]


@pytest.mark.parametrize("flags, said", [
    (["--dtype", "float16"], "fp32"), (["--tensor-parallel-size", "2"], "one device"), (["--runner", "generate"], "pooling"),
    (["--quantization", "awq"], "not awq"), (["--hf-overrides", '{"num_hidden_layers": 2}'], "num_hidden_layers"),
    (["--hf-overrides", "nonsense"], "JSON object"), (["--pooler-config", '{"pooling_type": "MEAN"}'], "pooling_type"),
    (["--ssl-keyfile", "x"], "--ssl-certfile is missing"), (["--limit-mm-per-prompt", '{"image": -1}'], "image"), (["--limit-mm-per-prompt", "[]"], "JSON object"),
    (["--limit-mm-per-prompt", '{"images": 1}'], "images"), (["--mm-processor-kwargs", '{"max_pixels": "x"}'], "max_pixels"),
    (["--mm-processor-kwargs", '{"maxpixels": 1}'], "maxpixels"), (["--port", "65536"], "--port"), (["--dtype"], "needs a value"),
    (["--log-level", "loud"], "error|warning|info|debug"),
], ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_what_would_change_answers_is_refused(qvec, flags, said):
    done = qvec("serve", *TINY, *flags)
    assert done.status == 2 and said in done.err and done.err.count("\n") == 1


def test_port_in_use(qvec):
    with serve() as s:
        done = qvec("serve", *TINY, "--host", "127.0.0.1", "--port", s.base.rsplit(":", 1)[1])
        assert done.status == 1 and s.base.rsplit(":", 1)[1] in done.err


def test_logs():
    server = Running("--log-format", "json")
    server.post("/v1/embeddings", {"input": ["a", "bc"]})
    assert server.stop() == 0
    entries = [json.loads(line) for text in server.lines for line in text.splitlines() if line.startswith("{")]
    one, = [e for e in entries if e["message"] == "request" and e["path"] == "/v1/embeddings"]
    assert one["level"] == "info" and one["method"] == "POST" and one["client"] == "127.0.0.1" and one["end"] == "sent"
    assert one["status"] == 200 and one["items"] == 2 and one["tokens"] >= 4 and len(one["id"]) == 32
    stages = [one[name + "_ms"] for name in ("read", "wait", "decode", "compute", "write")]
    assert min(stages) >= 0 and one["compute_ms"] > 0 and abs(sum(stages) - one["total_ms"]) < 5
    for flags in (["--disable-uvicorn-access-log"], ["--log-level", "warning"]):
        server = Running(*flags)
        server.post("/v1/embeddings", {"input": "a"})
        assert server.stop() == 0 and "/v1/embeddings" not in "".join(server.lines[1:])


def test_without_the_access_log_the_rest_of_the_log_stays(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("one\n")
    server = Running("--disable-uvicorn-access-log", "--log-level", "debug", "--api-key-file", keys)
    assert server.post("/v1/embeddings", {"input": "a"}, "one")[0] == 200
    server.process.send_signal(signal.SIGHUP)
    assert any("was read again: 1 API keys" in line for line in server.read())
    with socket.create_connection(("127.0.0.1", int(server.base.rsplit(":", 1)[1]))) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n")
        assert s.recv(100)
    assert any("http: " in line for line in server.read()), "libmicrohttpd's own words are debug lines"
    assert server.stop() == 0 and "/v1/embeddings" not in "".join(server.lines[1:])


def test_local_files_only_where_allowed(tmp_path):
    with open(os.path.join(harness.ASSETS, "small.png"), "rb") as f:
        picture = f.read()
    (tmp_path / "a b.png").write_bytes(picture)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "c.png").write_bytes(picture)

    def ask(server, url):
        return server.post("/v1/embeddings", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]})
    with serve("--allowed-local-media-path", tmp_path) as s:
        good = ask(s, f"file://{tmp_path}/a%20b.png")
        data = ask(s, "data:image/png;base64," + base64.b64encode(picture).decode())
        assert good[0] == 200 and good[1]["data"] == data[1]["data"]
        assert ask(s, f"file://localhost{tmp_path}/in/c.png")[0] == 200
        assert [ask(s, u)[0] for u in ("file:///etc/passwd", f"file://{tmp_path}/in/../../x.png", "file://host/x", "file://", "file:///a%00b")] \
            == [400] * 5
    with serve() as s:
        assert ask(s, f"file://{tmp_path}/a%20b.png")[0] == 400


def test_curl_of_the_guide():
    with serve() as s:
        done = subprocess.run(["curl", "-sS", s.base + "/v1/embeddings", "-H", "Content-Type: application/json", "-d", '{"input":"hello"}'],
                              capture_output=True, timeout=20)
        assert len(json.loads(done.stdout)["data"][0]["embedding"]) == 64


def test_no_model_no_server(qvec):
    assert qvec("serve", "no/such-model").status == 3


def test_the_built_in_models():
    """Without MODEL the one that embeds; asked to rerank, the one that does."""
    passages = ["The capital of China is Beijing.", "Gravity is a force that attracts two bodies towards each other."]
    with serve(model=[]) as s:
        status, answer = s.post("/v1/embeddings", {"input": "hello"})
        assert status == 200 and len(answer["data"][0]["embedding"]) == 256
    with serve("--task", "rerank", model=[]) as s:
        for query, best in (("What is the capital of China?", 0), ("Explain gravity", 1)):
            status, answer = s.post("/v1/rerank", {"query": query, "documents": passages})
            assert status == 200 and answer["results"][0]["index"] == best
