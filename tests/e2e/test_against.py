"""qvec verify --against: our own second server agrees, and of one that does otherwise the likely cause is named.

The wrong servers are a proxy before a right one: it asks that one for what a mistaken server would compute. A mean over
tokens comes from the vectors of every beginning of the text, which in a causal model are the states of its tokens."""
import contextlib
import http.server
import json
import ssl
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest

from models import RERANKER, TINY
from test_door import pki  # noqa: F401
from test_serve import Running

END = "<|endoftext|>"


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Mistaken:
    """What servers make of the texts of one request, over a right server at `base`."""

    def __init__(self, base):
        self.base = base

    def vectors(self, texts, **wishes):
        answer = post(self.base + "/v1/embeddings", {"input": texts, **wishes})
        return np.array([row["embedding"] for row in answer["data"]], dtype=np.float32)

    def ids(self, text):
        return post(self.base + "/tokenize", {"prompt": text, "add_special_tokens": True})["tokens"]

    def right(self, texts):
        return self.vectors(texts)

    def official(self, texts):
        return self.vectors(texts, prompt="official")

    def no_end(self, texts):
        return self.vectors(texts, add_special_tokens=False)

    def two_ends(self, texts):
        return self.vectors([text + END for text in texts])

    def mean(self, texts):
        rows = []
        for text in texts:
            ids = self.ids(text)
            states = [self.vectors([ids[:n]], use_activation=False)[0] for n in range(1, len(ids) + 1)]
            rows.append(np.mean(states, axis=0))
        return unit(np.array(rows))

    def first(self, texts):
        return self.vectors([self.ids(text)[:1] for text in texts])

    def lower(self, texts):
        return self.vectors([text.lower() for text in texts])

    def cut(self, texts):
        return unit(self.vectors(texts)[:, :16])

    def raw_lengths(self, texts):
        return self.vectors(texts, use_activation=False)

    def whole_numbers(self, texts):
        return np.rint(self.vectors(texts) * 127)

    def noisy(self, texts):
        rows = self.vectors(texts)
        return unit(rows + np.random.default_rng(len(texts)).normal(0, 0.01 / rows.shape[1] ** 0.5, rows.shape))

    def backwards(self, texts):
        return self.vectors(texts)[::-1]

    def short(self, texts):
        return self.vectors(texts, truncate_prompt_tokens=128)

    def wide(self, texts):
        return np.tile(self.vectors(texts), 2)

    def unlike(self, texts):
        return unit(np.array([np.random.default_rng(list(text.encode())).normal(size=64) for text in texts]))


@contextlib.contextmanager
def served(answer, tls=None):
    """answer(path, body) -> (status, body); on a free port, under an ssl.SSLContext."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def reply(self, body):
            status, text = answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self):
            self.reply(None)

        def do_POST(self):
            self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def embedding_answer(make):
    def answer(path, body):
        if body is None:
            return 404, b"{}"
        rows = make(body["input"])
        return 200, json.dumps({"data": [{"index": i, "embedding": row.tolist()} for i, row in enumerate(rows)]}).encode()
    return answer


@pytest.fixture(scope="module")
def right():
    server = Running("--served-model-name", "other-name", "--log-level", "warning")
    yield server.base
    assert server.stop() == 0


def test_our_own_server_agrees(qvec, right):
    for url in (right, right + "/v1/", right + "/v1/embeddings"):
        done = qvec("verify", *TINY, "--against", url)
        assert done.status == 0, done.out + done.err
        assert "12 of 12 probes" in done.out and "other-name" in done.out
        assert done.out.count("\nok    ") == 3 and "1.0000000" in done.out and "FAIL" not in done.out


@pytest.mark.parametrize("mistake, meant, words", [
    ("right", "official", "vectors are those of the raw text: the text and the end token"),
    ("official", "raw", "vectors are those of the official prompt: instruction"),
    ("no_end", "raw", "vectors are those of the raw text without its end token"),
    ("two_ends", "raw", "vectors are those of the raw text with two end tokens"),
    ("mean", "raw", "vectors are those of mean pooling over the raw text (lowest"),
    ("first", "raw", "vectors are those of the first token"),
    ("lower", "raw", "vectors are those of the raw text in lower case"),
    ("cut", "raw", 'vectors are cut to 16 of 64 values: ask qvec for "dimensions": 16'),
    ("raw_lengths", "raw", "vectors are not of unit length"),
    ("whole_numbers", "raw", "vectors are whole numbers"),
    ("backwards", "raw", "the vectors of one request come in another order"),
    ("short", "raw", "long texts are cut after 128 tokens"),
    ("wide", "raw", "it is another model"),
    ("unlike", "raw", "no recipe gives these vectors"),
])
def test_the_cause_is_named(qvec, right, mistake, meant, words):
    with served(embedding_answer(getattr(Mistaken(right), mistake))) as url:
        done = qvec("verify", *TINY, "--against", url, "--prompt", meant)
    assert done.status == 1 and done.err == ""
    failures = [line for line in done.out.splitlines() if line.startswith("FAIL")]
    assert len(failures) == 1 and words in failures[0], done.out


@pytest.mark.parametrize("bare", [False, True])
def test_vectors_are_placed_by_their_index(qvec, right, bare):
    """Servers that answer as items are done say by "index" which is which; without it the order is all there is."""
    def answer(path, body):
        if body is None:
            return 404, b"{}"
        rows = [{"index": i, "embedding": row.tolist()} for i, row in enumerate(Mistaken(right).right(body["input"]))]
        rows = [row["embedding"] for row in rows] if bare else rows[::-1]
        return 200, json.dumps(rows if bare else {"data": rows}).encode()

    with served(answer) as url:
        done = qvec("verify", *TINY, "--against", url)
    assert done.status == 0 and "12 of 12 probes" in done.out and "FAIL" not in done.out, done.out + done.err


def test_fewer_bits_agree(qvec, right):
    with served(embedding_answer(Mistaken(right).noisy)) as url:
        done = qvec("verify", *TINY, "--against", url)
    assert done.status == 0 and "same recipe, fewer bits" in done.out, done.out


def test_a_probe_that_is_refused_is_said(qvec, right):
    make = embedding_answer(Mistaken(right).right)
    with served(lambda path, body: (400, b"no emoji") if body and any("🐶" in t for t in body["input"]) else make(path, body)) as url:
        done = qvec("verify", *TINY, "--against", url)
    assert done.status == 0 and "11 of 12 probes" in done.out and "refused" in done.out


@pytest.mark.parametrize("status, text, words", [
    (500, b"out of order", "HTTP 500: out of order"), (200, b"<html>", "it is not JSON"), (200, b'{"data": []}', "it has no data[0].embedding"),
    (200, b'{"data": [{"embedding": [1, "x"]}]}', "something that is no number"), (200, b'{"data": [{"embedding": [1e300]}]}', "not sound"),
    (200, b'{"data": [{"embedding": [1, 2]}, {"embedding": [1, 2]}]}', "not one vector each"), (200, b'[[1, 2], [1]]', "not of one size"),
    (200, b'{"data": [{"index": 0, "embedding": [1, 2]}, {"index": 0, "embedding": [1, 2]}]}', "two vectors have one index"),
    (200, b'{"data": [{"index": 1, "embedding": [1, 2]}]}', "no index of its own"),
    (200, b'{"data": [{"index": -1, "embedding": [1, 2]}]}', "no index of its own"),
    (200, b'{"data": [{"index": 0, "embedding": [1, 2]}, {"embedding": [1, 2]}]}', "no index of its own"),
    (200, b'{"data": [{"embedding": [1, 2]}, {"index": 1, "embedding": [1, 2]}]}', "no index of its own"),
])
def test_no_answer_to_compare(qvec, status, text, words):
    with served(lambda path, body: (status, text)) as url:
        done = qvec("verify", *TINY, "--against", url)
    assert done.status == 1 and words in done.err, done.err


def test_where_no_server_is(qvec):
    done = qvec("verify", *TINY, "--against", "http://127.0.0.1:1")
    assert done.status == 1 and "http://127.0.0.1:1/v1/embeddings" in done.err
    done = qvec("verify", *TINY, "--against", "file:///etc/passwd")
    assert done.status == 1 and "is not an http or https URL" in done.err


def test_the_key_is_sent(qvec):
    server = Running("--api-key", "secret")
    try:
        assert "HTTP 401" in qvec("verify", *TINY, "--against", server.base).err
        assert qvec("verify", *TINY, "--against", server.base, "--against-api-key", "secret").status == 0
        assert qvec("verify", *TINY, "--against", server.base, env={"QVEC_AGAINST_API_KEY": "secret"}).status == 0
    finally:
        server.stop()


@pytest.mark.parametrize("change, words", [
    (lambda s: s, "ok    same scores"), (lambda s: np.log(s / (1 - s)), "scores are logits"), (lambda s: 1 - s, "other scores"),
])
def test_rerankers(qvec, change, words):
    server = Running(model=RERANKER)
    try:
        def answer(path, body):
            if body is None:
                return 404, b"{}"
            assert path == "/v1/rerank"
            results = post(server.base + path, body)["results"]
            return 200, json.dumps({"results": [{"index": r["index"], "relevance_score": float(change(r["relevance_score"]))}
                                                for r in results]}).encode()
        with served(answer) as url:
            done = qvec("verify", *RERANKER, "--against", url)
        assert words in done.out and done.status == (0 if words.startswith("ok") else 1), done.out + done.err
    finally:
        server.stop()


class Tei:
    """A reranker in TEI's form over a right one: `texts` at `route`, a bare list by score, and what it says to the rest."""

    def __init__(self, base, route, refusal):
        self.base, self.route, self.refusal, self.asked = base, route, refusal, []

    def __call__(self, path, body):
        if body is None:
            return 404, b"{}"
        self.asked.append((path, "texts" if "texts" in body else "documents"))
        if path != self.route:
            return 404, b"no such route"
        if "texts" not in body:
            return self.refusal, b"missing field `texts`"
        results = post(self.base + "/v1/rerank", {"query": body["query"], "documents": body["texts"]})["results"]
        results.sort(key=lambda r: -r["relevance_score"])
        return 200, json.dumps([{"index": r["index"], "score": r["relevance_score"]} for r in results]).encode()


@pytest.fixture(scope="module")
def right_reranker():
    server = Running(model=RERANKER)
    yield server.base
    assert server.stop() == 0


@pytest.mark.parametrize("route, refusal, end, first", [
    ("/rerank", 422, "", "/v1/rerank"), ("/rerank", 400, "/rerank", "/rerank"), ("/v1/rerank", 422, "/v1/rerank", "/v1/rerank")])
def test_rerankers_in_the_form_of_tei(qvec, right_reranker, route, refusal, end, first):
    tei = Tei(right_reranker, route, refusal)
    with served(tei) as url:
        done = qvec("verify", *RERANKER, "--against", url + end)
        assert done.status == 0 and "ok    same scores" in done.out and f"against {url}{route}\n" in done.out, done.out + done.err
    assert tei.asked[:2] == [(first, "documents"), (route, "texts")]
    assert len(tei.asked) > 2 and set(tei.asked[2:]) == {(route, "texts")}, "what it takes is asked only once"


@pytest.mark.parametrize("status, asked", [(400, 2), (404, 2), (422, 2), (401, 1), (429, 1), (500, 1)])
def test_what_a_reranker_refuses_is_told_as_it_was_first(qvec, status, asked):
    seen = []

    def answer(path, body):
        if body is None:
            return 404, b"{}"
        seen.append(body)
        return status, b"refusal %d" % len(seen)

    with served(answer) as url:
        done = qvec("verify", *RERANKER, "--against", url)
    assert done.status == 1 and f"HTTP {status}: refusal 1" in done.err and len(seen) == asked, done.err


def test_https(qvec, pki):  # noqa: F811
    """Whom it believes; a refusal over HTTP shows that it came to speak with the server."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pki / "one.pem", pki / "one.key")
    root, alone = str(pki / "root.pem"), str(pki / "alone.pem")
    with served(lambda path, body: (500, b"out of order"), tls) as url:
        for flags, roots in (([], ""), ([], alone), (["--cacert", alone], root)):
            done = qvec("verify", *TINY, "--against", url, *flags, env={"SSL_CERT_FILE": roots})
            assert done.status == 1 and f"{url}/v1/embeddings: " in done.err and "certificate" in done.err, done.err
        for flags, roots in (([], root), (["--cacert", root], alone), (["--insecure"], "")):
            done = qvec("verify", *TINY, "--against", url, *flags, env={"SSL_CERT_FILE": roots})
            assert "HTTP 500: out of order" in done.err and ("warning" in done.err) == (flags == ["--insecure"]), done.err
        assert qvec("verify", *TINY, "--against", url, "--cacert", root, "--insecure").status == 2
