#!/usr/bin/env python3
"""Runs the benchmark programs of the build folder, the machine's peak first, and prints their lines as one table.

    tools/run_bench.py [--build build] [--quick | --all] [--threads N] [--only NAME ...] [-- FLAGS]

A benchmark is an executable build/bench/bench_NAME. By itself this takes some minutes on two CPUs, with --quick
seconds (small models), with --all about an hour. FLAGS go to the programs as they are: -- --shape 8b --only 200 --tier avx2.
`forward-int8` is `forward` once more, with 8-bit codes. Where `make bench-peers` has installed the peers, theirs come last
(not with --quick): torch and Hugging Face tokenizers in turns with ours, some minutes more.
`start` is bench/start.py, which makes a file of 4.3 GB, `serve` bench/serve.py, which needs wrk, `overtake` bench/overtake.py,
which takes six minutes: parts of --all, or when named by --only.
"""
import argparse
import os
import platform
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPTS = ("start", "serve", "overtake")
PEERS = ("hf_tokenizers", "torch_fp32")
ORDER = ("peak", "forward", "prefix", "attention", "gemm", "tokenizer", "decode", "resize", "rows", "write")


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def commit():
    done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "no commit"


def programs(folder, only):
    """Names of the programs there, in the order of ORDER, then the others."""
    found = {n[len("bench_"):] for n in (os.listdir(folder) if os.path.isdir(folder) else [])
             if n.startswith("bench_") and os.path.isfile(os.path.join(folder, n))
             and os.access(os.path.join(folder, n), os.X_OK)}
    names = [n for n in ORDER if n in found] + sorted(found - set(ORDER))
    if "forward" in names:
        names.insert(names.index("forward") + 1, "forward-int8")
    return [n for n in names if not only or any(part in n for part in only)]


def program(folder, name):
    """The command of one of programs()."""
    base, _, variant = name.partition("-")
    return [os.path.join(folder, "bench_" + base)] + ([f"--{variant}"] if variant else [])


def peers(build, only, quick):
    """[(name, command)] of bench/peers, when `make bench-peers` has installed what they need."""
    python = os.path.join(build, "peers", "bin", "python")
    if quick or not os.path.exists(os.path.join(build, "peers", "ready")):
        return []
    return [(name, [python, os.path.join(ROOT, "bench", "peers", name + ".py"), "--build", build])
            for name in PEERS if not only or name in only or "peers" in only]


def run_script(name, build):
    """bench/NAME.py with the Python of the tests: whether it did well."""
    python = os.path.join(ROOT, ".venv", "bin", "python")
    if not os.path.exists(python):
        print("skipped: there is no .venv yet; `make test` makes it")
        return True
    return subprocess.run([python, os.path.join(ROOT, "bench", name + ".py"), "--build", build]).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--only", nargs="+", help="run only the programs whose name contains one of these")
    parser.add_argument("--threads", help="default: all CPUs")
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--quick", action="store_true", help="small models, seconds")
    depth.add_argument("--all", action="store_true", help="every case, more repeats")
    parser.add_argument("flags", nargs="*", help="behind --: handed to the programs")
    arguments = parser.parse_args()
    build = os.path.abspath(arguments.build)
    names = programs(os.path.join(build, "bench"), arguments.only)
    scripts = [name for name in SCRIPTS if (name in arguments.only if arguments.only else arguments.all)]
    others = peers(build, arguments.only, arguments.quick)
    if not names and not scripts and not others:
        sys.exit(f"no such benchmark programs in {build}/bench")
    flags = arguments.flags + [f for f in ("--quick", "--all") if getattr(arguments, f[2:])]
    flags += ["--threads", arguments.threads] if arguments.threads else []
    environment = dict(os.environ, QVEC_TEST_SOURCE=os.path.join(ROOT, "tests"),
                       QVEC_TEST_CHECKPOINTS=os.path.join(build, "tests", "checkpoints"))
    print(f"{time.strftime('%Y-%m-%d')}, {cpu_name()}, {len(os.sched_getaffinity(0))} CPUs, {commit()}, "
          f"load {os.getloadavg()[0]:.1f}", flush=True)
    failed = []
    for name in names:
        print(f"\n== {name}", flush=True)
        if subprocess.run([*program(os.path.join(build, "bench"), name), *flags], env=environment).returncode:
            failed.append(name)
    for name in scripts:
        print(f"\n== {name}", flush=True)
        failed += [] if run_script(name, build) else [name]
    for name, command in others:
        print(f"\n== {name}", flush=True)
        failed += [name] if subprocess.run(command).returncode else []
    if failed:
        sys.exit("failed: " + ", ".join(failed))


if __name__ == "__main__":
    main()
