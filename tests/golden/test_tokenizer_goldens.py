"""The 700 strings of many scripts, through `qvec tokenize`."""
import json

import pytest

import harness


@pytest.fixture(scope="module")
def answers():
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text, _ in harness.stored("tokenizer"))
    output = harness.run(["tokenize", harness.folder("tiny"), "--prompt", "none", "-"], lines)
    return [json.loads(line)["ids"] for line in output.splitlines()]


def test_all_strings(answers):
    expected = harness.stored("tokenizer")
    assert len(answers) == len(expected) == 700
    wrong = [(text, got, want) for (text, want), got in zip(expected, answers) if got != want]
    assert not wrong, f"{len(wrong)} of {len(expected)} differ, first: {wrong[0]}"


@pytest.mark.parametrize("prompt", ["official", "raw"])
def test_prompts(prompt):
    cases = [c for c in harness.stored("tiny-embed") if c["id"].startswith(prompt + "-") and "max_length" not in c]
    assert len(cases) == 28
    lines = "".join(json.dumps({"text": c["text"]}, ensure_ascii=False) + "\n" for c in cases)
    output = harness.run(["tokenize", harness.folder("tiny"), "--prompt", prompt, "-"], lines)
    assert [json.loads(line)["ids"] for line in output.splitlines()] == [c["ids"] for c in cases]
