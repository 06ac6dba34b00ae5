"""qvec behind the walls of deploy/qvec.service: whatever it does, it needs no other system call, no other kind of socket and
no file of its own."""
import base64
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

import harness
from sandbox import MAKES, filtered, needs_systemd, program, put_under, unit_values, walled
from test_door import OnSocket, Secure, UnixConnection, ask, follow, pki, secure, wait_for  # noqa: F401
from test_operations import notified
from test_serve import Running

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "api"))
import test_media_urls as urls  # noqa: E402

pytestmark = [needs_systemd, filtered]

PICTURES, VIDEOS = ("png", "jpg", "webp", "gif", "bmp"), ("mp4", "webm")


def media_items():
    """The content of a message for each kind of file."""
    files = {name.rsplit(".")[-1]: name for name in sorted(os.listdir(harness.ASSETS))}
    for end in PICTURES + VIDEOS:
        name, kind = files[end], "video_url" if end in VIDEOS else "image_url"
        with open(os.path.join(harness.ASSETS, name), "rb") as f:
            url = f"data:{kind[:5]}/{end};base64," + base64.b64encode(f.read()).decode()
        yield {"type": kind, kind: {"url": url}}


def test_texts_pictures_and_videos(tmp_path):
    path = str(tmp_path / "notify")
    bodies = [{"input": ["Größe 東京 x1", "a"]}] + [{"messages": [{"role": "user", "content": [item]}]} for item in media_items()]
    free, answers = Running(), []
    with notified(path) as message:
        server = Running("--log-format", "json", env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"}, preexec_fn=put_under(program()))
        assert server.lines == [server.line], "a library complains"
        for one in (server, free):
            answers.append([one.post("/v1/embeddings", body)[1]["data"] for body in bodies])
        assert answers[0] == answers[1]
        assert server.post("/v1/embeddings", {"input": 5})[0] == 400 and "qvec_busy_share" in server.get("/metrics")
        assert message()["READY"] == "1"
        assert server.stop() == 0 and free.stop() == 0, server.lines


def test_tls_and_keys_that_are_read_again(pki, tmp_path):  # noqa: F811
    keys = tmp_path / "keys"
    keys.write_text("first\n")
    keys.chmod(0o600)
    server = Secure("--ssl-certfile", pki / "one.pem", "--ssl-keyfile", pki / "one.key", "--api-key-file", keys, preexec_fn=put_under(program()))
    status = lambda key: ask(secure(server, pki), head={"Authorization": "Bearer " + key})[0]  # noqa: E731
    assert [status(key) for key in ("first", "second")] == [200, 401]
    keys.write_text("second\n")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: [status(key) for key in ("first", "second")] == [401, 200])
    assert server.stop() == 0


def test_a_socket_in_the_file_system(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # is replaced
    server = OnSocket(path, "--unix-socket", preexec_fn=put_under(program()))
    assert ask(UnixConnection(path))[0] == 200
    assert server.stop() == 0 and not path.exists()


@pytest.mark.skipif(bool(urls.missing()), reason=urls.missing() or "-")
def test_urls_are_fetched(tmp_path):
    """With names looked up, over HTTP and HTTPS, IPv4 and IPv6."""
    world = urls.World(str(tmp_path), walled(str(tmp_path)))
    assert world.start("--allowed-media-domains", "pictures.example", "six.example", "absent.example") == {}, world.server_log()
    with open(urls.PICTURE, "rb") as f:
        expected = world.picture("data:image/png;base64," + base64.b64encode(f.read()).decode())[1]
    for url in ("http://pictures.example/picture", "https://pictures.example/picture", "http://six.example/picture", "http://pictures.example/hops/3"):
        assert world.picture(url)[:2] == (200, expected), (url, world.server_log())
    assert world.picture("http://absent.example/picture")[0] == 502
    world.close()


def test_a_reload_that_has_nothing_to_read_ends_nothing(tmp_path):
    """The unit's ExecReload without certificate and keys: a hang-up, which would end a process that knows nothing of it."""
    path = str(tmp_path / "notify")
    with notified(path) as message:
        server = Running(env={"NOTIFY_SOCKET": path}, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
        follow(server)
        assert message()["READY"] == "1"
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: any("reload: neither" in line for line in server.lines))
        assert server.post("/v1/embeddings", {"input": "a"})[0] == 200
        server.process.terminate()
        assert server.process.wait(60) == 0


SCRIPT = """
import ctypes, errno, mmap, os, socket
def refused(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except OSError as e:
        return errno.errorcode[e.errno]
    return "done"
print(refused(mmap.mmap, -1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC), refused(mmap.mmap, -1, 4096), refused(os.chroot, "/"),
      refused(os.kill, os.getpid(), 0), refused(socket.socket, socket.AF_INET6), refused(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW),
      refused(socket.socket, 17, socket.SOCK_RAW), refused(os.open, "/dev/null", os.O_RDONLY), refused(os.open, "made", os.O_RDONLY | os.O_CREAT),
      refused(os.open, "/dev/null", os.O_WRONLY), refused(os.mkdir, "made"), ctypes.CDLL(None).syscall(101, 0, 0, 0, 0))  # ptrace
"""


def test_the_walls_are_walls(tmp_path):
    assert unit_values("SystemCallErrorNumber") == ["EPERM"] and unit_values("MemoryDenyWriteExecute") == ["yes"] and "mkdir" in MAKES
    done = subprocess.run([sys.executable, "-S", "-c", SCRIPT], stdout=subprocess.PIPE, preexec_fn=put_under(program()), timeout=60, cwd=tmp_path)
    assert done.stdout.decode().split() == ["EPERM", "done", "EPERM", "EPERM", "done", "EAFNOSUPPORT", "EAFNOSUPPORT", "done", "EROFS", "EROFS", "EROFS",
                                            "-1"], done.stdout
