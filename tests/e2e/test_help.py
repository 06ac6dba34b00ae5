"""--help, the man page and the flag tables say the same."""
import os
import re
import subprocess

import pytest

import harness

COMMANDS = ["serve", "embed", "rerank", "tokenize", "info", "quantize", "verify", "bench serve", "bench latency", "bench throughput"]
MAN = os.path.join(harness.ROOT, "man", "qvec.1")
HELP_FLAG = re.compile(r"^  (--[a-z-]+)", re.M)


def help_of(qvec, command):
    done = qvec(*command.split(), "--help")
    assert done.status == 0 and done.err == ""
    return done.out


def table_of(command):
    """The flags in the source of a command's tables."""
    shared = {"embed": ["model_flags", "model_open", "inputs", "wishes", "run_items"], "rerank": ["model_flags", "model_open", "wishes", "run_items"],
              "tokenize": [], "info": ["model_flags"], "serve": ["fetch_flags", "model_flags", "model_open", "serve_door"], "verify": [], "quantize": [],
              "bench serve": ["bench_flags", "bench_data"], "bench latency": ["bench_work", "bench_data", "model_flags"],
              "bench throughput": ["bench_work", "bench_data", "model_flags"]}
    names = set()
    for name in [command, *shared[command]]:
        with open(os.path.join(harness.ROOT, "src", "cli", name.replace(" ", "_") + ".c"), encoding="utf-8") as f:
            names.update(re.findall(r'QV__ROW\(\s*"([a-z-]+)"', f.read()))
    return {"--" + n for n in names}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_every_flag(qvec, command):
    text = help_of(qvec, command)
    assert table_of(command) <= set(HELP_FLAG.findall(text))
    assert text.index("  qvec " + command) < text.index("Usage: ") < text.index("  --")
    assert max(map(len, text.splitlines())) <= 120


def test_help_has_the_table_of_limits(qvec):
    with open(os.path.join(harness.ROOT, "src", "api", "limits.c"), encoding="utf-8") as f:
        names = re.findall(r'^    \{"([a-z-]+)"', f.read(), re.M)
    for command, count in (("serve", 30), ("embed", 6), ("rerank", 6)):
        flags = HELP_FLAG.findall(help_of(qvec, command))
        assert len(set(flags) & {"--" + n for n in names}) == count and len(flags) == len(set(flags))
    text = " ".join(help_of(qvec, "serve").split())
    assert "--max-body BYTES Largest request body, the memory for whose JSON may be 6 times as much; over it: 413. Default: 64M." in text
    assert "--request-timeout SECONDS How long" in text and "Default: 600." in text


@pytest.mark.parametrize("command", COMMANDS)
def test_ways_to_ask(qvec, command):
    text = help_of(qvec, command)
    words = command.split()
    assert qvec("help", *words).out == qvec(*words, "-h").out == qvec(*words, "--help=all").out == text
    assert qvec(*words, "--nonsense", "--help").status == 2


def test_help_of_one_flag(qvec):
    text = qvec("serve", "--help=model-len").out
    assert HELP_FLAG.findall(text) == ["--max-model-len"]
    assert "--threads" in qvec("embed", "--help=Model").out
    assert "no flag" in qvec("embed", "--help=zzz").out


def test_overview_names_every_command(qvec):
    for arguments in ([], ["help"], ["--help"], ["-h"]):
        done = qvec(*arguments)
        assert done.status == (0 if arguments else 2)
        assert all(re.search(rf"^  {c.split()[0]} ", done.out, re.M) for c in COMMANDS)


@pytest.fixture(scope="module")
def page():
    done = subprocess.run(["man", "-l", MAN], capture_output=True, timeout=30, env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0 and b"warning" not in done.stderr, done.stderr
    return re.sub(".\b", "", done.stdout.decode())


@pytest.mark.parametrize("command", COMMANDS)
def test_man_page_has_every_flag(qvec, page, command):
    section = page[page.index("\n" + command.upper() + "\n"):]
    section = section[:re.search(r"\n[A-Z][A-Z ]+\n", section[5:]).end() + 5]
    missing = [f for f in HELP_FLAG.findall(help_of(qvec, command)) if not re.search(rf"^ +{f}(?![a-z-])", section, re.M)]
    assert not missing
    known = set(HELP_FLAG.findall(help_of(qvec, command)))
    assert set(re.findall(r"^       (--[a-z-]+)", section, re.M)) <= known


def test_man_page_tells_exit_statuses(page):
    assert re.search(r"130 +interrupted", page)
