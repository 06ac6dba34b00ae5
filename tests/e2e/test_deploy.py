"""deploy/: the systemd unit is sound, and qvec runs under the unit's system call filter; the board and the alerts ask for
metrics that exist."""
import base64
import ctypes
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import urllib.request

import pytest

import harness
from test_operations import notified
from test_serve import Running

DEPLOY = os.path.join(harness.ROOT, "deploy")
UNIT = os.path.join(DEPLOY, "qvec.service")

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze (Debian package systemd) is not installed")


def read(*path):
    with open(os.path.join(DEPLOY, *path), encoding="utf-8") as f:
        return f.read()


def unit_values(name):
    return re.findall(rf"^{name}=(.*)$", read("qvec.service"), re.MULTILINE)


# ---- the unit ----

@needs_systemd
def test_the_unit_is_sound(tmp_path):
    path = tmp_path / "qvec.service"
    path.write_text(read("qvec.service").replace("/usr/local/bin/qvec", harness.QVEC), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=15", path], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout.decode()  # exposure of at most 1.5 of 10


def test_the_units_command_is_one(qvec):
    """Every flag of ExecStart exists, and the time-out leaves room for --drain-timeout."""
    words = unit_values("ExecStart")[0].split()
    known = qvec("serve", "--help").out
    flags = [word for word in words if word.startswith("--")]
    assert words[1] == "serve" and len(flags) >= 5 and all(flag + " " in known for flag in flags)
    assert int(unit_values("TimeoutStopSec")[0]) >= int(words[words.index("--drain-timeout") + 1]) + 10


def test_haproxy_waits_longer_than_qvec(qvec):
    """A request that takes too long is answered by qvec, which knows why."""
    default = re.search(r"--request-timeout SECONDS\s[^-]*?Default: (\d+)", qvec("serve", "--help").out)
    assert int(re.search(r"^    timeout server (\d+)s$", read("haproxy.cfg"), re.MULTILINE)[1]) > int(default[1])


# ---- its system calls ----

LOAD, EQUAL, AND, RETURN = 0x20, 0x15, 0x54, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000  # REFUSE: EPERM
X86_64, EXECUTE, WRITE_EXECUTE = 0xC000003E, 4, 6
NO_NEW_PRIVILEGES, SECCOMP_MODE, FILTER = 38, 22, 2


def calls_of_group(name):
    text = subprocess.run(["systemd-analyze", "syscall-filter", name], stdout=subprocess.PIPE, timeout=60, check=True).stdout.decode()
    for word in re.findall(r"^    (@?\w[\w-]*)$", text, re.MULTILINE):
        yield from calls_of_group(word) if word.startswith("@") else [word]


def allowed_numbers():
    with open("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", encoding="ascii") as f:
        numbers = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", f.read())}
    names = set(calls_of_group("@default"))  # is always allowed
    for word in " ".join(unit_values("SystemCallFilter")).split():
        assert not word.startswith("~")
        names |= set(calls_of_group(word)) if word.startswith("@") else {word}
    return numbers, {numbers[name] for name in names if name in numbers}  # other machines have other calls too


def program():
    """The unit's filter and MemoryDenyWriteExecute, as systemd makes them: what is not listed fails with EPERM. Two
    libraries below libav try to lock memory and to place it when they are loaded, and do without."""
    numbers, allowed = allowed_numbers()
    ops = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, X86_64), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    for name, mask in (("mmap", WRITE_EXECUTE), ("mprotect", EXECUTE)):
        ops += [(EQUAL, 0, 5, numbers[name]), (LOAD, 0, 0, 32), (AND, 0, 0, mask), (EQUAL, 0, 1, mask), (RETURN, 0, 0, REFUSE),
                (RETURN, 0, 0, ALLOW)]
    for number in sorted(allowed):
        ops += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    ops.append((RETURN, 0, 0, REFUSE))
    return b"".join(struct.pack("HBBI", *op) for op in ops)


def put_under(filter_bytes):
    """For preexec_fn: this process, and what it becomes."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(filter_bytes)

    def enter():
        head = struct.pack("HxxxxxxP", len(filter_bytes) // 8, ctypes.addressof(code))
        if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(SECCOMP_MODE, FILTER, ctypes.c_char_p(head), 0, 0):
            os._exit(99)
    return enter


filtered = pytest.mark.skipif(platform.machine() != "x86_64", reason="the filter is written for x86-64 here")


@needs_systemd
@filtered
def test_qvec_runs_under_the_units_filter(tmp_path):
    path = str(tmp_path / "notify")
    items = []
    for name, kind, media in (("vga.png", "image_url", "image/png"), ("h264.mp4", "video_url", "video/mp4")):
        with open(os.path.join(harness.ASSETS, name), "rb") as f:
            items.append({"type": kind, kind: {"url": f"data:{media};base64," + base64.b64encode(f.read()).decode()}})
    free, answers = Running(), []
    with notified(path) as message:
        server = Running("--log-format", "json", env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"}, preexec_fn=put_under(program()))
        for one in (server, free):
            answers.append([one.post("/v1/embeddings", {"input": ["Größe 東京 x1", "a"]})[1]["data"]]
                           + [one.post("/v1/embeddings", {"messages": [{"role": "user", "content": [item]}]})[1]["data"] for item in items])
        assert answers[0] == answers[1]
        assert server.post("/v1/embeddings", {"input": 5})[0] == 400 and "qvec_busy_share" in server.get("/metrics")
        assert message()["READY"] == "1"
        assert server.stop() == 0 and free.stop() == 0, server.lines


@needs_systemd
@filtered
def test_the_filter_is_one():
    """Code cannot be made at run time, and calls that qvec has no business with are refused."""
    assert unit_values("SystemCallErrorNumber") == ["EPERM"] and unit_values("MemoryDenyWriteExecute") == ["yes"]
    script = ("import ctypes, mmap, os\n"
              "def refused(call, *arguments, **options):\n"
              "    try:\n        call(*arguments, **options)\n"
              "    except PermissionError:\n        return True\n"
              "print(refused(mmap.mmap, -1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC), refused(mmap.mmap, -1, 4096),\n"
              "      refused(os.chroot, '/'), refused(os.kill, os.getpid(), 0))\n"
              "print(ctypes.CDLL(None).syscall(101, 0, 0, 0, 0))\n")  # ptrace
    done = subprocess.run([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE, preexec_fn=put_under(program()), timeout=60)
    assert done.stdout.split() == [b"True", b"None", b"True", b"True", b"-1"], done.stdout


# ---- the board and the alerts ----

@pytest.fixture(scope="module")
def metrics():
    """{name as it is queried} of a server that has answered once."""
    server = Running()
    server.post("/v1/embeddings", {"input": "a"})
    with urllib.request.urlopen(server.base + "/metrics", timeout=20) as answer:
        text = answer.read().decode()
    assert server.stop() == 0
    return {line.split("{")[0]: set(re.findall(r'(\w+)="', line)) for line in text.splitlines() if line and line[0] != "#"}


def queried(expression):
    """(metric, labels asked for) of a PromQL expression; its own words stand before a parenthesis or are known."""
    words = r"\b((?:vllm:|qvec_|process_)\w+)(?:\{([^}]*)\})?"
    found = [(name, set(re.findall(r"(\w+)\s*(?:=~|!=|=)", labels or ""))) for name, labels in re.findall(words, expression)]
    assert found, expression
    return found


def check_queries(expressions, metrics):
    added = {"instance", "job"}  # by Prometheus
    for expression in expressions:
        for name, labels in queried(expression):
            assert name in metrics, f"{expression} asks for {name}, which /metrics does not have"
            assert labels <= metrics[name] | added, f"{expression} asks for a label that {name} does not have"


def test_the_board_asks_for_what_exists(metrics):
    board = json.loads(read("grafana.json"))
    shown = [panel for panel in board["panels"] if panel["type"] != "row"]
    expressions = [target["expr"] for panel in shown for target in panel["targets"]]
    check_queries(expressions, metrics)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) and len(expressions) > 25
    asked = {name for expression in expressions for name, _ in queried(expression)}
    for prefix in ("qvec_stage", "qvec_oldest", "qvec_busy", "vllm:prefix_cache", "vllm:mm_cache", "qvec_requests_refused", "qvec_batch_items"):
        assert any(name.startswith(prefix) for name in asked), f"the board does not show {prefix}"
    boxes = [panel["gridPos"] for panel in board["panels"]]
    for i, a in enumerate(boxes):
        assert a["x"] + a["w"] <= 24
        for b in boxes[:i]:
            assert a["y"] >= b["y"] + b["h"] or b["y"] >= a["y"] + a["h"] or a["x"] >= b["x"] + b["w"] or b["x"] >= a["x"] + a["w"]


def test_the_alerts_ask_for_what_exists(metrics):
    expressions = re.findall(r"^\s+expr: (.*)$", read("alerts.yml"), re.MULTILINE)
    assert len(expressions) >= 5
    check_queries([e for e in expressions if not e.startswith("up{")], metrics)


def test_the_guide_names_every_metric_and_no_other(metrics):
    with open(os.path.join(harness.ROOT, "docs", "OPERATIONS.md"), encoding="utf-8") as f:
        text = f.read()
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in metrics}
    ends = re.findall(r"`\.\.\.(_\w+)`", text)
    named = set(re.findall(r"`((?:vllm:|qvec_|process_)\w+)", text))
    assert named <= families, named - families
    unnamed = {name for name in families - named if not name.endswith(tuple(ends))} - {"qvec_open_seconds"}
    assert not unnamed


def test_promtool_takes_configuration_alerts_and_queries(tmp_path):
    if not shutil.which("promtool"):
        pytest.skip("promtool (Debian package prometheus) is not installed")
    board = json.loads(read("grafana.json"))
    rules = ["groups:\n- name: board\n  rules:\n"]
    for i, target in enumerate(t for panel in board["panels"] for t in panel.get("targets", ())):
        expression = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
        rules.append(f"  - record: board:query:{i}\n    expr: {json.dumps(expression)}\n")
    path = tmp_path / "board.yml"
    path.write_text("".join(rules), encoding="utf-8")
    for command in (["check", "config", os.path.join(DEPLOY, "prometheus.yml")], ["check", "rules", path]):
        done = subprocess.run(["promtool", *command], capture_output=True, timeout=60)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
