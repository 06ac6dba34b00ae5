"""qvec bench serve against https:// servers: whom it believes, connections that are kept and resumed, handshakes that fail."""
import asyncio
import contextlib
import json
import socket
import ssl
import threading

import pytest

import stub as stubs
from models import TINY
from stub import Stub
from test_door import Secure, make_certificate, pki  # noqa: F401  pki: a fixture

BEFORE = 2  # connections before the requests: is there a server, and what does it serve?
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def named(pki):  # noqa: F811
    make_certificate(pki, "other", "root", names="DNS:other.example,IP:127.0.0.9")
    return pki


def context(pki, name="one", version=None):  # noqa: F811
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pki / f"{name}.pem", pki / f"{name}.key")
    made.set_alpn_protocols(["h2", "http/1.1"])
    made.sni_asked = []
    made.sni_callback = lambda _, host, __: made.sni_asked.append(host)
    if version:
        made.minimum_version = made.maximum_version = version
    return made


@pytest.fixture
def secure_bench(bench, pki):  # noqa: F811
    def run(port, *flags, host="localhost", prefix="", trust=("--cacert", "root.pem"), **options):
        trust = [str(pki / t) if t.endswith(".pem") else t for t in trust]
        return bench(port, "--base-url", f"https://{host}:{port}{prefix}", *trust, *flags, **options)
    return run


# ---- requests ----

@pytest.mark.parametrize("version", VERSIONS)
def test_connections_are_kept(secure_bench, pki, version):  # noqa: F811
    tls = context(pki, version=version)
    with Stub(tls=tls) as stub:
        run = secure_bench(stub.port, "--num-prompts", 60, "--max-concurrency", 5, prefix="/deep/er/")
        assert run.status == 0, run.err
        assert run.result["completed"] == 60 and run.result["connections"] <= 5
        assert {line for line, _, _ in stub.requests} == {"POST /deep/er/v1/embeddings HTTP/1.1"}
        assert stub.requests[0][1]["host"] == f"localhost:{stub.port}"
        assert set(tls.sni_asked) == {"localhost"}
        assert {s.selected_alpn_protocol() for s in stub.secure} == {"http/1.1"}
        assert {s.version() for s in stub.secure} == {"TLSv1.2" if version == VERSIONS[0] else "TLSv1.3"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("threads", [1, 2])
def test_sessions_are_resumed(secure_bench, pki, version, threads):  # noqa: F811
    with Stub(tls=context(pki, version=version), keep_alive=False) as stub:
        run = secure_bench(stub.port, "--num-prompts", 40, "--max-concurrency", 4, "--client-threads", threads)
        assert run.status == 0, run.err
        assert run.result["connections"] == 40 and len(stub.secure) == BEFORE + 40
        assert sum(s.session_reused for s in stub.secure) >= 30


def test_many_connections_to_the_real_server(secure_bench, pki):  # noqa: F811
    server = Secure("--ssl-certfile", pki / "two.pem", "--ssl-keyfile", pki / "two.key")
    try:
        port = server.base.rsplit(":", 1)[1]
        run = secure_bench(port, "--num-prompts", 600, "--max-concurrency", 200, "--client-threads", 2, model=TINY[0])
        assert run.status == 0, run.err
        assert (run.result["completed"], run.result["peak_concurrency"]) == (600, 200)
        run = secure_bench(port, "--num-prompts", 200, "--random-batch-size", 50, "--random-input", 200, model=TINY[0])  # several records each way
        assert run.status == 0, run.err
        assert (run.result["completed"], run.result["total_input_tokens"]) == (4, 200 * 200)
    finally:
        assert server.stop() == 0


def test_a_kept_connection_that_breaks_is_tried_once_more(secure_bench, pki):  # noqa: F811
    async def handle(stub, number, body):
        return None if number % 2 else await stubs.ok(body)

    with Stub(handle, tls=context(pki)) as stub:
        run = secure_bench(stub.port, "--num-prompts", 10, "--max-concurrency", 1)
    assert run.status == 0, run.err
    assert run.result["completed"] == 10 and len(stub.requests) == 19 and run.result["connections"] == 10


def test_the_model_is_asked_for_too(secure_bench, pki):  # noqa: F811
    with Stub(tls=context(pki)) as stub:
        run = secure_bench(stub.port, "--num-prompts", 1, model=None)
        assert run.status == 0, run.err
        assert stub.requests[0][2]["model"] == "stub-model"


def test_large_bodies_to_a_slow_reader(secure_bench, pki, tmp_path):  # noqa: F811
    """Far more than sockets hold, so that sending has to wait and go on."""
    text = "the same words again and again " * 100_000
    (tmp_path / "large.jsonl").write_text(json.dumps({"text": text}) + "\n")

    async def handle(stub, number, body):
        assert body["input"] == text
        return 200, json.dumps({"data": [{"index": 0, "embedding": [0.5] * 200_000}], "usage": {"prompt_tokens": 7}}).encode()

    with Stub(handle, tls=context(pki)) as stub:
        run = secure_bench(stub.port, "--num-prompts", 4, "--dataset-name", "custom", "--dataset-path", tmp_path / "large.jsonl")
    assert run.status == 0, run.err
    assert run.result["completed"] == 4


# ---- whom to believe ----

def test_strangers_are_refused(secure_bench, named):
    with Stub(tls=context(named, "alone")) as stub:
        done = secure_bench(stub.port, "--num-prompts", 1)
        assert done.status == 1 and "the certificate of localhost is refused" in done.err and "issuer is unknown" in done.err
        done = secure_bench(stub.port, "--num-prompts", 1, trust=(), env={"SSL_CERT_FILE": ""})
        assert done.status == 1 and "issuer is unknown" in done.err and not stub.requests
        run = secure_bench(stub.port, "--num-prompts", 5, trust=("--insecure",))
        assert run.status == 0 and run.result["completed"] == 5, run.err
        assert run.err.count("--insecure") == 1 and run.err.count("warning") == 1
    with Stub(tls=context(named, "other")) as stub:
        for host in ("localhost", "127.0.0.1"):
            done = secure_bench(stub.port, "--num-prompts", 1, host=host)
            assert done.status == 1 and f"the certificate of {host} is refused" in done.err and "name" in done.err
        assert not stub.requests
        assert secure_bench(stub.port, "--num-prompts", 1, trust=("--insecure",)).status == 0


def test_roots_from_the_environment_and_addresses(secure_bench, pki):  # noqa: F811
    tls = context(pki)
    with Stub(tls=tls) as stub:
        root, alone = str(pki / "root.pem"), str(pki / "alone.pem")
        run = secure_bench(stub.port, "--num-prompts", 1, trust=(), host="127.0.0.1", env={"SSL_CERT_FILE": root})
        assert run.status == 0, run.err
        assert set(tls.sni_asked) == {None}, "an address is no name to ask for"
        assert secure_bench(stub.port, "--num-prompts", 1, trust=(), env={"SSL_CERT_FILE": alone}).status == 1
        assert secure_bench(stub.port, "--num-prompts", 1, env={"SSL_CERT_FILE": alone}).status == 0, "--cacert counts"
        for name, said in (("one.key", "holds no certificate"), ("none.pem", "none.pem")):
            done = secure_bench(stub.port, "--num-prompts", 1, trust=("--cacert", str(pki / name)))
            assert done.status == 2 and said in done.err, done.err


# ---- handshakes that fail ----

class Rude:
    """A server whose connection number n behaves as manners(n) says: good, or one of the others below."""

    def __init__(self, pki, manners):  # noqa: F811
        self.tls, self.manners, self.count = context(pki), manners, 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                manner = getattr(self, self.manners(self.count))
                self.count += 1
                threading.Thread(target=self.one, args=(manner, peer), daemon=True).start()

    def one(self, manner, peer):
        with contextlib.suppress(OSError), peer:
            peer.settimeout(20)
            manner(peer)

    def request(self, peer):
        wire, seen = self.tls.wrap_socket(peer, server_side=True), b""
        while b"\r\n\r\n" not in seen:
            piece = wire.recv(65536)
            if not piece:
                return None
            seen += piece
        head, body = seen.split(b"\r\n\r\n", 1)
        length = int(next((line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0))
        while len(body) < length:
            body += wire.recv(65536)
        return wire

    def good(self, peer):
        wire = self.request(peer)
        if wire:
            answer = asyncio.run(stubs.ok({"input": ["a"]}))[1]
            wire.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))

    def torn(self, peer):
        """An answer that ends with the connection, whose end is not said: what has come may be half of it."""
        self.request(peer).sendall(b'HTTP/1.1 200 OK\r\n\r\n{"data": []}')

    def close(self, peer):
        peer.recv(5)

    def half(self, peer):
        """Hangs up in the middle of the server's own words."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = self.tls.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(peer.recv(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            session.do_handshake()
        words = outgoing.read()
        peer.sendall(words[:len(words) // 2])

    def plain(self, peer):
        peer.recv(65536)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        peer.recv(65536)

    def silent(self, peer):
        while peer.recv(65536):
            pass


def test_failed_handshakes_are_failed_requests(secure_bench, pki):  # noqa: F811
    turns = ["good", "close", "half", "plain", "torn"]
    with Rude(pki, lambda n: turns[(n - BEFORE) % 5] if n >= BEFORE else "good") as rude:
        run = secure_bench(rude.port, "--num-prompts", 20, "--max-concurrency", 1, "--save-detailed")
    assert run.status == 1 and (run.result["completed"], run.result["failed"]) == (4, 16), run.err
    errors = run.result["errors"]
    expected = {"close": "TLS handshake: Connection reset by peer", "half": "TLS handshake: the server closed the connection in the middle",
                "plain": "is it http://?", "torn": "TLS: the server closed the connection in the middle"}
    for i, error in enumerate(errors):
        manner = turns[i % 5]
        assert expected[manner] in error if manner in expected else error == "", (i, manner, error)
    assert "16 of 20 requests failed; the first, number 1: TLS handshake" in run.err


def test_silence_in_the_handshake_has_an_end(secure_bench, pki):  # noqa: F811
    with Rude(pki, lambda n: "good" if n < BEFORE else "silent") as rude:
        run = secure_bench(rude.port, "--num-prompts", 10, "--request-timeout", 0.5, "--save-detailed")
    assert run.status == 1 and run.result["errors"] == ["no TLS handshake within 0.5 s"] * 10
    with Rude(pki, lambda n: "silent") as rude:
        done = secure_bench(rude.port, "--num-prompts", 1)
    assert done.status == 1 and "no TLS handshake within 5000 ms" in done.err


def test_plain_server_behind_https(secure_bench, bench, pki):  # noqa: F811
    with Rude(pki, lambda n: "plain") as rude:
        done = secure_bench(rude.port, "--num-prompts", 1)
        assert done.status == 1 and f"localhost port {rude.port}: " in done.err and "is it http://?" in done.err
    with Stub(tls=context(pki)) as stub:  # and the other way round
        done = bench(stub.port, "--num-prompts", 3)
        assert done.status == 1 and done.result["failed"] == 3


def test_versions_that_are_too_old(secure_bench, pki):  # noqa: F811
    tls = context(pki)
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        tls.minimum_version, tls.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with Stub(tls=tls) as stub:
        done = secure_bench(stub.port, "--num-prompts", 1)
    assert done.status == 1 and "TLS handshake: " in done.err, done.err
