"""qvec info and qvec verify."""
import json
import os
import shutil

import dummy_weights
import harness
import pytest


def test_info_of_shapes(qvec):
    for shape, hidden, parameters in (("2b", 2048, 2.1e9), ("8b", 4096, 8.7e9)):
        done = qvec("info", harness.folder(shape), "--load-format", "dummy", "--json")
        facts = json.loads(done.out)
        assert facts["embedding_size"] == hidden and abs(facts["weights"]["parameters"] / parameters - 1) < 0.05
        assert facts["task"] == "embed" and facts["memory"]["workspace"] > 0


def test_info_grows_with_what_is_asked(qvec):
    sizes = [json.loads(qvec("info", "--json", "--max-model-len", n, "--max-num-batched-tokens", "1k").out)["memory"]["workspace"]
             for n in ("1k", "8k", "64k")]
    assert sizes == sorted(set(sizes))


def test_info_as_text(qvec):
    text = qvec("info").out
    for word in ("task", "decoder", "vision", "weights", "longest input", "prompt", "memory", "cpu"):
        assert f"\n{word} " in text, word


def real(tmp_path, **form):
    folder = os.path.join(tmp_path, "model")
    shutil.copytree(harness.folder("tiny"), folder, copy_function=os.link)
    dummy_weights.write(folder, **form)
    return folder


def test_info_of_files(qvec, tmp_path):
    facts = json.loads(qvec("info", real(tmp_path, shards=3), "--json").out)
    assert len(facts["weights"]["files"]) == 3 and not facts["weights"]["dummy"]


def test_info_without_weights(qvec):
    done = qvec("info", harness.folder("tiny"))
    assert done.status == 3 and "model.safetensors" in done.err


def test_verify(qvec, tmp_path):
    done = qvec("verify")
    assert done.status == 0 and "FAIL" not in done.out
    assert "11 stored answers" in done.out and "4 stored answers" in done.out
    done = qvec("verify", real(tmp_path))
    assert done.status == 0 and "no answers are stored" in done.out
    assert qvec("verify", harness.folder("tiny", "reranker"), "--load-format", "dummy").status == 0
    assert qvec("verify", "no/such").status == 3


@pytest.fixture
def copies(tmp_path):
    """Copies of the built-in models that may be damaged."""
    for name in ("mini", "mini-reranker"):
        shutil.copytree(os.path.join(harness.ROOT, "models", name), tmp_path / name, ignore=lambda *_: ["train"])
    return tmp_path


@pytest.mark.parametrize("name", ["mini", "mini-reranker"])
def test_verify_finds_damaged_weights(qvec, copies, name):
    """A few thousand bytes of one matrix in another order: every number is finite, and the answers are others."""
    path = copies / name / "model.safetensors"
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[:8], "little")
    tensor = json.loads(data[8:8 + size])["model.language_model.layers.1.mlp.down_proj.weight"]
    at = 8 + size + tensor["data_offsets"][0]
    data[at:at + 8192] = data[at + 4096:at + 8192] + data[at:at + 4096]
    path.write_bytes(data)
    done = qvec("verify", copies / name)
    assert done.status == 1 and "ok    all weights are finite" in done.out
    assert done.out.splitlines()[-1].startswith("FAIL") and "stored answers" in done.out.splitlines()[-1]


def test_verify_finds_another_tokenizer(qvec, copies):
    path = copies / "mini" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:-8000]
    path.write_text(json.dumps(tokenizer))
    done = qvec("verify", copies / "mini")
    assert done.status == 1 and "tokens; the stored answer's has" in done.out


@pytest.mark.parametrize("text, told", [
    ("[", "expected.json, line 1"), ("{}", "at least one case"), ("[1]", "case 0 is not an object"),
    ('[{"id": "x", "text": "a"}]', 'x has no list "embedding"'), ('[{"id": "x", "text": "a", "embedding": [true]}]', "embedding[0] is not a number"),
    ('[{"id": "x", "text": "a", "embedding": [1]}]', 'x has too few "ids"'), ('[{"id": "x", "image": "../config.json", "embedding": [1], "ids": [1]}]', "config.json"),
    ('[{"id": "x", "query": "a", "documents": ["b"], "scores": [1, 2], "ids": [[1]]}]', "2 scores for 1 documents")])
def test_verify_reads_stored_answers_with_care(qvec, copies, text, told):
    (copies / "mini" / "expected.json").write_text(text)
    done = qvec("verify", copies / "mini")
    assert done.status == 1 and told in done.out.splitlines()[-1]


def test_verify_finds_a_bad_number(qvec, tmp_path):
    folder = real(tmp_path, dtype="f32")
    with open(os.path.join(folder, "model.safetensors"), "r+b") as f:
        f.seek(-4, os.SEEK_END)
        f.write(b"\x00\x00\xc0\x7f")
    done = qvec("verify", folder)
    assert done.status == 1 and "FAIL" in done.out and "not finite" in done.out


def test_verify_finds_a_missing_tensor(qvec, tmp_path):
    folder = real(tmp_path)
    path = os.path.join(folder, "model.safetensors")
    data = open(path, "rb").read()
    name = b'"model.language_model.norm.weight"'
    assert data.count(name) == 1
    with open(path, "wb") as f:
        f.write(data.replace(name, b'"model.language_model.nrom.weight"'))
    done = qvec("verify", folder)
    assert done.status == 1 and "model.language_model.norm.weight" in done.out


@pytest.mark.parametrize("command", ["info", "verify"])
def test_hub_cache(qvec, tmp_path, command):
    repository = tmp_path / "models--org--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abcd")
    shutil.copytree(harness.folder("tiny"), repository / "snapshots" / "0123abcd", copy_function=os.link)
    done = qvec(command, "org/name", "--load-format", "dummy", env={"HF_HUB_CACHE": str(tmp_path)})
    assert done.status == 0 and "0123abcd" in done.out
    assert qvec(command, "org/name", "--load-format", "dummy", "--download-dir", tmp_path).status == 0
