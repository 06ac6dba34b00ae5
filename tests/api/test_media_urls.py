"""Pictures behind http(s) URLs, in a small internet of its own (internet.py): what may be fetched is, and no URL, name,
redirect or answer makes the server touch an address inside or work without bounds."""
import base64
import json
import os
import shutil
import subprocess
import sys

import pytest

import harness
import internet

PICTURE = os.path.join(harness.ASSETS, "small.png")
HOSTS = ["pictures.example", "pictures.example:8080", "mirror.example", "six.example", "many.example", "rebinding.example", "silent.example",
         "absent.example", "127.0.0.1", "10.0.0.5", "[::1]", "[::ffff:127.0.0.1]", "localhost",
         *(f"inside{i}.example" for i in range(len(internet.SECRET)))]
QUICK = ["--media-fetch-timeout", "6", "--max-fetched-bytes", "300000", "--max-media-urls", "20"]


def missing():
    """Why there can be no namespace here; "": there can."""
    for program in ("unshare", "ip", "mount", "openssl"):
        if not shutil.which(program):
            return f"{program} is not installed"
    tried = subprocess.run(["unshare", "-rnm", "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    return f"no network namespaces: {tried.stderr.strip()}" if tried.returncode else ""


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


class World:
    def __init__(self, folder, program=harness.QVEC):
        self.folder, self.flags = folder, None
        self.process = subprocess.Popen(
            ["unshare", "-rnm", sys.executable, os.path.join(os.path.dirname(__file__), "internet.py"), folder, program,
             harness.folder("tiny"), PICTURE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "{}\n"

    def command(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, *flags):
        if flags != self.flags:
            self.flags = flags
            return self.command(start=list(flags))
        self.log()
        return {}

    def log(self):
        return self.command(log=None)

    def server_log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def post(self, path, body):
        got = self.command(post=path, body=body)
        return got["status"], got["answer"], got["seconds"]

    def picture(self, url):
        """(status, vector or message, seconds) of an embedding of the picture behind a URL."""
        status, answer, seconds = self.post("/v1/embeddings", {"input": {"image": url}})
        return status, answer["data"][0]["embedding"] if status == 200 else answer["error"]["message"], seconds

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    world = World(str(tmp_path_factory.mktemp("internet")))
    yield world
    world.close()


@pytest.fixture
def world(made):
    """The server takes URLs of HOSTS. No test may make it touch an address inside."""
    assert made.start("--allowed-media-domains", *HOSTS, *QUICK) == {}
    yield made
    assert made.log()["secret"] == []


@pytest.fixture(scope="module")
def expected(made):
    made.start("--allowed-media-domains", *HOSTS, *QUICK)
    with open(PICTURE, "rb") as f:
        status, vector, _ = made.picture("data:image/png;base64," + base64.b64encode(f.read()).decode())
    assert status == 200
    return vector


# ---- what may be fetched ----

@pytest.mark.parametrize("url", ["http://pictures.example/picture", "HTTP://PICTURES.example:80/picture", "https://pictures.example/picture",
                                 "http://pictures.example:8080/picture", "http://six.example/picture", "http://pictures.example/typed#f",
                                 "http://pictures.example/picture/\u00e4?q=\u00fc%20x", "http://mirror.example/hops/5",
                                 "http://pictures.example/to/http://mirror.example/picture", "http://pictures.example/to//picture",
                                 "http://many.example/picture"])
def test_pictures_come_as_they_are(world, expected, url):
    status, vector, _ = world.picture(url)
    assert status == 200 and vector == expected


def test_every_form_takes_urls(world, expected):
    url = "http://pictures.example/picture"
    part = {"type": "image_url", "image_url": {"url": url}}
    for path, body in [("/v1/embeddings", {"messages": [{"role": "user", "content": [part]}]}),
                       ("/v1/embeddings", {"input": [{"image": url}], "task": "retrieval.passage"}),
                       ("/pooling", {"messages": [{"role": "user", "content": [part]}]}),
                       ("/v2/embed", {"images": [url], "input_type": "image", "embedding_types": ["float"]}),
                       ("/v2/embed", {"inputs": [{"content": [part]}], "input_type": "image", "embedding_types": ["float"]}),
                       ("/v1/multimodalembeddings", {"inputs": [{"content": [{"type": "image_url", "image_url": url}]}]})]:
        status, answer, _ = world.post(path, body)
        assert status == 200, (path, answer)
        data = answer["data"][0] if "data" in answer else {"embedding": answer["embeddings"]["float"][0]}
        assert data.get("embedding", data.get("data")) == expected, path
    status, answer, _ = world.post("/tokenize", {"messages": [{"role": "user", "content": [part]}]})
    assert status == 200 and answer["count"] > 10
    for path, query in [("/rerank", "query"), ("/score", "queries")]:
        status, answer, _ = world.post(path, {query: "a dog", "documents": [{"content": [part]}, "b"]})
        assert status == 200 and len(answer.get("results", answer.get("data"))) == 2


def test_frames_and_equal_urls(world):
    """A URL is fetched once for a request, in whatever places it stands."""
    url = "http://pictures.example/picture"
    status, answer, _ = world.post("/v1/embeddings", {"input": [{"video": [url, url, url + "?2"]}, {"image": [url, url]}]})
    assert status == 200 and sorted(world.log()["paths"]) == ["/picture", "/picture?2"]


def test_nothing_of_ours_is_sent(world):
    world.picture("http://pictures.example/cookie")
    heads = world.log()["heads"]
    assert [set(head) for head in heads] == [{"Host", "User-Agent", "Accept"}] * 2


def test_no_proxy_of_the_environment_is_asked(world, expected):
    """internet.py names one in every variable that there is for it."""
    for scheme in ("http", "https"):
        assert world.picture(scheme + "://pictures.example/picture")[:2] == (200, expected)
    assert world.log()["paths"] == ["/picture", "/picture"]


def test_urls_of_a_request_come_side_by_side(world):
    urls = [f"http://pictures.example/wait/0.6?{i}" for i in range(8)]
    status, _, seconds = world.post("/v1/embeddings", {"input": [{"image": u} for u in urls]})
    assert status == 200 and seconds < 2.4  # one after another: 4.8


# ---- what may not ----

SPELLINGS = ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.0.0.1.", "%31%32%37.0.0.1", "10.0.0.5", "167772165",
             "012.0.0.5", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
             "[fe80::77%25lo]", "[fe80::77%lo]", "localhost", "LOCALHOST", "localhost.", "0.0.0.0", "0", "[::]", "[fd00::1]", "169.254.169.254",
             "[::ffff:a9fe:a9fe]", "2852039166"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", SPELLINGS)
def test_addresses_inside_by_any_spelling(world, host, scheme):
    status, message, _ = world.picture(f"{scheme}://{host}/picture")
    assert status == 400 and "secret" not in message


@pytest.mark.parametrize("address", internet.SECRET)
def test_names_that_lead_inside(world, address):
    status, message, _ = world.picture(f"http://inside{internet.SECRET.index(address)}.example/picture")
    assert status == 400 and "leads to a" in message and address not in message


@pytest.mark.parametrize("url", [
    "http://other.example/picture", "http://pictures.example.evil.example/", "http://evilpictures.example/", "http://a.pictures.example/",
    "http://pictures.example./picture", "http://pictures.example:81/", "http://pictures.example:22/", "https://pictures.example:80/",
    "http://user@pictures.example/", "http://user:pass@pictures.example/", "http://:@pictures.example/", "http://pictures.example@127.0.0.1/",
    "http://127.0.0.1\\@pictures.example/", "http://pictures.example\\@127.0.0.1/", "http://pictures.example\t.evil.example/",
    "http://pictures.example /", " http://pictures.example/", "http://pictures.example#@127.0.0.1/picture\n", "http:///pictures.example/",
    "http://", "http://pictures.example:99999/", "http://pict\u00fcres.example/", "http://pictures\u3002example/", "http://\u2460\u2461\u2466.0.0.1/",
    "http://xn--nxasmq6b.example/", "http://pictures.example%00.evil.example/", "http://pictures.example%2f@evil.example/", "ftp://pictures.example/picture",
    "gopher://pictures.example/", "file://pictures.example/etc/passwd", "dict://127.0.0.1/", "http://[::1", "http://[v1.x]/", "http://a" + "b" * 9000])
def test_urls_that_are_refused(world, url):
    status, message, _ = world.picture(url)
    assert status == 400 and "%x" not in message
    assert world.log()["paths"] == []


@pytest.mark.parametrize("target", ["http://127.0.0.1/picture", "http://10.0.0.5/", "http://[::1]/", "http://inside0.example/", "http://0x7f.1/", "//127.0.0.1/",
                                    "http://rebinding.example/to/http://127.0.0.1/", "http://other.example/", "http://user@pictures.example/picture",
                                    "http://169.254.169.254/latest/meta-data/", "ftp://pictures.example/", "file:///etc/passwd", "javascript:1",
                                    "http://pictures.example:81/picture"])
def test_redirects_are_checked_like_urls(world, target):
    status, message, _ = world.picture("http://pictures.example/to/" + target)
    assert status == 400 and "passwd" not in message


def test_no_redirect_out_of_tls(world):
    status, message, _ = world.picture("https://pictures.example/to/http://pictures.example/picture")
    assert status == 400 and "https to http" in message


def test_redirects_are_counted(world):
    assert world.picture("http://pictures.example/hops/5")[0] == 200
    status, message, _ = world.picture("http://pictures.example/hops/10")
    assert status == 400 and "more than 5 redirects" in message
    assert world.picture("http://pictures.example/nowhere")[0] == 400


def test_a_name_that_changes_between_look_ups(world):
    """The address that is judged is the one that is connected to: however often the name changes, nothing inside is."""
    statuses = [world.picture(f"http://rebinding.example/picture?{i}")[0] for i in range(4)]
    assert statuses[-1] == 400


def test_unknown_certificates(world):
    status, message, _ = world.picture("https://mirror.example/picture")
    assert status == 502 and "mirror.example" in message


# ---- bounds ----

@pytest.mark.parametrize("path, expected_status", [
    ("endless", 413), ("huge", 413), ("big/300001", 413), ("gzip/content", 422), ("gzip/transfer", 413), ("headers", 400), ("drip", 502), ("wait/20", 502),
    ("long", 502), ("short", 422), ("page", 422), ("big/0", 422), ("none", 400), ("status/403", 400), ("status/204", 400), ("status/429", 502),
    ("status/503", 502)])
def test_bad_answers(world, path, expected_status):
    """Whatever comes is refused in time: two seconds without enough bytes are too many, six in all."""
    status, message, seconds = world.picture("http://pictures.example/" + path)
    assert status == expected_status and "secret" not in message and seconds < 5, (message, seconds)


def test_names_that_nobody_answers(world):
    status, message, seconds = world.picture("http://silent.example/picture")
    assert status == 502 and seconds < 8, (message, seconds)
    assert world.picture("http://absent.example/picture")[0] == 502


def test_bytes_of_a_request_are_counted_together(world):
    assert world.picture("http://pictures.example/padded/200000")[0] == 200
    status, answer, _ = world.post("/v1/embeddings", {"input": [{"image": f"http://pictures.example/padded/200000?{i}"} for i in range(2)]})
    assert status == 413 and "300000 bytes together" in answer["error"]["message"]


def test_urls_of_a_request_are_counted(world):
    status, answer, _ = world.post("/v1/embeddings", {"input": [{"image": f"http://pictures.example/picture?{i}"} for i in range(21)]})
    assert status == 413 and "at most 20 URLs" in answer["error"]["message"] and world.log()["paths"] == []


def test_a_wrong_request_fetches_nothing(world):
    status, _, _ = world.post("/v1/embeddings", {"input": [{"image": "http://pictures.example/picture"}, {"image": 7}]})
    assert status == 400 and world.log()["paths"] == []


def test_one_bad_document_does_not_fail_the_others(world):
    documents = [{"image": "http://pictures.example/picture"}, {"image": "http://pictures.example/none"}, {"image": "http://pictures.example/status/500"}, "text"]
    status, answer, _ = world.post("/rerank", {"query": "a dog", "documents": documents})
    codes = {r["index"]: r.get("error", {}).get("code") for r in answer["results"]}
    assert status == 200 and codes == {0: None, 1: "media_source", 2: "media_fetch", 3: None}


def test_texts_do_not_wait_for_urls(world):
    """However many requests wait for other hosts, one without URLs is answered at once; and those whose clients left are
    dropped."""
    for i in range(12):
        world.command(hang_up="/v1/embeddings", body={"input": [{"image": f"http://pictures.example/wait/20?{i}"}]}, after=0.0)
    status, _, seconds = world.post("/v1/embeddings", {"input": "hello"})
    assert status == 200 and seconds < 1.9  # those that stay give up after two
    status, _, seconds = world.picture("http://pictures.example/picture")
    assert status == 200 and seconds < 2


# ---- flags ----

def test_private_hosts_are_named_by_themselves(made, expected):
    made.start("--allow-private-media-hosts", "10.0.0.5", "inside3.example", "inside4.example", "inside8.example", "inside9.example",
               "--allowed-media-domains", "10.0.0.5", *QUICK)
    for host in ("10.0.0.5", "inside3.example", "inside8.example"):
        assert made.picture(f"http://{host}/picture")[1] == expected, host
    for host in ("inside4.example", "inside9.example", "127.0.0.1", "inside0.example"):
        assert made.picture(f"http://{host}/picture")[0] == 400, host
    assert sorted(made.log()["secret"]) == ["10.0.0.5", "192.168.1.1", "fd00::1"]


def test_no_hosts_no_fetching(made):
    made.start()
    status, message, _ = made.picture("http://pictures.example/picture")
    assert status == 400 and "fetches no URLs" in message and made.log()["paths"] == []


def test_no_redirects_where_none_are_wanted(made):
    made.start("--allowed-media-domains", "pictures.example", "--media-fetch-redirects", "0")
    status, message, _ = made.picture("http://pictures.example/hops/1")
    assert status == 400 and "follows none" in message


@pytest.mark.parametrize("entry", ["http://pictures.example", "*.example", "pictures.example/x", "user@pictures.example", "b\u00fccher.example", "", "a b", "a:99999"])
def test_lists_are_checked_at_the_start(entry):
    done = subprocess.run([harness.QVEC, "serve", harness.folder("tiny"), "--load-format", "dummy", "--port", "0", "--allowed-media-domains", entry],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "is not the name of a host" in done.stderr


def test_close_while_fetching(made):
    made.start("--allowed-media-domains", "pictures.example", "--drain-timeout", "0")
    made.command(hang_up="/v1/embeddings", body={"input": [{"image": "http://pictures.example/wait/20"}]}, after=0.3)
    assert made.start("--allowed-media-domains", "mirror.example") == {}  # stops the last one, which must end cleanly
