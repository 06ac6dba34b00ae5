"""qvec serve among what runs servers: systemd's notifications, readiness, closing."""
import contextlib
import os
import signal
import socket
import time
import urllib.error
import urllib.request

import pytest

from test_serve import Running


@contextlib.contextmanager
def notified(name):
    """(address for NOTIFY_SOCKET, function that gives the next message)"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("\0" + name[1:] if name.startswith("@") else name)
        s.settimeout(20)

        def message():
            lines = s.recv(4096).decode().splitlines()
            assert all("=" in line for line in lines), lines
            return dict(line.split("=", 1) for line in lines)
        yield message


def test_systemd_is_told_of_start_and_end(tmp_path):
    path = str(tmp_path / "notify")
    with notified(path) as message:
        server = Running(env={"NOTIFY_SOCKET": path})
        first = message()
        port = server.base.rsplit(":", 1)[1]
        assert first["READY"] == "1" and port in first["STATUS"]
        server.get("/health")  # ready means that it answers
        server.process.send_signal(signal.SIGTERM)
        last = message()
        assert last["STOPPING"] == "1" and "STATUS" in last and "WATCHDOG" not in first
        assert server.stop(0) == 0


def test_watchdog_is_fed_through_an_abstract_socket():
    name = f"@qvec-test-{os.getpid()}"
    with notified(name) as message:
        server = Running(env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "400000"})
        assert message()["READY"] == "1"
        assert message()["WATCHDOG"] == "1"
        begun = time.monotonic()
        found = [message() for _ in range(4)]
        assert all(one["WATCHDOG"] == "1" and "computed" in one["STATUS"] for one in found)
        assert 0.6 < time.monotonic() - begun < 4  # every 0.2 s
        assert server.stop() == 0


@pytest.mark.parametrize("environment", [
    {"NOTIFY_SOCKET": "relative", "WATCHDOG_USEC": "1000"}, {"NOTIFY_SOCKET": "/" + "a" * 200}, {"NOTIFY_SOCKET": "/nowhere/at/all"},
    {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "@none", "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "nonsense"},
], ids=lambda e: " ".join(e))
def test_a_broken_socket_harms_nothing(environment):
    server = Running(env=environment)
    server.get("/health")
    assert server.stop() == 0


def status(server, path):
    try:
        with urllib.request.urlopen(server.base + path, timeout=20) as r:
            return r.status
    except urllib.error.HTTPError as e:
        return e.code


def test_not_ready_but_alive_while_others_notice():
    server = Running("--drain-delay", "2")
    assert [status(server, path) for path in ("/livez", "/readyz", "/health", "/ping")] == [200] * 4
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    while status(server, "/readyz") == 200:
        assert time.monotonic() - begun < 1
    assert status(server, "/readyz") == 503
    assert [status(server, path) for path in ("/livez", "/health", "/ping")] == [200] * 3
    assert server.post("/v1/embeddings", {"input": "still taken"})[0] == 200
    with urllib.request.urlopen(server.base + "/health", timeout=20) as r:
        assert r.headers["Connection"].lower() == "close"
    assert server.stop(0) == 0  # no second signal: it leaves by itself
    assert 2 <= time.monotonic() - begun < 8


def test_the_delay_is_part_of_the_drain_time():
    server = Running("--drain-delay", "600", "--drain-timeout", "1")
    begun = time.monotonic()
    assert server.stop() == 0 and time.monotonic() - begun < 8
