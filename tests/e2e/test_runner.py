"""tools/run_tests.py: what a machine lacks is skipped, or a failure where that was asked for."""
import os
import subprocess
import sys

import pytest

import harness

TOOL = os.path.join(harness.ROOT, "tools", "run_tests.py")
JUNIT = """<testsuite><testcase classname="c" name="a"/>
<testcase classname="c" name="b"><skipped message="haproxy (Debian package haproxy) is not installed"/></testcase>
<testcase classname="c" name="c"><skipped message="less than 6 GB of memory is available"/></testcase></testsuite>"""


@pytest.mark.parametrize("environment, status, last", [
    ({}, 0, "0 passed, 0 failed, 1 skipped"), ({"QVEC_TEST_REQUIRE": "1"}, 1, "0 passed, 1 failed, 0 skipped"),
    ({"QVEC_TEST_REQUIRE": "0"}, 0, "0 passed, 0 failed, 1 skipped")],
    ids=str)
def test_the_switch(tmp_path, environment, status, last):
    """Without a Python for it, a suite cannot run."""
    clean = {name: value for name, value in os.environ.items() if name != "QVEC_TEST_REQUIRE"}
    done = subprocess.run([sys.executable, TOOL, "--build", tmp_path, "--only", "golden"], capture_output=True, text=True,
                          timeout=60, env={**clean, **environment})
    assert done.returncode == status and done.stdout.splitlines()[-1] == last, done.stdout + done.stderr


@pytest.mark.parametrize("required, wanted", [(False, ["passed", "skipped", "skipped"]), (True, ["passed", "failed", "skipped"])])
def test_what_no_package_brings_may_be_lacking(tmp_path, monkeypatch, required, wanted):
    monkeypatch.syspath_prepend(os.path.dirname(TOOL))
    import run_tests
    monkeypatch.setattr(run_tests, "REQUIRED", required)
    suite = run_tests.Suite.__new__(run_tests.Suite)
    suite.results = []
    (tmp_path / "junit.xml").write_text(JUNIT, encoding="ascii")
    suite.read_junit(str(tmp_path / "junit.xml"), "pytest", 0, "")
    assert [outcome for _, outcome, _ in suite.results] == wanted and all(name.startswith("c::") for name, _, _ in suite.results)
