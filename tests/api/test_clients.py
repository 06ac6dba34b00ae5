"""Unmodified clients. Against the null back end they show that the protocol is right, against `qvec serve` that the whole
is."""
import concurrent.futures
import json
import signal
import subprocess
import time

import numpy as np
import pytest

import harness

TEXTS = ["hello world", "é 漢字 🙂", "", "a b c d e f g"]


@pytest.fixture(params=["null", "qvec"])
def either(request):
    return request.getfixturevalue({"null": "null", "qvec": "server"}[request.param])


def client(server, **options):
    import openai
    return openai.OpenAI(base_url=server.base + "/v1", api_key="none", max_retries=0, **options)


def test_openai_client(either):
    """It asks for base64 by itself and decodes it."""
    openai = client(either)
    model = openai.models.list().data[0].id
    answer = openai.embeddings.create(model=model, input=TEXTS)
    plain = openai.embeddings.create(model=model, input=TEXTS, encoding_format="float")
    assert [d.index for d in answer.data] == list(range(len(TEXTS))) and answer.model == model
    for coded, printed in zip(answer.data, plain.data, strict=True):
        assert np.asarray(coded.embedding, np.float32).tobytes() == np.asarray(printed.embedding, np.float32).tobytes()
        assert abs(np.linalg.norm(coded.embedding) - 1) < 1e-5
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > len(TEXTS)
    one = openai.embeddings.create(model=model, input=TEXTS[0])
    assert one.data[0].embedding == answer.data[0].embedding
    assert one.model_extra["qvec"]["prompt"] == "raw"


def test_openai_client_token_ids(either):
    openai = client(either)
    ids = either.post("/tokenize", {"prompt": TEXTS[0]})[1]["tokens"]
    alone = openai.embeddings.create(model="", input=TEXTS[0]).data[0].embedding
    assert openai.embeddings.create(model="", input=ids).data[0].embedding == alone
    assert [d.embedding for d in openai.embeddings.create(model="", input=[ids, ids]).data] == [alone, alone]
    assert either.post("/detokenize", {"tokens": either.post("/tokenize", {"prompt": TEXTS[1], "add_special_tokens": False})[1]["tokens"]})[1] == \
        {"prompt": TEXTS[1]}


def test_openai_client_errors(either):
    import openai
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client(either).embeddings.create(model="gpt", input="a")
    with pytest.raises(openai.BadRequestError, match="at least one prompt"):
        client(either).embeddings.create(model="", input=[])
    with pytest.raises(openai.BadRequestError, match="maximum context length") as found:
        client(either).embeddings.create(model="", input="word " * 100000)
    assert found.value.body["code"] == 400


def test_openai_client_dimensions(either):
    openai = client(either)
    full = np.asarray(openai.embeddings.create(model="", input="a").data[0].embedding)
    size = max(64, len(full) // 2)
    part = np.asarray(openai.embeddings.create(model="", input="a", dimensions=size).data[0].embedding)
    want = full[:size] / np.linalg.norm(full[:size])
    assert part.shape == want.shape and np.abs(part - want).max() < 1e-6


def test_cohere_client(null):
    import cohere
    answer = cohere.ClientV2(api_key="none", base_url=null.base).rerank(model="null", query="ab", documents=["other", "cd"], top_n=1)
    assert len(answer.results) == 1 and answer.results[0].index == 1 and abs(answer.results[0].relevance_score - 1) < 1e-6


def test_curl(either):
    """The guide's own line."""
    done = subprocess.run(["curl", "-sf", either.base + "/v1/embeddings", "-H", "Content-Type: application/json", "-d",
                           json.dumps({"input": "Follow the white rabbit."})], capture_output=True, check=True, timeout=60)
    answer = json.loads(done.stdout)
    assert answer["object"] == "list" and answer["data"][0]["object"] == "embedding"


def test_32_at_once_are_the_same_bytes_as_alone(either):
    texts = [f"text number {i} " + "word " * (i % 13) for i in range(64)]
    alone = {t: either.embed(t, encoding_format="base64")[0][0].tobytes() for t in texts}
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda t: (t, either.embed(t, encoding_format="base64")[0][0].tobytes()), texts * 3))
    assert all(vector == alone[text] for text, vector in found)
    together, _ = either.embed(texts, encoding_format="base64")
    assert [v.tobytes() for v in together] == [alone[t] for t in texts]


def test_served_names(server):
    _, answer = server.embed("a", model="other")
    assert answer["model"] == "tiny"


def test_sigterm_answers_what_is_in_flight(tmp_path):
    """The whole program: requests under way are answered, and it leaves with status 0."""
    port = harness.free_port()
    process = subprocess.Popen([harness.QVEC, "serve", harness.folder("small"), "--host", "127.0.0.1", "--port", str(port), "--load-format", "dummy"],
                               stdout=subprocess.DEVNULL, stderr=open(tmp_path / "log", "wb"))
    found = harness.Server(port)
    harness.wait_until_healthy(found, process, str(tmp_path / "log"))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(found.post, "/v1/embeddings", {"input": ["word " * 300] * 8}) for _ in range(8)]
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert all(w.result()[0] == 200 for w in waiting)
    assert process.wait(30) == 0
