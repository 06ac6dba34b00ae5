"""The commands as a user types them: `qvec` runs one and gives exit status, stdout, stderr."""
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "golden")]

import harness  # noqa: E402
from bench_run import run_bench  # noqa: E402

class Result:
    def __init__(self, done):
        self.status, self.raw = done.returncode, done.stdout
        self.err = done.stderr.decode(errors="replace")

    @property
    def out(self):
        return self.raw.decode()


@pytest.fixture(scope="session")
def qvec():
    def run(*arguments, text="", cwd=harness.ASSETS, timeout=60, env=None):
        data = text if isinstance(text, bytes) else text.encode()
        return Result(subprocess.run([harness.QVEC, *map(str, arguments)], input=data, cwd=cwd, timeout=timeout, capture_output=True,
                                     env={**os.environ, **(env or {})}))
    return run


@pytest.fixture
def bench(tmp_path):
    """One `qvec bench serve`: see bench_run.py."""
    def run(port, *flags, **options):
        return run_bench(str(tmp_path / f"result{len(os.listdir(tmp_path))}"), port, *flags, **options)
    return run
