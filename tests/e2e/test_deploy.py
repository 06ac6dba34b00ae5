"""deploy/: the systemd unit is sound (test_sandbox.py runs qvec under its walls); the board and the alerts ask for metrics
that exist."""
import json
import os
import re
import shutil
import subprocess
import urllib.request

import pytest

import harness
from sandbox import DEPLOY, needs_systemd, read, unit_values
from test_serve import Running


# ---- the unit ----

def drop_ins():
    """The additions to the unit that docs/OPERATIONS.md proposes."""
    with open(os.path.join(harness.ROOT, "docs", "OPERATIONS.md"), encoding="utf-8") as f:
        found = re.findall(r"^```ini\n(.*?)^```$", f.read(), re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    return found


@needs_systemd
@pytest.mark.parametrize("addition", [None, 0, 1])
def test_the_unit_is_sound(tmp_path, addition):
    path = tmp_path / "qvec.service"
    path.write_text(read("qvec.service").replace("/usr/local/bin/qvec", harness.QVEC), encoding="utf-8")
    if addition is not None:
        (tmp_path / "qvec.service.d").mkdir()
        (tmp_path / "qvec.service.d" / "more.conf").write_text(drop_ins()[addition], encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=15", path], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout.decode()  # exposure of at most 1.5 of 10


def test_the_unit_leaves_nothing_to_write_to():
    """What ProtectSystem=strict leaves writable is closed by name. A reload is sent from outside the walls, which do not
    let kill(2) through."""
    closed = " ".join(unit_values("InaccessiblePaths")).replace("-/", "/").split()
    assert {"/tmp", "/var/tmp", "/run/lock", "/dev/shm", "/dev/mqueue"} <= set(closed)
    assert unit_values("ProtectSystem") == ["strict"] and not unit_values("ReadWritePaths")
    assert not any(unit_values(name + "Directory") for name in ("Runtime", "State", "Cache", "Logs"))
    assert re.fullmatch(r"\+\S+/kill -HUP \$MAINPID", unit_values("ExecReload")[0])


def test_the_flags_of_the_additions_exist(qvec):
    known = qvec("serve", "--help").out
    flags = re.findall(r"(--[\w-]+)", "".join(drop_ins()))
    assert len(flags) >= 4 and all(flag + " " in known for flag in flags)


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
