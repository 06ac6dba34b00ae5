#!/usr/bin/env python3
"""Runs every benchmark program of the build folder and prints their lines under each other.

    tools/run_bench.py --build build [--only NAME]

A benchmark is an executable build/bench/bench_NAME. It prints lines of text; what it prints is shown as it is.
"""
import argparse
import os
import subprocess
import sys

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--only", help="run only the programs whose name contains this")
    arguments = parser.parse_args()
    folder = os.path.join(arguments.build, "bench")
    names = sorted(n for n in os.listdir(folder) if n.startswith("bench_") and os.access(os.path.join(folder, n), os.X_OK)
                   and os.path.isfile(os.path.join(folder, n))) if os.path.isdir(folder) else []
    if arguments.only:
        names = [n for n in names if arguments.only in n]
    if not names:
        sys.exit("no benchmark programs in " + folder)
    environment = dict(os.environ, QVEC_TEST_BUILD=os.path.abspath(os.path.join(arguments.build, "tests")),
                       QVEC_TEST_CHECKPOINTS=os.path.abspath(os.path.join(arguments.build, "tests", "checkpoints")),
                       QVEC_BIN=os.path.abspath(os.path.join(arguments.build, "qvec")))
    failed = 0
    for name in names:
        print(f"\n== {name[len('bench_'):]}", flush=True)
        failed |= subprocess.run([os.path.join(folder, name)], env=environment).returncode != 0
    sys.exit(1 if failed else 0)
