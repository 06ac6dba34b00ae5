"""Two servers to test against: `null` computes nothing (everything around the model), `server` is `qvec serve` with dummy
weights."""
import contextlib
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "golden"))
sys.path.insert(0, HERE)

import harness  # noqa: E402
from wire import Wire  # noqa: E402

NULL_SERVER = os.environ.get("QVEC_NULL_SERVER", os.path.join(harness.BUILD, "tests", "api", "null_server"))


def pytest_configure(config):
    config.addinivalue_line("markers", "resident: measures the server's memory, so no build with a sanitizer")


class Null(harness.Server):
    """A running null_server. `stop` ends it with SIGTERM and checks that it closed cleanly."""

    def __init__(self, flags, log):
        self.log = log
        with open(log, "wb") as err:
            self.process = subprocess.Popen([NULL_SERVER, *flags], stdout=subprocess.PIPE, stderr=err)
        line = self.process.stdout.readline()
        assert line, open(log, encoding="utf-8", errors="replace").read()
        self.port = int(line)
        super().__init__(self.port)

    def wire(self, **options):
        return Wire(self.port, **options)

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self, timeout=30):
        if self.process.poll() is None:
            self.process.terminate()
        out, _ = self.process.communicate(timeout=timeout)
        text = self.log_text()
        report = max(text.find("WARNING: "), text.find("ERROR: "))  # a sanitizer's
        assert self.process.returncode == 0 and out == b"closed\n", text[report:report + 8000] if report >= 0 else text[-4000:]


@pytest.fixture
def start_null(tmp_path):
    """start_null(delay_us=1000, …) -> Null. All are stopped, and must stop cleanly, at the end of the test."""
    running = []

    def start(**flags):
        arguments = []
        for name, value in flags.items():
            for one in value if isinstance(value, list) else [value]:
                arguments += ["--" + name.replace("_", "-"), str(one)]
        running.append(Null(arguments, str(tmp_path / f"log{len(running)}")))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def null(tmp_path_factory):
    """One null_server for a file's tests, still healthy after each file."""
    server = Null([], str(tmp_path_factory.mktemp("null") / "log"))
    yield server
    assert server.post("/v1/embeddings", {"input": "still there?"})[0] == 200
    server.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        log = str(tmp_path_factory.mktemp("serve") / "log")
        found = stack.enter_context(harness.serve(harness.folder("tiny"), "--served-model-name", "tiny", "other", log=log))
        found.log = log
        yield found
