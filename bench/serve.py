#!/usr/bin/env python3
"""What the HTTP side costs by itself: the server over a back end that computes nothing, beside a bare libmicrohttpd that
says hello, driven by wrk over keep-alive connections on the same CPUs, in turns.

    .venv/bin/python bench/serve.py [--build build] [--rounds 5] [--seconds 3] [--only small wide paced idle model crowd]

small    requests of one short text, answers of 128 floats as numbers: requests a second over hello's
         The back end takes 50 us for a batch, as no device is faster; at once, it would be woken for each request alone
wide     the same with answers of 4,096 floats as base64
paced    latency of `small` at half of its rate, due at fixed times (bench/load.c): P99 over the median
idle     resident memory with 10,000 idle connections, each of which has sent one request
model    the built-in model behind the server, 64 requests at a time, beside `qvec bench throughput` on the same texts
crowd    1,000 requests of 200 tokens at once: P99 from start to answer over `qvec bench throughput`'s time for the same texts

CPU time is told beside the rates, because other work on the machine spoils it less: on CPUs that do nothing else, the ratio
of CPU times with wrk's is that of the rates.

Needs wrk (Debian: wrk) for the first three.
"""
import argparse
import contextlib
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
IDLE = 10_000
PROMPTS, PROMPT_TOKENS = 400, 100
CROWD, CROWD_TOKENS = 1000, 200
CASES = ("small", "wide", "paced", "idle", "model", "crowd")
SCRIPT = """wrk.method = "POST"
wrk.body = '%s'
wrk.headers["Content-Type"] = "application/json"
"""
BODIES = {"small": '{"input":"a short question about nothing"}',
          "wide": '{"input":"a short question about nothing","encoding_format":"base64"}'}


@contextlib.contextmanager
def started(*command):
    """A server that prints its port first: (port, process id)."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.terminate()
        process.wait()


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.hello = os.path.join(options.build, "bench", "hello_server")
        self.qvec = os.path.join(options.build, "qvec")
        self.load = os.path.join(options.build, "bench", "load")
        self.null = os.path.join(options.build, "tests", "api", "null_server")

    def server(self, size, *flags):
        return started(self.null, "--quiet", "1", "--max-queued-items", "100000", "--batch", "64", "--delay-us", "50", "--size", str(size),
                       *flags)

    def path(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def wrk(self, port, case):
        """Requests a second."""
        script = self.path(case + ".lua", SCRIPT % BODIES[case])
        out = subprocess.run(["wrk", "-t1", "-c64", f"-d{self.options.seconds}", "-s", script, f"http://127.0.0.1:{port}/v1/embeddings"],
                             stdout=subprocess.PIPE, check=True).stdout.decode()
        if re.search(r"Non-2xx|Socket errors", out):
            sys.exit(f"{case}: not every request was answered with 200\n{out}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])

    def timed(self, port, pid, case):
        """(requests a second, CPU time of one in microseconds: the server's, and with wrk's)"""
        server, client = cpu_seconds(pid), children_seconds()
        rate = self.wrk(port, case)
        each = 1e6 / (rate * self.options.seconds)
        server, client = (cpu_seconds(pid) - server) * each, (children_seconds() - client) * each
        return rate, server, server + client

    def beside_hello(self, case, size, mark):
        found, bare = [], []
        with started(self.hello) as (hello, hello_pid), self.server(size) as (port, pid):
            for _ in range(self.options.rounds):
                bare.append(self.timed(hello, hello_pid, case))
                found.append(self.timed(port, pid, case))
        rates, hellos = [one[0] for one in found], [one[0] for one in bare]
        ratios = sorted(rate / hello for rate, hello in zip(rates, hellos))
        print(f"{case:<6} {statistics.median(rates):8.0f} requests/s, hello {statistics.median(hellos):8.0f}; of hello: median "
              f"{statistics.median(ratios):.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f} (mark {mark})\n       CPU time a request: "
              f"{median_of(found, 1):.1f} us, hello {median_of(bare, 1):.1f}; with wrk's {median_of(found, 2):.1f}, hello "
              f"{median_of(bare, 2):.1f}: {median_of(bare, 2) / median_of(found, 2):.2f}", flush=True)
        return statistics.median(rates)

    def small(self):
        return self.beside_hello("small", 128, 0.5)

    def wide(self):
        self.beside_hello("wide", 4096, 0.25)

    def paced(self, rate):
        body = self.path("small.json", BODIES["small"])
        found = []
        with self.server(128) as (port, _):
            for _ in range(self.options.rounds):
                out = subprocess.run([self.load, "--port", str(port), "--rate", str(rate / 2), "--seconds", str(self.options.seconds), body],
                                     stdout=subprocess.PIPE, check=True).stdout
                answer = json.loads(out)
                if answer["status"] != {"200": answer["sent"]}:
                    sys.exit(f"paced: not every request was answered with 200: {answer}")
                found.append((answer["latency_ms"]["p99"] / answer["latency_ms"]["p50"], answer["latency_ms"]))
        found.sort(key=lambda one: one[0])
        times, latency = found[len(found) // 2]
        print(f"paced  at {rate / 2:.0f} requests/s: median {latency['p50']:.3f} ms, P99 {latency['p99']:.3f} ms, "
              f"{times:.1f} times; {found[0][0]:.1f} to {found[-1][0]:.1f} (mark 10)", flush=True)

    def idle(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < IDLE + 100:
            print(f"idle   skipped: {hard} open files are allowed, {IDLE + 100} are needed")
            return
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        body = BODIES["small"].encode()
        data = (b"POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body))
        with self.server(128, "--max-connections", str(3 * IDLE), "--idle-timeout", "600") as (port, pid), contextlib.ExitStack() as stack:
            before = resident(pid)
            for _ in range(IDLE):
                wire = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                wire.sendall(data)
                if not wire.recv(1 << 16).startswith(b"HTTP/1.1 200"):
                    sys.exit("idle: a request was not answered with 200")
            after = resident(pid)
        print(f"idle   {IDLE} connections: {after >> 20} MiB resident, {before >> 20} without (mark 200 MB)", flush=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    @contextlib.contextmanager
    def builtin(self):
        """The built-in model behind `qvec serve`: (port, process id)."""
        port = free_port()
        server = subprocess.Popen([self.qvec, "serve", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"],
                                  stderr=subprocess.DEVNULL)
        try:
            wait_for_port(port)
            yield port, server.pid
        finally:
            server.terminate()
            server.wait()

    def alone(self, *texts):
        """What `qvec bench throughput` says of random texts."""
        result = os.path.join(self.folder, "result.json")
        subprocess.run([self.qvec, "bench", "throughput", *texts, "--disable-tqdm", "--output-json", result], stdout=subprocess.DEVNULL, check=True)
        return read_json(result)

    def served(self, port, *texts):
        """What `qvec bench serve` says of the same ones."""
        subprocess.run([self.qvec, "bench", "serve", "--port", str(port), *texts, "--disable-tqdm", "--save-result", "--result-dir", self.folder,
                        "--result-filename", "result.json"], stdout=subprocess.DEVNULL, check=True)
        return read_json(os.path.join(self.folder, "result.json"))

    def model(self):
        ratios, cpu = [], []
        with self.builtin() as (port, pid):
            for seed in range(1, self.options.rounds + 1):
                texts = ["--num-prompts", str(PROMPTS), "--input-len", str(PROMPT_TOKENS), "--seed", str(seed)]
                begun = children_seconds()
                alone = self.alone(*texts)["requests_per_second"]
                alone_cpu, begun = children_seconds() - begun, cpu_seconds(pid)
                ratios.append(self.served(port, *texts, "--max-concurrency", "64")["request_throughput"] / alone)
                cpu.append((cpu_seconds(pid) - begun) / alone_cpu)
        ratios.sort()
        print(f"model  server over bench throughput: median {statistics.median(ratios):.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f} "
              f"(mark 0.95); its CPU time over the other's {statistics.median(cpu):.2f}", flush=True)

    def crowd(self):
        ratios, tails = [], []
        with self.builtin() as (port, _):
            for seed in range(1, self.options.rounds + 1):
                texts = ["--num-prompts", str(CROWD), "--input-len", str(CROWD_TOKENS), "--seed", str(seed)]
                alone, result = self.alone(*texts)["elapsed_time"], self.served(port, *texts)
                if result["completed"] != CROWD:
                    sys.exit(f"crowd: {result['completed']} of {CROWD} requests were answered")
                tails.append(result["p99_e2el_ms"] / 1e3)
                ratios.append(tails[-1] / alone)
        ratios.sort()
        print(f"crowd  P99 {statistics.median(tails):.2f} s; over bench throughput's time: median {statistics.median(ratios):.2f}, {ratios[0]:.2f} to "
              f"{ratios[-1]:.2f} (mark 1.1)", flush=True)


def median_of(found, i):
    return statistics.median(one[i] for one in found)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    sys.exit("the server did not start")


def read_json(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        user, system = f.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def children_seconds():
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if not shutil.which("wrk") and set(options.only) - {"idle", "model", "crowd"}:
        sys.exit("wrk is not installed (Debian: apt-get install wrk)")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        rate = bench.small() if {"small", "paced"} & set(options.only) else 0
        if "wide" in options.only:
            bench.wide()
        if "paced" in options.only:
            bench.paced(rate)
        if "idle" in options.only:
            bench.idle()
        if "model" in options.only:
            bench.model()
        if "crowd" in options.only:
            bench.crowd()


if __name__ == "__main__":
    main()
