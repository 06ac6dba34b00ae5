"""The tests of the package itself under the oldest and the newest CPython that this machine has."""
import os
import re
import subprocess

import pytest

import other_pythons
from conftest import ROOT

FILES = [f"tests/python/test_{name}.py" for name in ("embedder", "errors", "llm", "reranker", "threads")]
# Four gigabytes of weights, memory that is measured, and more of the same.
LEFT = "2b or flat or leak or guides_script or (ctrl_c and (long or picture or rerank))"
FOUND = other_pythons.find()


@pytest.mark.parametrize("version", FOUND or [None], ids=lambda version: "%d.%d" % version if version else "none")
def test_the_tests(version):
    if version is None:
        pytest.skip("there is no other CPython from 3.9 on here")
    packages = other_pythons.packages_folder(os.path.join(ROOT, ".venv-python"), version)
    if not os.path.isdir(os.path.join(packages, "pytest")):
        pytest.skip(f"`make test` has not installed pytest for CPython {version[0]}.{version[1]}")
    done = subprocess.run([FOUND[version], "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"not ({LEFT})", *FILES], cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": packages}, capture_output=True, text=True, check=False)
    counts = re.search(r"(\d+) passed, \d+ deselected", done.stdout)  # none skipped
    assert done.returncode == 0 and counts and int(counts[1]) > 50, done.stdout[-5000:] + done.stderr[-1000:]
