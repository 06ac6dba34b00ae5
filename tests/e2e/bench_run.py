"""One run of `qvec bench serve`: what it says and writes."""
import asyncio
import glob
import json
import os
import re
import subprocess
import time

import harness
import stub as stubs

TOKENIZER = harness.folder("tiny")


class Run:
    def __init__(self, done, folder):
        self.done, self.status, self.out, self.err = done, done.returncode, done.stdout.decode(), done.stderr.decode()
        paths = glob.glob(os.path.join(folder, "*.json"))
        self.path = paths[0] if paths else None
        self.text = open(self.path, encoding="utf-8").read() if paths else ""

    @property
    def result(self):
        return json.loads(self.text)

    def line(self, label):
        return re.search(rf"^{re.escape(label)} +(\S+) *$", self.out, re.M)[1]


def run_bench(folder, port, *flags, env=None, timeout=60, model="some/stub"):
    """With a tokenizer, 8 tokens a text and a result file in `folder`, where the flags do not say otherwise. model None: no --model."""
    command = [harness.QVEC, "bench", "serve", "--port", str(port), "--tokenizer", TOKENIZER, "--random-input", "8", "--save-result", "--result-dir", folder,
               *(["--model", model] if model else []), *map(str, flags)]
    return Run(subprocess.run(command, capture_output=True, timeout=timeout, env={**os.environ, **(env or {})}, check=False), folder)


def in_a_quiet_moment(measure, tries=6):
    """Times on a busy machine are late for reasons of its own; one run that is true to a few milliseconds is the proof. Wrong figures
    are wrong in every run."""
    for left in reversed(range(tries)):
        try:
            return measure()
        except AssertionError:
            if not left:
                raise
            time.sleep(0.5)


def handle_after(seconds):
    async def handle(stub, number, body):
        await asyncio.sleep(seconds(number) if callable(seconds) else seconds)
        return await stubs.ok(body)
    return handle
