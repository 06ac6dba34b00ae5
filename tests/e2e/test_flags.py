"""Every way to write a flag, and what is said about wrong ones."""
import json
import os
import shutil
import subprocess

import harness
import pytest

from models import TINY


def ids(qvec, *flags):
    done = qvec("tokenize", *TINY, "--text", "hello world", *flags)
    assert done.status == 0, done.err
    return json.loads(done.out)["ids"]


@pytest.mark.parametrize("flags", [
    ["--max-length", "7"], ["--max-length=7"], ["--max_length", "7"], ["--max_length=7"], ["--max-l", "7"], ["--max-len=7"],
    ["--max-length", "99", "--max-length", "7"],
], ids=" ".join)
def test_spellings(qvec, flags):
    assert len(ids(qvec, *flags)) == 7


def test_counts_with_suffixes(qvec):
    for text in ("8k", "8000", "8.0k"):
        done = qvec("info", *TINY, "--json", "--max-model-len", text)
        assert json.loads(done.out)["max_model_len"] == 8000
    for text in ("auto", "-1"):
        done = qvec("info", *TINY, "--json", "--max-model-len", text)
        assert json.loads(done.out)["max_model_len"] == 32768


@pytest.mark.parametrize("flags, said", [
    (["--txt", "x"], "did you mean --text?"),
    (["--instuction=x"], "did you mean --instruction?"),
    (["--qqqqqqqq"], "there is no flag --qqqqqqqq"),
    (["-x"], "there is no flag -x"),
    (["--max-length"], "--max-length needs a value"),
    (["--text", "--prompt", "raw"], "--text needs a value"),
    (["--max-length", "0"], "--max-length"),
    (["--max-length", "9x"], "--max-length"),
    (["--prompt", "chat"], "official|raw|none"),
    (["--prompt", ""], "official|raw|none"),
    (["--m", "3"], "could be any of --max-length, --model"),
    (["--model", "b"], "given twice"),
    (["a.jsonl", "b.jsonl", "c.jsonl"], "one argument too many"),
    (["a.jsonl", "--text", "x"], "not from both"),
    (["--" + "n" * 200], "there is no flag"),
], ids=lambda v: " ".join(v)[:30] if isinstance(v, list) else "")
def test_wrong_usage(qvec, flags, said):
    done = qvec("tokenize", *TINY, *flags)
    assert done.status == 2 and done.raw == b""
    assert said in done.err and done.err.count("\n") == 1


def test_switches(qvec):
    done = [json.loads(qvec("embed", *TINY, "--text", "a", *flags).out)["embedding"]
            for flags in ([], ["--normalize"], ["--no-normalize"], ["--normalize=false"], ["--no_normalize"])]
    assert done[0] == done[1] != done[2] == done[3] == done[4]
    assert qvec("embed", *TINY, "--text", "a", "--normalize=maybe").status == 2


def test_a_value_that_looks_like_a_flag(qvec):
    for flags in (["--text=--prompt"], ["--text=-x"], ["--text", "-x"]):
        assert qvec("tokenize", *TINY, *flags, "--prompt", "none").status == 0
    assert qvec("tokenize", "--prompt", "none", "--", "--text").status == 3  # a MODEL of that name


def test_model_as_flag_is_the_same(qvec):
    one = qvec("embed", *TINY, "--text", "a")
    other = qvec("embed", "--model", *TINY, "--text", "a")
    assert one.raw == other.raw != b""


@pytest.mark.parametrize("flags, name, task", [(["info"], "mini", "embed"), (["info", "--task", "rerank"], "mini-reranker", "rerank")])
def test_builtin_models(qvec, flags, name, task):
    facts = json.loads(qvec(*flags, "--json").out)
    assert os.path.basename(facts["folder"]) == name and facts["task"] == task and not facts["weights"]["dummy"]


def test_builtin_model_is_found(qvec, tmp_path):
    """Beside the program, in the installed share folder, in the source tree; a program on its own says what is missing."""
    models = os.path.join(harness.ROOT, "models")
    for program, place in (("a/qvec", "a/models"), ("b/bin/qvec", "b/share/qvec/models"), ("c/build/qvec", "c/models")):
        for path in (program, place):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(harness.QVEC, tmp_path / program)
        os.symlink(models, tmp_path / place)
        done = subprocess.run([tmp_path / program, "embed", "--text", "a"], capture_output=True, check=True)
        assert done.stdout == qvec("embed", "--text", "a").raw
    os.unlink(tmp_path / "c/models")
    done = subprocess.run([tmp_path / "c/build/qvec", "rerank", "--query", "a", "--document", "b"], capture_output=True, text=True)
    assert done.returncode == 3 and "built-in model was not found" in done.stderr


@pytest.mark.parametrize("model", ["no/such-model", "no-such-folder", "/", "small.png"])
def test_no_model(qvec, model):
    done = qvec("embed", "--model", model, "--text", "a")
    assert done.status == 3 and done.raw == b"" and done.err.startswith("qvec embed: ")


def test_wrong_kind_of_model(qvec):
    assert "reranker" in qvec("rerank", *TINY, "--query", "a", "--document", "b").err
    assert qvec("rerank", *TINY, "--task", "rerank", "--query", "a", "--document", "b").status == 0


def test_unknown_command(qvec):
    done = qvec("embbed")
    assert done.status == 2 and "did you mean embed?" in done.err
    assert qvec("frobnicate").status == 2 and qvec().status == 2


def test_version(qvec):
    done = qvec("--version")
    assert done.status == 0 and done.out.startswith("qvec ") and done.out.count("\n") == 1
