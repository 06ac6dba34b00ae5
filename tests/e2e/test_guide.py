"""Every command of docs/GUIDE.md prints what the page shows."""
import os
import shutil
import subprocess
import sys

import pytest

import harness

TOOL = os.path.join(harness.ROOT, "tools", "guide.py")


@pytest.mark.skipif(not shutil.which("jq"), reason="this machine lacks jq")
def test_the_page_is_what_the_commands_print():
    done = subprocess.run([sys.executable, TOOL, "--build", harness.BUILD], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shown, printed, timing, ok", [
    ("cosine 0.81234", "cosine 0.81235", False, True), ("cosine 0.8123", "cosine 0.8143", False, False),
    ("cosine 0.8123", "cosine: 0.8123", False, False), ("[1, 2]", "[1, 2, 3]", False, False), ("took 5.1 s", "took 90 s", True, True),
    ("took    5.1 s ===", "took 15.1 s ==", True, True), ("took 5.1 s", "failed 5.1 s", True, False),
])
def test_what_counts_as_a_difference(shown, printed, timing, ok):
    sys.path.insert(0, os.path.dirname(TOOL))
    import guide
    assert (guide.difference(shown, printed, timing) is None) == ok
