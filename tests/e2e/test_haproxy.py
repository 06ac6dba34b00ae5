"""Two replicas behind a real HAProxy with deploy/haproxy.cfg: restarted one after the other, and killed."""
import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.request

import pytest

import harness
from test_serve import Running

CONFIG = os.path.join(harness.ROOT, "deploy", "haproxy.cfg")
CLIENTS = 12
# What HAProxy cannot keep to ask again: more than its buffer.
LARGE = {"input": "large", "user": "x" * 300_000}
BODIES = [json.dumps(body).encode() for body in ({"input": "small"}, {"input": ["several", "texts " * 40]}, LARGE)]

pytestmark = pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy (Debian package haproxy) is not installed")


class Fleet:
    def __init__(self, folder):
        self.ports = [harness.free_port() for _ in range(2)]
        self.port = harness.free_port()
        self.replicas = [self.replica(i) for i in range(2)]
        environment = {**os.environ, "QVEC_BIND": f"127.0.0.1:{self.port}", "QVEC_1": f"127.0.0.1:{self.ports[0]}",
                       "QVEC_2": f"127.0.0.1:{self.ports[1]}"}
        self.log = open(folder / "haproxy.log", "wb")  # noqa: SIM115
        self.proxy = subprocess.Popen(["haproxy", "-db", "-f", CONFIG], env=environment, stdout=self.log, stderr=self.log)
        self.wait(lambda: self.ready() == 200)

    def replica(self, i):
        return Running("--port", self.ports[i], "--drain-delay", "2", "--drain-timeout", "20", "--log-level", "warning", "--threads", "1")

    @staticmethod
    def wait(condition, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.05)

    def ready(self):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return answer.status
        return None

    def close(self):
        for replica in self.replicas:
            replica.stop()
        self.proxy.terminate()
        self.proxy.wait(20)
        self.log.close()


@pytest.fixture
def fleet(tmp_path):
    found = Fleet(tmp_path)
    yield found
    found.close()


class Client(threading.Thread):
    """Asks over keep-alive connections until told to stop. What fails is asked once more."""

    def __init__(self, fleet, number, stop):
        super().__init__()
        self.fleet, self.number, self.stop_asking = fleet, number, stop
        self.connection = None
        self.answers, self.failures, self.lost = {}, [], []

    def ask(self, body):
        if not self.connection:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.fleet.port, timeout=30)
        try:
            self.connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                return json.dumps(json.loads(text)["data"])
            problem = (answer.status, text)
        except (OSError, http.client.HTTPException) as e:
            problem = repr(e)
        self.connection.close()
        self.connection = None
        self.failures.append((time.monotonic(), problem))
        return None

    def run(self):
        for i in range(self.number, 1 << 30):
            if self.stop_asking.is_set():
                return
            body = BODIES[i % len(BODIES)]
            answer = self.ask(body)
            if answer is None:
                time.sleep(0.5)  # as OpenAI's client does
                answer = self.ask(body)
            if answer is None:
                self.lost.append(body)
            else:
                self.answers.setdefault((body, answer), []).append(time.monotonic())


@contextlib.contextmanager
def asking(fleet):
    stop = threading.Event()
    clients = [Client(fleet, i, stop) for i in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        stop.set()
        for client in clients:
            client.join(60)
    # whatever replica answered, it was the same bytes
    assert len({key for client in clients for key in client.answers}) == len(BODIES)


def count(clients):
    return sum(len(times) for client in clients for times in client.answers.values())


def go_on(clients, answers=100):
    """Until so many more were answered."""
    before = count(clients)
    Fleet.wait(lambda: count(clients) >= before + answers, 60)


def test_rolling_restart_fails_no_request(fleet):
    with asking(fleet) as clients:
        go_on(clients)
        for i in range(2):
            old = fleet.replicas[i]
            old.process.send_signal(signal.SIGTERM)
            assert old.process.wait(30) == 0
            go_on(clients)  # on the other one
            fleet.replicas[i] = fleet.replica(i)
            time.sleep(1.5)  # HAProxy looks every half second
            go_on(clients)
    assert not [f for client in clients for f in client.failures]


def test_killed_replica_takes_only_its_own_requests_along(fleet):
    with asking(fleet) as clients:
        go_on(clients)
        killed = time.monotonic()
        fleet.replicas[0].process.kill()
        go_on(clients, 300)
        fleet.replicas[0] = fleet.replica(0)
        time.sleep(1.5)
        go_on(clients)
    failures = [f for client in clients for f in client.failures]
    assert not [len(body) for client in clients for body in client.lost], failures  # asked again, each was answered
    # what it had in hand and HAProxy could not ask again, at most what all clients had on the way; and no later ones
    assert len(failures) <= CLIENTS and all(at - killed < 3 for at, _ in failures), failures
