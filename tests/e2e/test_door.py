"""Who gets in: keys from flags, environment and files; TLS; a socket in the file system; pages of other origins. With
curl and Python's own ssl as clients."""
import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time

import pytest

import harness
from models import TINY
from test_serve import Running, serve

BODY = json.dumps({"input": "hello"})
HEAD = {"Content-Type": "application/json"}


def ask(connection, path="/v1/embeddings", method="POST", head=None, body=BODY):
    connection.request(method, path, body if method == "POST" else None, {**HEAD, **(head or {})})
    answer = connection.getresponse()
    return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), answer.read()


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


def follow(server):
    """Reads the log on, as a pipe that nobody reads fills up."""
    threading.Thread(target=lambda: list(server.read()), daemon=True).start()


# ---- keys ----------------------------------------------------------------------------------------------

INFERENCE = ["/v1/embeddings", "/embeddings", "/pooling", "/v1/multimodalembeddings", "/v2/embed", "/v1/embed", "/v1/rerank", "/v2/rerank",
             "/rerank", "/v1/score", "/score", "/embed", "/embed_all", "/embed_sparse", "/similarity", "/decode", "/", "/embedding",
             "/invocations", "/tokenize", "/detokenize"]


def test_keys_guard_every_route_that_computes():
    with serve("--api-key", "one", "two", env={"QVEC_API_KEY": "not-this-one"}) as s:
        document = json.loads(s.get("/openapi.json"))
        posts = [path for path, methods in document["paths"].items() if "post" in methods]
        assert set(INFERENCE) == set(posts) - {"/ping"}
        for path in INFERENCE:
            for key in (None, "three", "on", "one ", "oneone", "not-this-one", ""):
                assert s.post(path, {"input": "a"}, key)[0] == 401, (path, key)
            assert s.post(path, {"input": "a"}, "two")[0] != 401
        for path in ("/v1/models", "/info"):
            with pytest.raises(Exception, match="401"):
                s.get(path)
        assert s.get("/health") == "" and "qvec" in s.get("/metrics")


@pytest.mark.parametrize("name", ["QVEC_API_KEY", "VLLM_API_KEY"])
def test_key_from_the_environment(name):
    with serve(env={name: "from-env"}) as s:
        assert s.post("/v1/embeddings", {"input": "a"})[0] == 401
        assert s.post("/v1/embeddings", {"input": "a"}, "from-env")[0] == 200


def test_key_file_is_read_again_at_a_hang_up(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# keys of the shop\n\n  alpha  \r\nbeta\n")
    path.chmod(0o600)
    with serve("--api-key-file", path, "--api-key", "flag", env={"VLLM_API_KEY": "env"}) as s:
        follow(s)
        status = lambda key: s.post("/v1/embeddings", {"input": "a"}, key)[0]  # noqa: E731
        assert [status(k) for k in ("alpha", "beta", "flag", "env", "#", None)] == [200, 200, 200, 401, 401, 401]
        assert not any("chmod" in line for line in s.lines)
        path.write_text("beta\ngamma")
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: status("gamma") == 200)
        assert [status(k) for k in ("alpha", "beta", "flag")] == [401, 200, 200]
        path.write_text("# nobody\n")  # must not open the door
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: any("holds no API key" in line for line in s.lines))
        assert [status(k) for k in ("gamma", "flag", None)] == [200, 200, 401]
        path.unlink()
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: any("No such file" in line for line in s.lines))
        assert [status(k) for k in ("gamma", None)] == [200, 401]


def test_a_key_file_that_others_may_read_is_warned_about(tmp_path):
    path = tmp_path / "keys"
    path.write_text("alpha\n")
    path.chmod(0o644)
    with serve("--api-key-file", path) as s:
        assert any(str(path) in line and "644" in line and "warning" in line for line in s.lines)


@pytest.mark.parametrize("content, said", [
    (b"", "holds no API key"), (b"#\n \n", "holds no API key"), (b"a\nb c\n", "line 2"), ("schl\u00fcssel\n".encode(), "line 1"),
    (b"a\x00b", "not a text file"), (b"x" * 5000, "4096 characters"), (b"x\n" * 600000, "1048576 bytes")])
def test_key_files_that_are_refused(qvec, tmp_path, content, said):
    path = tmp_path / "keys"
    path.write_bytes(content)
    path.chmod(0o600)
    done = qvec("serve", *TINY, "--port", 0, "--api-key-file", path)
    assert done.status == 1 and said in done.err and str(path) in done.err
    assert str(tmp_path / "none") in qvec("serve", *TINY, "--port", 0, "--api-key-file", tmp_path / "none").err
    assert "folder" in qvec("serve", *TINY, "--port", 0, "--api-key-file", tmp_path).err


def test_without_files_a_hang_up_ends_the_server_as_ever():
    # Under nohup the tests ignore hang-ups, and what they start would too.
    server = Running(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
    server.process.send_signal(signal.SIGHUP)
    assert server.process.wait(20) == -signal.SIGHUP
    server.stop()


# ---- a socket in the file system -----------------------------------------------------------------------

class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class OnSocket(Running):
    """Running, but told by its path."""

    def __init__(self, path, *flags, **options):
        self.process = subprocess.Popen([harness.QVEC, "serve", *TINY, *map(str, flags), str(path)], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, **options)
        self.lines = []
        self.line = next((line for line in self.read() if " serves " in line), "")


@pytest.mark.parametrize("flag", ["--unix-socket", "--uds"])
def test_unix_socket(tmp_path, flag):
    path = tmp_path / "s"
    server = OnSocket(path, flag)
    assert f"http+unix:{path}" in server.line
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    connection = UnixConnection(path)
    assert ask(connection)[0] == 200 and ask(connection, "/health", "GET")[0] == 200
    out = subprocess.run(["curl", "-sS", "--unix-socket", path, "-H", "Content-Type: application/json", "-d", BODY, "http://x/v1/embeddings"],
                         capture_output=True, timeout=30)
    assert json.loads(out.stdout)["usage"]["prompt_tokens"] > 0
    connection.close()
    assert server.stop() == 0 and not path.exists()
    assert "client=unix" in "".join(server.lines)


def test_unix_socket_mode_and_what_is_in_the_way(qvec, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # what a killed server leaves
    server = OnSocket(path, "--unix-socket-mode", "600", "--unix-socket")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    done = qvec("serve", *TINY, "--unix-socket", path)
    assert done.status == 1 and "another server" in done.err
    assert ask(UnixConnection(path))[0] == 200, "the other one goes on"
    path.unlink()
    path.write_text("mine now")  # somebody else's file must not be removed at the end
    assert server.stop() == 0 and path.read_text() == "mine now"
    assert "no socket" in qvec("serve", *TINY, "--unix-socket", path).err
    for bad, said in ((tmp_path / ("x" * 120), "bytes"), (tmp_path / "no" / "s", "No such file"), ("", "bytes")):
        done = qvec("serve", *TINY, "--unix-socket", bad)
        assert done.status == 1 and said in done.err
    assert "octal" in qvec("serve", *TINY, "--unix-socket", path, "--unix-socket-mode", "9").err


def test_a_new_server_takes_the_socket_while_the_old_one_finishes(tmp_path):
    """The old one must not remove the file of the new one at its end, also where the file system gives the same number
    to both."""
    path = tmp_path / "s"
    old = OnSocket(path, "--unix-socket")
    held = UnixConnection(path)
    held.putrequest("POST", "/v1/embeddings")  # half a request: the old one waits for the rest
    for name, value in {**HEAD, "Content-Length": str(len(BODY))}.items():
        held.putheader(name, value)
    held.endheaders()
    time.sleep(0.3)
    old.process.send_signal(signal.SIGTERM)
    wait_for(lambda: not path.exists())
    new = OnSocket(path, "--unix-socket")
    assert ask(UnixConnection(path))[0] == 200
    held.send(BODY.encode())
    assert held.getresponse().status == 200
    assert old.process.wait(20) == 0 and path.exists()
    old.stop()
    assert ask(UnixConnection(path))[0] == 200
    assert new.stop() == 0 and not path.exists()


# ---- pages of other origins ----------------------------------------------------------------------------

def cors(headers):
    return {k: v for k, v in headers.items() if k.startswith("access-control-") or k == "vary"}


def plain(server):
    return http.client.HTTPConnection("127.0.0.1", int(server.base.rsplit(":", 1)[1]), timeout=30)


PREFLIGHT = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, authorization"}


def test_no_word_of_other_origins_unless_asked():
    with serve() as s:
        c = plain(s)
        assert cors(ask(c, head={"Origin": "https://a.example"})[1]) == {}
        status, headers, _ = ask(c, method="OPTIONS", head=PREFLIGHT)
        assert status == 204 and cors(headers) == {}


def test_origins_by_name():
    with serve("--allowed-origins", "https://a.example", "http://b.example:8080", "--api-key", "k") as s:
        c = plain(s)
        for origin in ("https://a.example", "http://b.example:8080"):
            status, headers, _ = ask(c, head={"Origin": origin, "Authorization": "Bearer k"})
            assert status == 200 and headers["access-control-allow-origin"] == origin and headers["vary"] == "Origin"
            assert "X-Request-Id" in headers["access-control-expose-headers"] and "access-control-allow-credentials" not in headers
        status, headers, _ = ask(c, head={"Origin": "https://a.example"})
        assert status == 401 and headers["access-control-allow-origin"] == "https://a.example", "or the page could not read why"
        for origin in ("https://a.example.evil", "http://a.example", "https://a.example:443", "null", "https://A.example", "*"):
            assert cors(ask(c, head={"Origin": origin, "Authorization": "Bearer k"})[1]) == {"vary": "Origin"}
            assert cors(ask(c, method="OPTIONS", head={**PREFLIGHT, "Origin": origin})[1]) == {"vary": "Origin"}
        status, headers, body = ask(c, method="OPTIONS", head=PREFLIGHT)  # without a key: browsers send none
        assert status == 204 and body == b"" and cors(headers) == {
            "access-control-allow-origin": "https://a.example", "access-control-allow-methods": "POST, OPTIONS", "vary": "Origin",
            "access-control-allow-headers": "content-type, authorization", "access-control-max-age": "600"}
        assert ask(c, "/nowhere", "OPTIONS", PREFLIGHT)[0] == 404


def test_any_origin_as_vllm_spells_it():
    with serve("--allowed-origins", '["*"]', "--allowed-methods", '["POST"]', "--allowed-headers", '["authorization","content-type"]') as s:
        c = plain(s)
        assert cors(ask(c, head={"Origin": "https://any.example"})[1])["access-control-allow-origin"] == "*"
        headers = cors(ask(c, method="OPTIONS", head={**PREFLIGHT, "Access-Control-Request-Headers": "x-other"})[1])
        assert headers["access-control-allow-methods"] == "POST" and headers["access-control-allow-headers"] == "authorization, content-type"
        assert "vary" not in headers
    with serve("--allowed-origins", "*", "--allow-credentials") as s:
        headers = cors(ask(plain(s), head={"Origin": "https://any.example"})[1])
        assert headers["access-control-allow-origin"] == "https://any.example" and headers["access-control-allow-credentials"] == "true"
        assert headers["vary"] == "Origin"


@pytest.mark.parametrize("flags, said", [
    (["--allowed-origins", "a.example"], "no origin"), (["--allowed-origins", "https://a.example/"], "no origin"),
    (["--allowed-origins", '["a", 5]'], "JSON list"), (["--allowed-origins", '["a"'], "JSON list"),
    (["--allowed-origins", "https://a\r\nX: y"], "header"), (["--allowed-methods", "GET"], "--allowed-origins"),
    (["--allow-credentials"], "--allowed-origins")])
def test_origins_that_make_no_sense(qvec, flags, said):
    done = qvec("serve", *TINY, *flags)
    assert done.status == 2 and said in done.err


# ---- TLS -----------------------------------------------------------------------------------------------

def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


def make_certificate(folder, name, signer=None, days="30", kind="ec", names="DNS:localhost,IP:127.0.0.1"):
    """name.pem and name.key, for localhost; signed by itself, or by `signer`."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    algorithm = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if kind == "ec" else ["-newkey", "rsa:2048"]
    ca = ["-CA", folder / f"{signer}.pem", "-CAkey", folder / f"{signer}.key"] if signer else []
    openssl("req", "-x509", *algorithm, "-nodes", "-keyout", key, "-out", cert, "-days", days, "-subj", f"/CN={name}",
            "-addext", f"subjectAltName={names}", *ca)
    return cert, key


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    for name, signer, kind in (("root", None, "ec"), ("one", "root", "ec"), ("two", "root", "rsa"), ("alone", None, "ec"), ("client", "root", "ec")):
        make_certificate(folder, name, signer, kind=kind)
    return folder


def secure(server, pki, cert=None, **settings):
    context = ssl.create_default_context(cafile=pki / "root.pem")
    for name, value in settings.items():
        setattr(context, name, value)
    if cert:
        context.load_cert_chain(pki / f"{cert}.pem", pki / f"{cert}.key")
    return http.client.HTTPSConnection("localhost", int(server.base.rsplit(":", 1)[1]), timeout=30, context=context)


class Secure(Running):
    def __init__(self, *flags, **options):
        command = [harness.QVEC, "serve", *TINY, "--host", "127.0.0.1", "--port", "0", *map(str, flags)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.lines = []
        self.line = next((line for line in self.read() if " serves " in line), "")
        assert "https://127.0.0.1:" in self.line, self.lines
        self.base = self.line.split(" at ")[1].split()[0]
        follow(self)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)


def subject(connection):
    connection.connect()
    return dict(x[0] for x in connection.sock.getpeercert()["subject"])["commonName"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # it asks for what is not to be had any more
def test_tls(pki):
    server = Secure("--ssl-certfile", pki / "one.pem", "--ssl-keyfile", pki / "one.key")
    try:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            c = secure(server, pki, minimum_version=version, maximum_version=version)
            assert ask(c)[0] == 200 and ask(c)[0] == 200, "the connection is kept"
            assert c.sock.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", int(server.base.rsplit(":", 1)[1]))) as raw:
            old.wrap_socket(raw)
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context(cafile=pki / "alone.pem").wrap_socket(
                socket.create_connection(("127.0.0.1", int(server.base.rsplit(":", 1)[1]))), server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", int(server.base.rsplit(":", 1)[1])), timeout=10) as raw:  # plain words
            raw.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b"HTTP/1.1 200" not in raw.recv(1000)
        done = subprocess.run(["curl", "-sS", "--cacert", pki / "root.pem", "-H", "Content-Type: application/json", "-d", BODY,
                               server.base.replace("127.0.0.1", "localhost") + "/v1/embeddings"], capture_output=True, timeout=30)
        assert json.loads(done.stdout)["object"] == "list", done.stderr
        body = json.dumps({"input": ["x" * 1000] * 60, "encoding_format": "float"})  # several records each way
        assert len(json.loads(ask(secure(server, pki), body=body)[2])["data"]) == 60
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_body_that_grows_too_large_is_refused_under_tls_too(pki, version):
    server = Secure("--ssl-certfile", pki / "one.pem", "--ssl-keyfile", pki / "one.key", "--max-body", "100K")
    try:
        c = secure(server, pki, minimum_version=version, maximum_version=version)
        c.request("POST", "/v2/embed", iter([b" " * 20000] * 6), {**HEAD, "X-Request-Id": "it-is-me"}, encode_chunked=True)
        answer = c.getresponse()
        assert answer.status == 413 and answer.headers["X-Request-Id"] == "it-is-me" and answer.headers["Connection"] == "close"
        assert "102400 bytes" in json.loads(answer.read())["message"]
        assert ask(secure(server, pki))[0] == 200
    finally:
        assert server.stop() == 0


def test_a_new_certificate_without_a_lost_connection(pki, tmp_path):
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"

    def install(name):
        cert.write_bytes((pki / f"{name}.pem").read_bytes())
        key.write_bytes((pki / f"{name}.key").read_bytes())

    install("one")
    server = Secure("--ssl-certfile", cert, "--ssl-keyfile", key)
    try:
        before = secure(server, pki)
        assert subject(before) == "one" and ask(before)[0] == 200
        install("two")
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: subject(secure(server, pki)) == "two")
        assert ask(before)[0] == 200, "an open connection goes on"
        key.write_bytes((pki / "one.key").read_bytes())  # half of a change
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: any("is not that of the certificate" in line for line in server.lines))
        assert subject(secure(server, pki)) == "two" and ask(before)[0] == 200
        for _ in range(20):  # while handshakes go on
            install("one")
            server.process.send_signal(signal.SIGHUP)
            assert subject(secure(server, pki)) in ("one", "two")
    finally:
        assert server.stop() == 0


def test_certificate_and_key_in_one_file_and_a_chain(pki, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join((pki / n).read_bytes() for n in ("one.pem", "root.pem", "one.key")))
    server = Secure("--ssl-certfile", both)
    try:
        assert subject(secure(server, pki)) == "one"
        done = subprocess.run(["openssl", "s_client", "-showcerts", "-connect", server.base[8:]], input=b"", capture_output=True, timeout=30)
        assert done.stdout.count(b"BEGIN CERTIFICATE") == 2
    finally:
        assert server.stop() == 0


def test_clients_show_certificates(pki):
    server = Secure("--ssl-certfile", pki / "one.pem", "--ssl-keyfile", pki / "one.key", "--ssl-ca-certs", pki / "root.pem", "--ssl-cert-reqs", 2)
    try:
        assert ask(secure(server, pki, "client"))[0] == 200
        for stranger in (None, "alone"):
            for path, method in (("/v1/embeddings", "POST"), ("/health", "GET"), ("/nowhere", "GET")):
                assert ask(secure(server, pki, stranger), path, method)[0] == 403, (stranger, path)
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("flags, said", [
    (["--ssl-certfile", "{none}", "--ssl-keyfile", "{one.key}"], ("none", "No such file")),
    (["--ssl-certfile", "{one.pem}", "--ssl-keyfile", "{none}"], ("none", "No such file")),
    (["--ssl-certfile", "{one.pem}", "--ssl-keyfile", "{two.key}"], ("two.key", "is not that of the certificate", "one.pem")),
    (["--ssl-certfile", "{one.key}", "--ssl-keyfile", "{one.key}"], ("one.key", "no certificate")),
    (["--ssl-certfile", "{one.pem}"], ("one.pem", "no private key")),
    (["--ssl-certfile", "{one.pem}", "--ssl-keyfile", "{one.key}", "--ssl-ca-certs", "{one.key}"], ("one.key", "no certificate")),
    (["--ssl-certfile", "{locked.pem}", "--ssl-keyfile", "{locked.key}"], ("locked.key", "password")),
])
def test_wrong_files_are_named_at_the_start(qvec, pki, flags, said):
    if not (pki / "locked.key").exists():
        openssl("rsa", "-aes256", "-passout", "pass:secret", "-in", pki / "two.key", "-out", pki / "locked.key")
        (pki / "locked.pem").write_bytes((pki / "two.pem").read_bytes())
    flags = [str(pki / f[1:-1]) if f.startswith("{") else f for f in flags]
    done = qvec("serve", *TINY, "--port", 0, *flags)
    assert done.status == 1 and all(word in done.err for word in said), done.err


@pytest.mark.parametrize("flags, said", [
    (["--ssl-ca-certs", "x"], "--ssl-certfile"), (["--ssl-certfile", "x", "--ssl-cert-reqs", "2"], "--ssl-ca-certs"),
    (["--ssl-certfile", "x", "--ssl-cert-reqs", "1"], "0 or 2"), (["--ssl-certfile", "x", "--ssl-cert-reqs", "3"], "out of range")])
def test_tls_flags_that_make_no_sense(qvec, flags, said):
    done = qvec("serve", *TINY, *flags)
    assert done.status == 2 and said in done.err
