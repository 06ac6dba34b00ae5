"""/openapi.json and /docs: every route is in them, every schema exists and is used, and the server keeps to them."""
import os
import re
import subprocess
import sys

import pytest

import harness

ROUTES = os.path.join(harness.ROOT, "src", "api", "route.c")


def table():
    """(method, path) of each row of the route table, as the source has them; the pages' own files aside."""
    with open(ROUTES, encoding="utf-8") as f:
        rows = re.findall(r'^    \{"([A-Z]+)", "(/[^"]*)",', f.read(), re.MULTILINE)
    return {(method.lower(), path) for method, path in rows if not path.startswith("/ui/")}


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


def test_schemathesis(null, tmp_path):
    """Made-up requests by the document: no answer that it does not allow, and none of the server's own failures. 501 is
    an answer here: data: URLs that are not base64."""
    pytest.importorskip("schemathesis")
    config = tmp_path / "schemathesis.toml"
    config.write_text('[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "501"]\n')
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", null.base + "/openapi.json",
         "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
         "--phases", "coverage,fuzzing", "--max-examples", "15", "--max-time", "30", "--warnings", "off", "--no-color"],
        capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) generated, \1 passed", done.stdout).group(1)) > 500
