"""Asks build/tests/media/decode_dump for decoded pictures and video frames."""
import os
import subprocess

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ASSETS = os.path.join(ROOT, "tests", "golden", "data", "assets")
BUILD = os.environ.get("QVEC_BUILD", os.path.join(ROOT, "build"))
PROGRAM = os.environ.get("QVEC_DECODE_DUMP", os.path.join(BUILD, "tests", "media", "decode_dump"))


class Failed(Exception):
    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Dump:
    def __init__(self):
        self.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, *words):
        """(frames in the video, rate, [RGB arrays])"""
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()
        out = self.process.stdout
        head = out.readline().decode()
        assert head, f"decode_dump died on {words}"
        code, _, rest = head.rstrip("\n").partition(" ")
        if code != "ok":
            raise Failed(code, rest)
        count, frames, rate = rest.split()
        pictures = []
        for _ in range(int(count)):
            height, width = map(int, out.readline().split())
            pictures.append(np.frombuffer(out.read(height * width * 3), np.uint8).reshape(height, width, 3))
        return int(frames), float(rate), pictures

    def image(self, path, upright=False):
        return self.ask("upright" if upright else "image", path)[2][0]

    def video(self, path, indices=()):
        return self.ask("video", path, *indices)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0
