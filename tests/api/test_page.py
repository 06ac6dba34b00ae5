"""What browsers are served: the page at /, /docs, their files, and the echo of prompts that the page shows. How the page
behaves is tested in a real browser by tests/e2e/test_browser.py."""
import json
import os
import re

import pytest

import harness
from test_forms import asset, good
from test_openapi import table

WEB = os.path.join(harness.ROOT, "web")
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def fetch(server, path, accept=None):
    with server.wire() as wire:
        wire.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n".encode() + (f"Accept: {accept}\r\n".encode() if accept is not None else b"") + b"\r\n")
        return wire.answer()


@pytest.mark.parametrize("accept,page", [
    (CHROMIUM, True), ("text/html", True), ("TEXT/HTML;q=0.5", True), ("text/html, application/json;q=0.9", True),
    ("application/json;q=0.333, text/html; q=0.334", True), (None, False), ("", False), ("*/*", False), ("text/*", False),
    ("application/json", False), ("application/json, text/plain, */*", False), ("text/html;q=0", False), ("text/htmlx", False),
    ("text/html, application/json", False), ("text/html;q=0.5, application/json", False), (",;q=,text/html;q=", False)])
def test_browsers_get_the_page_and_programs_json(null, accept, page):
    answer = fetch(null, "/", accept)
    assert answer.status == 200 and answer.headers["vary"] == "Accept"
    assert answer.headers["content-type"].startswith("text/html" if page else "application/json")
    assert answer.body.startswith(b"<!doctype html>" if page else b'{"name":"qvec"')


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_but_this_servers_files(null, path):
    answer = fetch(null, path, CHROMIUM)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    html = answer.body.decode()
    assert not re.search(r"<style|\son\w+=|style=|javascript:|(src|href)=\"(\w+:)?//", html)
    assert all(re.search(r'src="ui/\w+\.js"', tag) for tag in re.findall(r"<script[^>]*>", html))
    files = re.findall(r'"(ui/[\w.]+)"', html)
    assert files and all(fetch(null, "/" + name).status == 200 for name in files)


def test_files_are_as_they_lie_in_the_source(null):
    """Each file that the pages need, and each that lies there, with its type; scripts import no others."""
    names = {name for name in os.listdir(WEB) if os.path.splitext(name)[1] in TYPES}
    assert len(names) > 5
    for name in names:
        with open(os.path.join(WEB, name), "rb") as f:
            content = f.read()
        answer = fetch(null, "/ui/" + name)
        assert answer.status == 200 and answer.body == content
        assert answer.headers["content-type"] == TYPES[os.path.splitext(name)[1]]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert set(re.findall(rb'from "\./([^"]+)"', content)) <= {n.encode() for n in names}
        assert not re.search(rb"https?://(?!www\.w3\.org/2000/svg)|@import|innerHTML|eval\(", content)
    assert fetch(null, "/ui/other.js").status == 404 and fetch(null, "/ui/").status == 404


def test_files_need_no_key(start_null):
    null = start_null(key="k")
    assert fetch(null, "/", CHROMIUM).status == fetch(null, "/ui/page.js").status == 200
    assert fetch(null, "/info").status == 401


def test_docs(null):
    page = fetch(null, "/docs").body.decode()
    assert "<script" not in page and "<!--" not in page
    assert all(f"<code>{path}</code>" in page for _, path in table())
    assert "retrieval.passage" in page and "/ui/page.js" not in page


# ---- echo: prompts ----

def ids_of(text, *flags):
    return json.loads(harness.run(["tokenize", harness.folder("tiny"), "--text", text, *flags]))["ids"]


@pytest.mark.parametrize("fields,flags", [({"prompt": "official"}, ["--prompt", "official"]), ({"prompt": "raw"}, ["--prompt", "raw"]),
                                          ({}, ["--prompt", "raw"])])
def test_answer_tells_the_exact_prompts(server, fields, flags):
    texts = ["a dog on a beach", "é 漢字 🙂", ""]
    answer = good(server, "/v1/embeddings", {"input": texts, "echo": "prompts", **fields})
    prompts = answer["qvec"]["prompts"]
    for text, prompt in zip(texts, prompts, strict=True):
        ids = ids_of(text, *flags)
        assert prompt == {"tokens": len(ids), "text": good(server, "/detokenize", {"tokens": ids})["prompt"]} and text in prompt["text"]
    assert sum(p["tokens"] for p in prompts) == answer["usage"]["total_tokens"]
    assert "prompts" not in good(server, "/v1/embeddings", {"input": texts, "echo": "pictures"})["qvec"]


def test_prompts_have_a_pad_for_each_token_of_a_picture(server):
    body = {"input": {"text": "what", "image": asset("vga.png", "image/png")}, "instruction": "Look for doors.", "echo": "prompts"}
    facts = good(server, "/v1/embeddings", body)["qvec"]
    (prompt,), ((picture,),) = facts["prompts"], facts["pictures"]
    assert prompt["text"].count("<|image_pad|>") == picture["tokens"] == 300
    assert "Look for doors." in prompt["text"] and prompt["text"].index("<|vision_end|>") < prompt["text"].index("what")


def test_rerank_tells_the_exact_prompts(null, server):
    with harness.serve(harness.folder("tiny", "reranker")) as reranker:
        body = {"query": "doors", "documents": ["a red door", {"image": "data:image/png;base64,AAAA"}, "a wall"], "echo": "prompts"}
        facts = good(reranker, "/v1/rerank", body)["qvec"]
        first, broken, last = facts["prompts"]
        assert broken is None and "doors" in first["text"] and "a red door" in first["text"] and "a wall" in last["text"]
        assert first["tokens"] == len(good(reranker, "/tokenize", {"prompt": first["text"], "add_special_tokens": False})["tokens"])
        assert "prompts" not in good(reranker, "/v1/rerank", {**body, "echo": None})["qvec"]
        assert reranker.post("/v1/rerank", {**body, "echo": "pictures"})[0] == 400
    assert len(good(server, "/v1/rerank", {"query": "a", "documents": ["b", "c"], "echo": "prompts"})["qvec"]["prompts"]) == 2


def test_prompts_of_too_many_tokens_are_refused_before_they_are_computed(start_null):
    null = start_null(max_len=10000)
    body = {"input": ["x" * 8000] * 33, "echo": "prompts"}
    status, answer = null.post("/v1/embeddings", body)
    assert status == 400 and "262144" in answer["error"]["message"] and answer["error"]["param"] == "body.echo"
    assert null.post("/v1/embeddings", {**body, "input": body["input"][:32]})[0] == 200
    assert null.post("/v1/rerank", {"query": "x", "documents": body["input"], "echo": "prompts"})[0] == 400


def test_info_tells_the_size_of_vectors(server):
    status, info = server.get("/info")
    assert status == 200 and info["embedding_size"] == len(server.embed("a")[0][0])
