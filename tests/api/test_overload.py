"""Ten times as many requests as the server can compute, and very many one after another. Short here; with QVEC_SOAK=1
(`make soak`) a minute of the first and 50,000 of the second."""
import json
import os
import subprocess
import time

import pytest

import harness
from test_load import metric, wait_for
from wire import post

SOAK = bool(os.environ.get("QVEC_SOAK"))
LOAD = os.path.join(harness.BUILD, "bench", "load")
QUEUED = 64
# What overload may add to the resident memory of the busy server: the bodies, items and answers of what waits.
MEMORY_CAP = 64 << 20

pytestmark = pytest.mark.resident


def write_bodies(folder):
    """Requests of 5 to 300 words in one to four texts; no two begin alike."""
    shapes = {"short": (1, 5), "line": (1, 15), "page": (1, 60), "list": (4, 15), "long": (1, 300)}
    paths = []
    for name, (count, words) in shapes.items():
        texts = [f"{name} {i} " + "word " * words for i in range(count)]
        paths.append(str(folder / f"{name}.json"))
        with open(paths[-1], "w", encoding="ascii") as f:
            json.dump({"input": texts, "encoding_format": "base64"}, f)
    return paths


def load(port, paths, rate, seconds, connections):
    out = subprocess.run([LOAD, "--port", str(port), "--rate", str(rate), "--seconds", str(seconds), "--connections", str(connections),
                          *paths], stdout=subprocess.PIPE, timeout=seconds + 90, check=True).stdout
    return json.loads(out)


def sustained(port, paths, seconds):
    """Requests a second when 32 clients wait for each answer."""
    answer = load(port, paths, 1e5, seconds, 32)
    assert set(answer["status"]) == {"200"}
    return answer["status"]["200"] / answer["seconds"]


class Serve:
    """The small shape, with a short queue; no prefixes are kept, so that every request costs what it costs."""

    def __init__(self, log):
        self.port = harness.free_port()
        self.log = open(log, "wb")  # noqa: SIM115
        self.process = subprocess.Popen([harness.QVEC, "serve", harness.folder("small"), "--load-format", "dummy", "--host", "127.0.0.1",
                                         "--port", str(self.port), "--prefix-cache", "0", "--log-level", "warning", "--max-queued-items",
                                         str(QUEUED)], stdout=self.log, stderr=self.log)
        harness.wait_until_healthy(harness.Server(self.port), self.process, log)

    def resident(self, what="VmRSS"):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) << 10 for line in f if line.startswith(what + ":"))

    def reset_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")

    def stop(self):
        self.process.terminate()
        assert self.process.wait(60) == 0
        self.log.close()


@pytest.fixture
def busy(tmp_path):
    server = Serve(str(tmp_path / "log"))
    yield server
    server.stop()


def test_ten_times_too_much(busy, tmp_path):
    if not os.path.exists(LOAD):
        pytest.skip("bench/load was not built")
    paths = write_bodies(tmp_path)
    # What a short run beside other tests cannot be asked for is asked of the long one.
    seconds, share, patience = (60, 0.9, 2) if SOAK else (8, 0.3, 10)
    before = sustained(busy.port, paths, seconds / 4)
    resident = busy.resident()
    busy.reset_peak()
    over = load(busy.port, paths, 10 * before, seconds, 1000)
    peak = busy.resident("VmHWM")
    begun = time.monotonic()
    status, _ = harness.Server(busy.port).post("/v1/embeddings", {"input": "and now?"})
    recovery = over["seconds"] - seconds + time.monotonic() - begun
    unloaded = (before + sustained(busy.port, paths, seconds / 4)) / 2
    goodput = sum(over["ok_per_100ms"][:seconds * 10]) / seconds
    print(f"\nsustained {unloaded:.0f}/s, offered {over['due'] / seconds:.0f}/s, sent {over['sent'] / seconds:.0f}/s, {over['status']}, "
          f"goodput {goodput / unloaded:.2f}, memory +{(peak - resident) / 2 ** 20:.0f} MiB to {peak >> 20} MiB, recovery {recovery:.2f} s, "
          f"latency {over['latency_ms']}")
    assert over["lost"] == 0 and over["answered"] == over["sent"]  # each got one answer
    assert set(over["status"]) <= {"200", "429", "504"} and over["status"]["429"] > over["status"]["200"]
    assert goodput >= share * unloaded
    assert peak < resident + MEMORY_CAP
    assert status == 200 and recovery < patience


def test_memory_stays_flat(start_null, tmp_path):
    """The resident memory after each part of the requests, warm from the first on: least at first, most at last."""
    if not os.path.exists(LOAD):
        pytest.skip("bench/load was not built")
    server = start_null(quiet=1, max_queued_items=50, batch=16, max_len=5000)
    good = write_bodies(tmp_path)
    for name, body in {"broken": b"{", "wrong": b'{"input":[]}', "huge": json.dumps({"input": "x" * 9000}).encode()}.items():
        (tmp_path / name).write_bytes(body)
        good.append(str(tmp_path / name))
    parts, size, least = (60, 1000, 50_000) if SOAK else (10, 500, 2500)

    def resident():
        with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def one():
        answer = load(server.port, good, size / 0.5, 0.5, 32)
        assert answer["lost"] == 0 and answer["answered"] == answer["sent"]
        return answer["answered"]
    for _ in range(5):
        one()
    sizes, answered = [], 0
    while len(sizes) < parts or answered < least:
        assert len(sizes) < 10 * parts, f"{answered} answers to {len(sizes)} parts of {size} requests"
        answered += one()
        sizes.append(resident())
    edge = len(sizes) // 5 + 1
    first, last = min(sizes[:edge]), max(sizes[-edge:])
    print(f"\n{answered} requests: {first / 2 ** 20:.1f} MiB at first, {last / 2 ** 20:.1f} MiB at last")
    assert answered >= least
    assert last - first < 1 << 20, sizes
    assert server.post("/v1/embeddings", {"input": "a"})[0] == 200
