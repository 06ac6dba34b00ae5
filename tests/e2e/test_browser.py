"""The page at / in a real browser: Chromium without a head, by Playwright. Every page opened here must stay silent on the
console and ask nothing of any other host; each test says so by opening its page through `open_page`. With
QVEC_SCREENSHOTS=FOLDER every answer, and every page at the end of its test, is saved there for people to look at."""
import base64
import json
import os
import re
import runpy
import shutil
import subprocess

import numpy as np
import pytest

import harness

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("QVEC_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")

HARD = "it's \"quoted\": \\ $HOME `id` $(id) ${x} é 漢字 🙂\tand a\nnew line"
PHOTO = os.path.join(harness.ASSETS, "vga.png")  # 640 x 480: 300 tokens
SCREENSHOTS = os.environ.get("QVEC_SCREENSHOTS")
KEY = "sesame 'open'"


@pytest.fixture(scope="module")
def embedder():
    with harness.serve(harness.folder("small"), "--served-model-name", "small") as server:
        yield server


@pytest.fixture(scope="module")
def reranker():
    with harness.serve(harness.folder("small", "reranker"), "--served-model-name", "judge") as server:
        yield server


@pytest.fixture(scope="module")
def locked():
    with harness.serve(harness.folder("small"), "--served-model-name", "small", "--api-key", KEY) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """open_page(server, path="/", allow="", **context) -> page. allow: console messages that hold it are expected."""
    contexts, problems = [], []

    def start(server, path="/", allow=None, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "permissions": ["clipboard-read", "clipboard-write"], **options})
        contexts.append(context)
        context.set_default_timeout(30000)  # of a machine that does much else
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("console", lambda message: None if allow and allow in message.text else problems.append(f"console: {message.text}"))
        for event in ("requestfinished", "requestfailed"):
            page.on(event, lambda request: None if is_own(request, server) else problems.append(request.url))
        page.goto(server.base + path)
        if path == "/":
            page.wait_for_selector("body[data-ready]")
        return page

    yield start
    for context in contexts:
        for page in context.pages:
            shoot(page)
        context.close()
    assert not problems


def shoot(page):
    """Names tell the test and the order."""
    if SCREENSHOTS:
        os.makedirs(SCREENSHOTS, exist_ok=True)
        test = re.sub(r"[^\w-]+", "-", os.environ["PYTEST_CURRENT_TEST"].split("::")[1].split(" ")[0])
        count = sum(name.startswith(test + ".") for name in os.listdir(SCREENSHOTS))
        page.screenshot(path=os.path.join(SCREENSHOTS, f"{test}.{count}.png"), full_page=True)


def is_own(request, server):
    """Asked of this server, or of nobody: what the policy stops is never sent."""
    return request.url.startswith((server.base + "/", "data:", "blob:")) or request.failure == "csp"


def run(page):
    page.click("#run")
    finish(page)


def finish(page):
    page.wait_for_selector("#answer[aria-busy=false]")
    shoot(page)


def fill(page, texts, box="#items"):
    """Exactly these texts in a list."""
    areas = page.locator(f"{box} textarea")
    while areas.count() > len(texts):
        page.locator(f"{box} .tools button").last.click()
    while areas.count() < len(texts):
        page.click("#add-text")
    for i, text in enumerate(texts):
        areas.nth(i).fill(text)


def choose(page, name, value):
    page.locator(f"input[name={name}][value={value}]").check(force=True)


def downloaded(page):
    with page.expect_download() as download:
        page.click("#download")
    with open(download.value.path(), encoding="utf-8") as f:
        return json.load(f)


def copied(page, language):
    choose(page, "language", language)
    page.click("#copy")
    page.wait_for_selector("#copy:text('Copied')")
    return page.evaluate("navigator.clipboard.readText()")


def matrix(page):
    rows = page.locator(".matrix tbody tr").all()
    return [[float(cell.inner_text().split(",")[0].replace("−", "-")) for cell in row.locator("td").all()] for row in rows]


def data_url(path, mime="image/png"):
    with open(path, "rb") as f:
        return f"data:{mime};base64," + base64.b64encode(f.read()).decode()


def same(got, want):
    assert np.asarray(got, np.float32).tobytes() == np.asarray(want, np.float32).tobytes()


def give(page, selector, event, path, name, mime="image/png"):
    """A file dropped or pasted, as the browser hands it to the page."""
    page.evaluate("""async ([selector, event, url, name, type]) => {
        const bytes = Uint8Array.from(atob(url.split(",")[1]), (c) => c.charCodeAt(0)), transfer = new DataTransfer();
        transfer.items.add(new File([bytes], name, {type}));
        const options = {bubbles: true, cancelable: true};
        const made = event === "paste" ? new ClipboardEvent(event, {...options, clipboardData: transfer})
                                       : new DragEvent(event, {...options, dataTransfer: transfer});
        document.querySelector(selector).dispatchEvent(made);
    }""", [selector, event, data_url(path, mime), name, mime])
    page.wait_for_selector(f'.pictures img[alt="{name}"]')


# ---- compare ----

def test_typed_texts_are_compared(embedder, open_page):
    texts = ["a red door", "a crimson door", HARD]
    page = open_page(embedder)
    assert page.title() == "small · qvec" and "256 values" in page.inner_text("#model")
    fill(page, texts)
    run(page)
    vectors, _ = embedder.embed(texts, prompt="official")
    want = np.asarray(vectors, np.float64) @ np.asarray(vectors, np.float64).T
    assert np.abs(np.asarray(matrix(page)) - want).max() < 0.00051
    best = max(((i, j) for i in range(3) for j in range(i)), key=lambda pair: want[pair])
    assert f"Nearest: {best[1] + 1} and {best[0] + 1}, {want[best]:.3f}" in page.inner_text("#status")
    assert page.locator(".matrix td.best").count() == 2
    same([item["embedding"] for item in downloaded(page)["items"]], vectors)


def test_heat_follows_the_values(embedder, open_page):
    page = open_page(embedder)
    run(page)
    heats = page.locator(".matrix td:not(.self)").evaluate_all("cells => cells.map(c => [parseFloat(c.title.split(': ')[1]), +c.style.getPropertyValue('--heat')])")
    heats = [pair for pair in heats if pair]
    assert min(h for _, h in heats) == 0 and max(h for _, h in heats) == 1
    assert [h for _, h in sorted(heats)] == sorted(h for _, h in heats)
    colours = page.locator(".matrix td:not(.self)").evaluate_all("cells => new Set(cells.map(c => getComputedStyle(c).backgroundColor)).size")
    assert colours == 6
    fill(page, ["one", "two"])
    run(page)  # a pair alone is neither near nor far
    assert page.locator(".matrix td:not(.self)").evaluate_all("cells => cells.map(c => c.style.getPropertyValue('--heat'))") == ["0", "0"]
    assert page.locator(".matrix thead").bounding_box()["height"] < 40  # no pictures, no room for them


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_pictures_come_by_drop_and_by_paste(embedder, open_page, event):
    page = open_page(embedder)
    fill(page, ["a photo", "words"])
    page.evaluate("document.activeElement.blur()")
    give(page, "#items .item:nth-child(2)" if event == "drop" else "body", event, PHOTO, "vga.png")
    place = 1 if event == "drop" else 2  # pasted nowhere in particular: an item of its own
    item = page.locator("#items .item").nth(place)
    thumb = item.locator("img.thumb")
    assert thumb.evaluate("image => image.complete && image.naturalWidth") == 640
    run(page)
    page.locator(".read summary").nth(place).click()
    prompt = page.locator(".read").nth(place).locator("pre").inner_text()
    assert "<|image_pad|> × 300" in prompt and ("words" in prompt) == (event == "drop")
    assert "640 × 480 pixels, 300 tokens" in page.locator(".read").nth(place).inner_text()
    wanted = {"image": data_url(PHOTO), **({"text": "words"} if event == "drop" else {})}
    same(downloaded(page)["items"][place]["embedding"], embedder.embed([wanted])[0][0])
    item.locator(".pictures button").click()
    assert page.locator("#items img").count() == 0 and "changed since" in page.inner_text("#status")


def test_pictures_are_chosen_and_dropped_texts_taken(embedder, open_page, tmp_path):
    for name in ("one", "two"):
        shutil.copy(os.path.join(harness.ASSETS, "small.png"), tmp_path / f"{name}.png")
    page = open_page(embedder)
    with page.expect_file_chooser() as chooser:
        page.click("#add-picture")
    chooser.value.set_files([tmp_path / "one.png", tmp_path / "two.png"])
    page.wait_for_selector('.pictures img[alt="two.png"]')
    assert page.locator("#items .item").count() == 6
    page.evaluate("""() => {
        const transfer = new DataTransfer();
        transfer.setData("text/plain", "dropped words");
        document.querySelector("h2").dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: transfer}));
    }""")
    page.wait_for_selector("#items .item:nth-child(7)")
    assert page.locator("#items textarea").last.input_value() == "dropped words"


def test_prompt_instruction_and_dimensions(embedder, open_page):
    texts = ["a red door", "a wall"]
    page = open_page(embedder)
    fill(page, texts)
    page.fill("#instruction", "Find doors.")
    page.fill("#dimensions", "64")
    run(page)
    want, _ = embedder.embed(texts, prompt="official", instruction="Find doors.", dimensions=64)
    kept = downloaded(page)
    same([item["embedding"] for item in kept["items"]], want)
    assert kept["instruction"] == "Find doors." and kept["prompt"] == "official" and kept["dimensions"] == 64
    assert "Find doors." in page.locator(".read pre").first.evaluate("pre => pre.textContent")
    choose(page, "prompt", "raw")
    assert page.is_disabled("#instruction")
    page.fill("#dimensions", "")
    run(page)
    same([item["embedding"] for item in downloaded(page)["items"]], embedder.embed(texts, prompt="raw")[0])
    tokens = [len(embedder.post("/tokenize", {"prompt": text})[1]["tokens"]) for text in texts]
    assert page.locator(".read .tokens").all_inner_texts() == [f"{n} tokens" for n in tokens]


def test_texts_are_never_read_as_html(embedder, open_page):
    text = "<img src=x onerror=alert(1)><b>bold</b>"
    page = open_page(embedder)
    fill(page, [text, "b"])
    run(page)
    assert page.locator("img[src=x], #answer b").count() == 0
    assert page.locator(".matrix tbody th").first.inner_text().endswith(text)


# ---- rank ----

def test_an_embedding_model_ranks_by_cosine(embedder, open_page):
    page = open_page(embedder)
    choose(page, "task", "rank")
    page.fill("#instruction", "Find the answer.")
    run(page)
    query = page.locator("#query textarea").input_value()
    documents = [area.input_value() for area in page.locator("#documents textarea").all()]
    vectors, _ = embedder.embed([{"text": query, "instruction": "Find the answer."}, *({"text": d} for d in documents)], prompt="official")
    check_ranking(page, documents, [float(np.dot(vectors[0], v)) for v in vectors[1:]])


def test_a_reranker_ranks_by_its_scores(reranker, open_page):
    page = open_page(reranker)
    assert not page.is_visible("#task") and not page.is_visible("#dimensions") and page.is_visible("#query")
    run(page)
    documents = [area.input_value() for area in page.locator("#documents textarea").all()]
    body = {"query": page.locator("#query textarea").input_value(), "documents": documents}
    results = reranker.post("/v1/rerank", body)[1]["results"]
    check_ranking(page, documents, [r["relevance_score"] for r in sorted(results, key=lambda r: r["index"])])
    page.locator(".read summary").first.click()
    prompt = page.locator(".read pre").first.inner_text()
    assert body["query"] in prompt and documents[0] in prompt


def check_ranking(page, documents, scores):
    rows = page.locator(".ranking li")
    order = sorted(range(len(documents)), key=lambda i: (-scores[i], i))
    assert rows.locator(".text-of").all_inner_texts() == [documents[i] for i in order]
    assert [float(s.replace("−", "-")) for s in rows.locator(".score").all_inner_texts()] == pytest.approx([scores[i] for i in order], abs=6e-5)
    shares = rows.locator(".bar").evaluate_all("bars => bars.map(bar => bar.firstChild.offsetWidth / bar.offsetWidth)")
    assert shares == pytest.approx([max(0, scores[i]) for i in order], abs=0.005)


def test_a_document_that_cannot_be_decoded_is_told_with_the_others(reranker, open_page, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page = open_page(reranker)
    fill(page, ["a wall", ""], "#documents")
    give(page, "#documents .item:nth-child(2)", "drop", tmp_path / "broken.png", "broken.png")
    run(page)
    assert page.locator(".ranking li").count() == 2 and "documents[1]" in page.inner_text(".ranking .failed")


# ---- the same call ----

def shell(text, cwd, **environment):
    done = subprocess.run(["sh", "-c", text], cwd=cwd, env={**os.environ, **environment}, capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout)


def python(text, cwd, monkeypatch):
    monkeypatch.chdir(cwd)
    (cwd / "call.py").write_text(text, encoding="utf-8")
    return runpy.run_path(str(cwd / "call.py"))


@pytest.mark.parametrize("pictures", [False, True])
def test_copied_calls_give_the_same_vectors(embedder, open_page, tmp_path, monkeypatch, pictures):
    name = "it's $1 `a` (photo).png"
    page = open_page(embedder)
    fill(page, [HARD, "b"])
    page.fill("#instruction", "Don't \"$miss\" doors.")
    page.fill("#dimensions", "128")
    if pictures:
        shutil.copy(PHOTO, tmp_path / name)
        give(page, "#items .item:nth-child(2)", "drop", PHOTO, name)
    run(page)
    shown = [item["embedding"] for item in downloaded(page)["items"]]
    assert len(shown) == 2 and len(shown[0]) == 128
    same([item["embedding"] for item in shell(copied(page, "curl"), tmp_path)["data"]], shown)
    same(python(copied(page, "python"), tmp_path, monkeypatch)["vectors"], shown)


def test_copied_ranking_by_cosine(embedder, open_page, tmp_path, monkeypatch, capsys):
    page = open_page(embedder)
    choose(page, "task", "rank")
    page.fill("#instruction", "Find it.")
    run(page)
    shown = [item["embedding"] for item in downloaded(page)["items"]]
    same(python(copied(page, "python"), tmp_path, monkeypatch)["vectors"], shown)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == page.locator(".ranking .score").all_inner_texts()


def test_copied_rerank_calls(reranker, open_page, tmp_path, monkeypatch):
    page = open_page(reranker)
    fill(page, ["a door", ""], "#documents")
    page.locator("#query textarea").fill(HARD)
    page.fill("#instruction", "It's 'this'.")
    shutil.copy(PHOTO, tmp_path / "vga.png")
    give(page, "#documents .item:nth-child(2)", "drop", PHOTO, "vga.png")
    run(page)
    shown = page.locator(".ranking .score").all_inner_texts()
    for answer in (shell(copied(page, "curl"), tmp_path), python(copied(page, "python"), tmp_path, monkeypatch)["answer"]):
        assert [f"{r['relevance_score']:.4f}" for r in answer["results"]] == shown


# ---- keys and errors ----

def test_a_key_is_asked_for_and_kept_in_the_tab_only(locked, open_page, tmp_path, monkeypatch):
    page = open_page(locked, allow="401")
    assert page.is_visible("#key-form") and page.evaluate("document.activeElement.id") == "key"
    assert not page.is_visible("#problem")
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#problem", state="visible")
    assert page.is_visible("#key-form") and locked.post("/v1/embeddings", {})[1]["error"]["message"] in page.inner_text("#problem")
    page.fill("#key", KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-form", state="hidden")
    page.wait_for_selector("#model strong:text('small')")
    run(page)
    assert page.evaluate("[localStorage.length, document.cookie, location.search, location.hash]") == [0, "", "", ""]
    monkeypatch.setenv("QVEC_API_KEY", KEY)
    shown = [item["embedding"] for item in downloaded(page)["items"]]
    curl, program = copied(page, "curl"), copied(page, "python")
    assert "sesame" not in curl + program and "sesame" not in page.content()
    same([item["embedding"] for item in shell(curl, tmp_path)["data"]], shown)
    same(python(program, tmp_path, monkeypatch)["vectors"], shown)


def test_errors_are_the_servers_words(embedder, open_page):
    page = open_page(embedder, allow="400")
    page.fill("#instruction", "x")
    page.evaluate("document.getElementById('dimensions').max = ''")  # as if the page knew no limit
    page.fill("#dimensions", "9999")
    run(page)
    told = embedder.post("/v1/embeddings", {"input": "a", "dimensions": 9999})[1]["error"]["message"]
    assert told in page.inner_text("#problem") and page.locator("#problem").get_attribute("role") == "alert"
    page.fill("#dimensions", "")
    run(page)
    assert not page.is_visible("#problem") and page.is_visible(".matrix")
    fill(page, [""])
    run(page)
    assert "first" in page.inner_text("#problem")


def test_a_server_that_is_down_and_a_request_that_is_cancelled(embedder, open_page):
    page = open_page(embedder, allow="ERR_")
    page.route("**/v1/embeddings", lambda route: route.abort())
    run(page)
    assert "did not answer" in page.inner_text("#problem")
    page.unroute("**/v1/embeddings")
    page.route("**/v1/embeddings", lambda route: None)  # never answers
    page.click("#run")
    page.click("#cancel")
    finish(page)
    assert page.inner_text("#status") == "Cancelled." and not page.is_visible("#problem") and not page.is_visible("#cancel")
    page.unroute("**/v1/embeddings")
    run(page)
    assert page.is_visible(".matrix")


def test_the_policy_stops_what_is_not_this_servers(embedder, open_page):
    page = open_page(embedder, allow="Content Security Policy")
    stopped = page.evaluate("""() => new Promise((done) => {
        const seen = [];
        addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
        const script = document.createElement("script");
        script.textContent = "window.intruder = true";
        const image = document.createElement("img");
        image.src = "http://192.0.2.1/x.png";
        const div = document.createElement("div");
        div.innerHTML = "<p style='color: red' onclick='1'>";
        document.body.append(script, image, div);
        fetch("http://192.0.2.1/").catch(() => setTimeout(() => done([...seen.sort(), window.intruder ?? "none"]), 50));
    })""")
    assert stopped == ["connect-src", "img-src", "script-src-attr", "script-src-elem", "style-src-attr", "none"]


# ---- for everybody ----

def answered(page, example=None):
    if example:
        page.click(f"[data-example={example}]")
        page.wait_for_selector(".pictures img")
    run(page)
    for summary in page.locator(".read summary").all()[:2]:
        summary.click()
    return page


with open(os.path.join(os.path.dirname(__file__), "look.js"), encoding="utf-8") as script:
    LOOK = script.read()


def problems(page, what):
    return page.evaluate(f"() => {{ {LOOK}\n return {what}(); }}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(embedder, reranker, open_page, scheme):
    """4.5 for every text and 3 for every edge of a control, computed from what the browser paints."""
    for page in (answered(open_page(embedder, color_scheme=scheme), "shapes"), answered(open_page(reranker, color_scheme=scheme)),
                 open_page(embedder, "/docs", color_scheme=scheme)):
        assert problems(page, "lowContrast") == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(c => c < 60)")
    assert dark == (scheme == "dark")


def test_names_and_structure(embedder, open_page):
    for page in (answered(open_page(embedder), "shapes"), open_page(embedder, "/docs")):
        assert problems(page, "structure") == []
        assert page.locator("main").count() == page.locator("h1").count() == 1 and page.locator("html[lang=en]").count() == 1
    table = answered(open_page(embedder)).locator(".matrix")
    assert table.locator("caption").count() == 1
    assert table.locator("thead th[scope=col]").count() == table.locator("tbody th[scope=row]").count() == 4


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_narrow(embedder, open_page, path):
    page = open_page(embedder, path, viewport={"width": 360, "height": 740}, has_touch=True)
    if path == "/":
        answered(page, "shapes")
        fill(page, ["W" * 300, "b"])
        run(page)
        assert problems(page, "smallTargets") == []
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def focused(page):
    return page.evaluate("document.activeElement.id || document.activeElement.className || document.activeElement.tagName")


def tab_to(page, test, key="Tab", most=60):
    for _ in range(most):
        page.keyboard.press(key)
        if page.evaluate(f"(({test})(document.activeElement))"):
            return
    pytest.fail(f"the keyboard does not reach {test}")


def test_keyboard_alone(embedder, open_page):
    page = open_page(embedder)
    tab_to(page, "e => e.matches('#items textarea')")
    page.keyboard.press("Control+a")
    page.keyboard.type("typed by hand")
    page.keyboard.press("Control+Enter")
    finish(page)
    assert page.locator(".matrix tbody th").first.inner_text().endswith("typed by hand")
    tab_to(page, "e => e.title === 'Remove item 2'")
    page.keyboard.press("Enter")
    assert page.locator("#items .item").count() == 3 and page.evaluate("document.activeElement.getAttribute('aria-label')") == "Text of item 2"
    tab_to(page, "e => e.matches('.read summary')")
    page.keyboard.press("Enter")
    assert page.locator(".read[open]").count() == 1
    tab_to(page, "e => e.name === 'language'")
    page.keyboard.press("ArrowRight")
    assert "from openai import OpenAI" in page.inner_text(".code pre")
    tab_to(page, "e => e.id === 'copy'")
    page.keyboard.press("Space")
    page.wait_for_selector("#copy:text('Copied')")
    tab_to(page, "e => e.name === 'task'", "Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#query")
    tab_to(page, "e => e.id === 'run'")
    page.keyboard.press("Enter")
    finish(page)
    assert page.is_visible(".ranking")


def test_every_control_is_reached_and_seen(embedder, open_page):
    """Tab goes through every control in the order of the page, and each shows that it has the focus."""
    page = answered(open_page(embedder), "shapes")
    page.evaluate("window.getSelection().removeAllRanges(); document.body.tabIndex = -1; document.body.focus()")
    want = problems(page, "tabStops")
    got, dull = [], []
    for _ in want:
        page.keyboard.press("Tab")
        got.append(problems(page, "focusedStop"))
        if not problems(page, "showsFocus"):
            dull.append(focused(page))
    assert got == want and not dull


def test_motion_only_where_it_is_wanted(embedder, open_page):
    for motion, moving in (("reduce", 0), ("no-preference", 1)):
        page = answered(open_page(embedder, reduced_motion=motion))
        count = page.evaluate("[...document.querySelectorAll('*')].filter(e => parseFloat(getComputedStyle(e).transitionDuration) > 0).length")
        assert (count > 0) == moving


def test_results_are_announced(embedder, open_page):
    page = open_page(embedder)
    assert page.locator("#status").get_attribute("role") == "status"
    page.click("#run")
    finish(page)
    assert page.inner_text("#status").startswith("4 items compared.")
