#!/usr/bin/env python3
"""A short query that arrives while a long document is being computed: its latency, over that of the same query alone.

    .venv/bin/python bench/overtake.py [--build build] [--shape 2b] [--document 8192] [--query 20] [--rate 0.3]

The server has weights of the shape made by rule. Queries come at random times (exponential gaps, a fixed seed) that do not
depend on the answers, and their latency counts from the time they were due: first alone, as many as the second part will
have, then for as long as the document takes, which is about two and a half minutes for 8,192 tokens of the 2B on two CPUs.
Prints medians, 99th percentiles and their ratio. Every query is another, so nothing of it is in a cache.
"""
import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOKENS = range(1000, 100000)  # ids of ordinary words


class Server:
    """`qvec serve` on a free port until the end of the with block."""

    def __init__(self, options):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        folder = os.path.join(options.build, "tests", "checkpoints", options.shape + "-embedding")
        self.command = [os.path.join(options.build, "qvec"), "serve", folder, "--load-format", "dummy", "--port", str(self.port),
                        "--max-model-len", str(options.document)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
                return self
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None:
                    sys.exit(f"{' '.join(self.command)}: exit status {self.process.returncode}")
                time.sleep(0.1)
        sys.exit("the server does not come up")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def embed(self, tokens):
        body = json.dumps({"input": [tokens], "encoding_format": "base64"}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/embeddings", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=3600) as answer:
            used = json.load(answer)["usage"]["prompt_tokens"]
        if used < len(tokens):
            sys.exit(f"{len(tokens)} tokens were sent, {used} were computed")


def percentile(values, p):
    """Linear between the two nearest, as numpy's."""
    values = sorted(values)
    at = p / 100 * (len(values) - 1)
    low = int(at)
    return values[low] + (at - low) * (values[min(low + 1, len(values) - 1)] - values[low])


def drive(server, chance, options, go_on):
    """Latencies in seconds of queries that are due at random times while go_on(how many were sent)."""
    latencies, threads, due = [], [], time.monotonic()

    def ask(tokens, due):
        server.embed(tokens)
        latencies.append(time.monotonic() - due)
    while True:
        due += chance.expovariate(options.rate)
        while time.monotonic() < due and go_on(len(threads)):
            time.sleep(max(0.0, min(0.05, due - time.monotonic())))
        if not go_on(len(threads)):
            break
        threads.append(threading.Thread(target=ask, args=(chance.sample(TOKENS, options.query), due)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return latencies


def tell(name, latencies):
    print(f"{name:24} {len(latencies):4} queries   median {statistics.median(latencies) * 1e3:7.0f} ms   "
          f"P99 {percentile(latencies, 99) * 1e3:7.0f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--shape", default="2b", help="which of the tests' checkpoints (2b)")
    parser.add_argument("--document", type=int, default=8192, help="tokens (8192)")
    parser.add_argument("--query", type=int, default=20, help="tokens (20)")
    parser.add_argument("--rate", type=float, default=0.3, help="queries a second (0.3)")
    parser.add_argument("--alone", type=int, default=40, help="queries of the first part (40)")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    chance = random.Random(1)
    with Server(options) as server:
        server.embed(chance.sample(TOKENS, options.query))
        alone = drive(server, chance, options, lambda sent: sent < options.alone)
        tell("alone", alone)
        document = threading.Thread(target=server.embed, args=(chance.sample(TOKENS, options.document - 8),))
        start = time.monotonic()
        document.start()
        time.sleep(0.5)
        beside = drive(server, chance, options, lambda sent: document.is_alive())
        document.join()
        tell("beside the document", beside)
        print(f"{'document':24} {time.monotonic() - start:7.1f} s for {options.document} tokens")
        print(f"{'P99 over P99 alone':24} {percentile(beside, 99) / percentile(alone, 99):7.2f}   (mark: under 3)")


if __name__ == "__main__":
    main()
