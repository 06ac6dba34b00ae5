#!/usr/bin/env python3
"""What `qvec bench serve` can send: its rate beside wrk's against the same server with the same bodies, in turns, and how
late its requests go at a tenth of that rate.

    .venv/bin/python bench/generator.py [--build build] [--rounds 5] [--seconds 3]

The server is qvec's own over a back end that computes nothing, with answers of 128 floats; all three share the machine.
Needs wrk (Debian: wrk).
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

import serve

MODEL, TEXT = "null", "a short question about nothing"
BODY = json.dumps({"model": MODEL, "input": TEXT, "truncate_prompt_tokens": -1}, separators=(",", ":"))
CONNECTIONS = 64


class Generator:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.data, self.script = os.path.join(folder, "data.jsonl"), os.path.join(folder, "wrk.lua")
        with open(self.data, "w", encoding="utf-8") as f:
            f.write(json.dumps({"prompt": TEXT}))
        with open(self.script, "w", encoding="utf-8") as f:
            f.write(serve.SCRIPT % BODY)

    def wrk(self, port):
        """Requests a second."""
        out = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{self.options.seconds}", "-s", self.script,
                              f"http://127.0.0.1:{port}/v1/embeddings"], stdout=subprocess.PIPE, check=True).stdout.decode()
        if "Non-2xx" in out or "Socket errors" in out:
            sys.exit(f"wrk: not every request was answered with 200\n{out}")
        return float(out.split("Requests/sec:")[1].split()[0])

    def qvec(self, port, count, *flags):
        path = os.path.join(self.folder, "result.json")
        done = subprocess.run([os.path.join(self.options.build, "qvec"), "bench", "serve", "--port", str(port), "--model", MODEL,
                               "--skip-tokenizer-init", "--dataset-name", "custom", "--dataset-path", self.data, "--num-prompts", str(int(count)),
                               "--save-result", "--result-filename", path, *flags], capture_output=True, check=False)
        if done.returncode:
            sys.exit(done.stderr.decode())
        with open(path, encoding="utf-8") as f:
            return json.load(f)

    def rates(self, port):
        wrks, ours, busy = [], [], []
        for _ in range(self.options.rounds):
            wrks.append(self.wrk(port))
            result = self.qvec(port, wrks[-1] * self.options.seconds * 0.8, "--max-concurrency", str(CONNECTIONS))
            ours.append(result["request_throughput"])
            busy.append(result["client_busiest_thread"])
        ratios = sorted(a / b for a, b in zip(ours, wrks))
        print(f"rate   {statistics.median(ours):8.0f} requests/s, wrk {statistics.median(wrks):8.0f}; of wrk: median {statistics.median(ratios):.2f}, "
              f"{ratios[0]:.2f} to {ratios[-1]:.2f} (mark 0.5); the sending thread busy {statistics.median(busy):.0%}", flush=True)
        return statistics.median(ours)

    def lateness(self, port, rate):
        lags = []
        for _ in range(self.options.rounds):
            result = self.qvec(port, rate * self.options.seconds, "--request-rate", f"{rate:.0f}")
            lags.append((result["p99_schedule_lag_ms"], result["median_schedule_lag_ms"], result["max_schedule_lag_ms"]))
        p99, median, most = sorted(lags)[len(lags) // 2]
        print(f"timer  at {rate:.0f} requests/s: median {median:.3f} ms late, P99 {p99:.3f}, at most {most:.3f}; P99 of the rounds {min(lags)[0]:.3f} "
              f"to {max(lags)[0]:.3f} (mark 1)", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed (Debian: apt-get install wrk)")
    with tempfile.TemporaryDirectory() as folder:
        generator = Generator(options, folder)
        with serve.Bench(options, folder).server(128) as (port, _):
            generator.lateness(port, generator.rates(port) / 10)


if __name__ == "__main__":
    main()
