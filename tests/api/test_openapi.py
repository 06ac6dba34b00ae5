"""/openapi.json and /docs: every route is in them, every schema exists and is used, and the server keeps to them."""
import os
import re
import subprocess
import sys

import pytest

import harness
from wire import Wire, post

ROUTES = os.path.join(harness.ROOT, "src", "api", "route.c")


def table():
    """(method, path) of each row of the route table, as the source has them; the pages' own files aside."""
    with open(ROUTES, encoding="utf-8") as f:
        rows = re.findall(r'^    \{"([A-Z]+)", "(/[^"]*)",', f.read(), re.MULTILINE)
    return {(method.lower(), path) for method, path in rows if not path.startswith("/ui/")}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    from conftest import Null
    server = Null(["--rerank", "1"], str(tmp_path_factory.mktemp("rerank") / "log"))
    yield server
    server.stop()


def references(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from [inner] if key == "$ref" else references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


@pytest.fixture(scope="module")
def document(null):
    status, document = null.get("/openapi.json")
    assert status == 200 and document["openapi"].startswith("3.1")
    return document


def test_every_route_is_in_it_and_the_reverse(document):
    found = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert found == table() and len(found) > 25
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)


def test_every_schema_exists_and_is_used(document):
    schemas = document["components"]["schemas"]
    wanted = {"#/components/schemas/" + name for name in schemas}
    assert set(references(document)) == wanted


def test_purposes_are_the_tables(document, null):
    """The schema's list is what the server takes."""
    for name in document["components"]["schemas"]["Purpose"]["enum"]:
        assert null.post("/v2/embed", {"texts": ["a"], "input_type": name})[0] == 200, name
    taken = re.findall(r'"([^"]+)"', null.post("/v2/embed", {"texts": ["a"], "input_type": "?"})[1]["message"])
    assert set(taken) - {"?"} == set(document["components"]["schemas"]["Purpose"]["enum"]) - {None}


def test_keys_are_told(start_null):
    null = start_null(key="k")
    paths = null.get("/openapi.json")[1]["paths"]
    assert paths["/v2/embed"]["post"]["security"] == [{"key": []}] and "security" not in paths["/health"]["get"]


def test_home(either_home):
    status, answer = either_home.get("/")
    assert status == 200 and answer["name"] == "qvec" and either_home.get(answer["openapi"])[0] == 200


@pytest.fixture(params=["null", "server"])
def either_home(request):
    return request.getfixturevalue(request.param)


BROKEN = "data:image/png;base64,iVBORw0KGgo="
NOT_BASE64 = "data:image/png,iVBORw0KGgo="


def provocations():
    """Bodies that are wrong in one dialect or another."""
    for url in (BROKEN, NOT_BASE64):
        part = {"type": "image_url", "image_url": {"url": url}}
        yield from ({"messages": [{"role": "user", "content": [part]}]}, {"input": [{"image": url}]},
                    {"images": [url], "input_type": "image"}, {"inputs": [{"content": [{"type": "image_url", "image_url": url}]}]},
                    {"query": {"content": [part]}, "documents": ["a"]}, {"queries": {"content": [part]}, "documents": ["a"]})
    for model in ("null", "another"):
        for body in ({"input": "a"}, {"texts": ["a"], "input_type": "classification"}, {"inputs": ["a"]}, {"content": "a"}, {"prompt": "a"},
                     {"inputs": [{"content": [{"type": "text", "text": "a"}]}]}, {"query": "a", "documents": ["b"]}, {"query": "a", "texts": ["b"]},
                     {"queries": "a", "documents": ["b"]}, {"tokens": [1]}, {"ids": [1]}, {"inputs": {"source_sentence": "a", "sentences": ["b"]}}):
            yield {"model": model, **body}
    yield from (b"{", b"[]", {}, {"inputs": []}, {"query": "a", "texts": []}, {"ids": []}, {"inputs": {"source_sentence": "a", "sentences": []}},
                {"inputs": "a", "prompt_name": "?"})


def statuses(server, path):
    """Those of the answers to everything that is wrong and that a body can be blamed for."""
    head = f" {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n".encode()
    heads = [b"PUT" + head + b"Content-Length: 0\r\n\r\n", b"POST" + head + b"\r\n", b"POST" + head + b"Content-Length: 9999999999999\r\n\r\n"]
    for request in [*heads, *(post(body, path=path) for body in provocations())]:
        with Wire(int(server.base.rsplit(":", 1)[1])) as wire:
            wire.send(request)
            yield str(wire.answer().status)


def test_the_refusals_are_the_real_ones(document, null, server, ranks, start_null):
    """Of each POST operation: all that come of wrong requests are listed, and all that are listed come, those aside that
    are no fault of the request."""
    locked = start_null(key="k")
    for path, methods in document["paths"].items():
        if "post" in methods and path != "/ping":
            listed = set(methods["post"]["responses"])
            found = {status for one in (null, server, ranks) for status in statuses(one, path)}
            assert found | {"429", "503", "504"} <= listed, path
            assert listed - found <= {"200", "429", "500", "503", "504"}, path
            assert set(statuses(locked, path)) == {"401", "405"}, path


def test_refusals_of_every_operation(document, start_null):
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert not any("default" in operation["responses"] or "401" in operation["responses"] for operation in operations)
    assert all("405" in operation["responses"] for operation in operations)
    assert all("Retry-After" in operation["responses"]["429"]["headers"] for operation in operations if "429" in operation["responses"])
    for path in ("/health", "/readyz", "/livez", "/ping"):
        assert "503" in document["paths"][path]["get"]["responses"]
    locked = start_null(key="k").get("/openapi.json")[1]["paths"]
    for path, methods in locked.items():
        for operation in methods.values():
            assert ("401" in operation["responses"]) == ("security" in operation), path


@pytest.mark.parametrize("which, paths, seconds, least", [("null", "", 25, 40), ("ranks", "rank|score|invocations|^/$", 15, 2)],
                         ids=["embedder", "reranker"])
def test_schemathesis(request, which, paths, seconds, least, tmp_path):
    """Made-up requests by the document: no answer that it does not allow, and none of the server's own failures. 501 is
    an answer here: data: URLs that are not base64."""
    pytest.importorskip("schemathesis")
    config = tmp_path / "schemathesis.toml"
    config.write_text('[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "501"]\n')
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", request.getfixturevalue(which).base + "/openapi.json",
         "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
         "--phases", "coverage,fuzzing", "--max-examples", "15", "--max-time", str(seconds),
         "--include-path-regex", paths or "/", "--warnings", "off", "--no-color"],
        capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert found and int(found[2]) > least, done.stdout[-6000:]
