#!/usr/bin/env python3
"""Builds and runs every test, cheap ones first, and ends with one summary; the last line is `N passed, N failed, N skipped`.

    tools/run_tests.py --build build --python .venv/bin/python [--only SUITE ...] [--fuzz-seconds 20]

Four builds: BUILD as the user has it, build-asan (clang: address and undefined-behaviour sanitizers, libFuzzer; it is
the compile check under clang, runs the C and API tests again, and holds the fuzz targets) and build-tsan (gcc: thread
sanitizer, for what runs threads), build-neon (the kernels for ARM, run in an emulator). Sanitizer reports go to files through log_path, so that the report of any process
of a suite, however deep, fails the suite.

What a machine lacks is skipped with the reason. With QVEC_TEST_REQUIRE=1 a skip is a failure, except for what
no package brings."""
import argparse
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

import check_tree

ROOT = check_tree.ROOT
JOBS = min(os.cpu_count() or 1, 8)
ASAN, TSAN, NEON = (os.path.join(ROOT, "build-" + name) for name in ("asan", "tsan", "neon"))
# Programs and pytest files that run threads: all that the thread sanitizer needs to see.
TSAN_PROGRAMS = ("base", "threads", "engine", "engine_threads", "session", "jobs", "api", "turns", "cpu_backend", "network", "prefix_store", "feature_cache")
TSAN_PYTEST = ("tests/api/test_load.py", "tests/api/test_limits.py", "tests/api/test_wire.py", "tests/api/test_rerank.py")
SHOWN = 20  # failures of a suite that are shown with their details
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
REQUIRED = os.environ.get("QVEC_TEST_REQUIRE") == "1"
# Reasons that stay one: the machine's size and kind, what its libraries were built with, and promtool, whose package
# starts a service.
ALLOWED_SKIPS = re.compile(r"memory is available|open files are allowed|for this machine|written for x86-64|CPython|loads extensions"
                           r"|older than mallinfo2|no system call filters|this PyAV|/dev/full|promtool")


class Failure(Exception):
    """A command that everything else of its suite needs has failed."""


class Suite:
    """The results of one suite, and its folder for logs."""

    def __init__(self, name, options):
        self.name, self.options, self.results = name, options, []
        self.build = os.path.abspath(options.build)
        self.logs = os.path.join(self.build, "test-logs", name)
        shutil.rmtree(self.logs, ignore_errors=True)
        os.makedirs(self.logs)

    def add(self, name, outcome, detail=""):
        if outcome == SKIPPED and REQUIRED and not ALLOWED_SKIPS.search(detail):
            outcome, detail = FAILED, "skipped, which QVEC_TEST_REQUIRE=1 forbids: " + detail
        self.results.append((name, outcome, detail))

    def check(self, name, problems):
        problems = list(problems)
        self.add(name, FAILED if problems else PASSED, "\n".join(problems))

    def count(self, outcome):
        return sum(1 for result in self.results if result[1] == outcome)

    def run(self, arguments, timeout=900, **environment):
        """(exit status, output) of a command; 124 when it takes too long."""
        try:
            done = subprocess.run(arguments, cwd=ROOT, env={**os.environ, **environment}, timeout=timeout,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            return done.returncode, done.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired as e:
            return 124, (e.stdout or b"").decode(errors="replace") + f"\nstopped after {timeout} s"

    def must(self, what, arguments, **options):
        """As run, but counts as a test, and its failure ends the suite."""
        status, output = self.run(arguments, **options)
        if status:
            lines = [line for line in output.splitlines() if not re.match(r"\[\d+/\d+\] ", line)]  # ninja's progress
            raise Failure("\n".join([f"{what}: exit status {status}", *lines[-60:]]))
        self.add(what, PASSED)
        return output

    def read_junit(self, path, what, status, output):
        """Results of a JUnit file; a run that failed without a failed case in the file is a failure of its own."""
        before = self.count(FAILED)
        suites = list(ElementTree.parse(path).iter("testsuite")) if os.path.exists(path) else []
        cases = [(case, found.findtext("system-out") or "") for found in suites for case in found.iter("testcase")]
        for case, printed in cases:
            name = f"{case.get('classname')}::{case.get('name')}"
            bad, skipped = case.find("failure"), case.find("skipped")
            bad = case.find("error") if bad is None else bad
            if bad is not None:
                text = (bad.get("message") or "") + "\n" + (bad.text or "")[-5000:]
                self.add(name, FAILED, text if text.strip() else reason_in_tap(printed, case.get("name")))
            elif skipped is not None:
                reason = skipped.get("message") or skipped.text or reason_in_tap(printed, case.get("name"))
                self.add(name, SKIPPED, reason.strip())
            else:
                self.add(name, PASSED)
        if not cases or status not in (0, 5) and self.count(FAILED) == before:
            self.add(what, FAILED, f"exit status {status}, {len(cases)} cases\n{output[-5000:]}")


def reason_in_tap(printed, name):
    """What a C test printed about one block: the comment behind its `not ok` line, or the text after SKIP."""
    lines = printed.splitlines()
    for line, after in zip(lines, lines[1:] + [""]):
        if line.startswith(f"not ok {name}"):
            return after.lstrip("# ")
        if line.startswith(f"ok {name}") and "# SKIP" in line:
            return line.split("# SKIP", 1)[1]
    return ""


# ---- builds --------------------------------------------------------------------------------------------

def set_up(suite, folder, *flags, **environment):
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        suite.must(f"meson setup {os.path.basename(folder)}", ["meson", "setup", folder, *flags], **environment)


def ninja(suite, folder, *targets):
    suite.must(f"compile {os.path.basename(folder)}", ["ninja", "-C", folder, "-j", str(JOBS), *targets])


def suite_build(suite):
    set_up(suite, suite.build, "--buildtype=release")
    ninja(suite, suite.build)


def fuzz_names():
    return sorted(os.path.basename(path)[:-2] for path in glob.glob(os.path.join(ROOT, "tests", "fuzz", "*.c")))


def build_asan(suite):
    set_up(suite, ASAN, "--werror", "--buildtype=debugoptimized", "-Dfuzz=true", "-Db_lundef=false", CC="clang")
    text = check_tree.read(os.path.join(ASAN, "build.ninja"))
    if not all(f"tests/fuzz/fuzz_{name}:" in text for name in fuzz_names()):  # Meson listed the folder when it was set up
        suite.must("meson reconfigure", ["meson", "setup", "--reconfigure", ASAN])
    ninja(suite, ASAN)


def sanitizer_environment(suite):
    """Options for both sanitizer builds. Reports go to suite.logs/report.PID."""
    log = "log_path=" + os.path.join(suite.logs, "report")
    return {"ASAN_OPTIONS": f"detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=1:{log}",
            "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:{log}",
            "TSAN_OPTIONS": f"second_deadlock_stack=1:{log}"}


def collect_reports(suite):
    reports = sorted(glob.glob(os.path.join(suite.logs, "report.*")))
    texts = [open(path, encoding="utf-8", errors="replace").read()[:4000] for path in reports[:5]]
    suite.check("no sanitizer report", [f"{len(reports)} reports in {suite.logs}"] + texts if reports else [])


# ---- suites --------------------------------------------------------------------------------------------

def suite_checks(suite):
    """Properties of the source tree, no build needed."""
    for name, check in check_tree.CHECKS.items():
        suite.check(name, check())
    with tempfile.TemporaryDirectory() as scratch:
        alone = os.path.join(scratch, "alone.c")
        with open(alone, "w", encoding="ascii") as f:
            f.write("#include <qvec/qvec.h>\nint main(void) { return qv_version() ? 0 : 1; }\n")
        strict = ["-Iinclude", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", alone]
        for name, compiler in {"C99": ["cc", "-std=c99"], "C17": ["cc", "-std=c17"], "C++11": ["c++", "-x", "c++", "-std=c++11"]}.items():
            status, output = suite.run(compiler + strict)
            suite.check(f"qvec.h alone as {name}", [output] if status else [])
    # The ARM headers are for another compiler; the neon suite includes them all.
    headers = [path for path in check_tree.sources() if path.endswith(".h") and "/arm/" not in path]

    def compiles(path):
        return suite.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-Iinclude", "-Isrc", "-Wall", "-Wextra", "-Wno-unused-parameter",
                          "-fsyntax-only", "-x", "c", "-include", path, os.devnull])
    with ThreadPoolExecutor(JOBS) as pool:
        outputs = list(pool.map(compiles, headers))
    suite.check(f"{len(headers)} headers of src compile alone", [output for status, output in outputs if status])


def meson_test(suite, folder, *names, timeout=1800, **environment):
    junit = os.path.join(folder, "meson-logs", "testlog.junit.xml")
    if os.path.exists(junit):
        os.remove(junit)
    status, output = suite.run(["meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs", "--num-processes", str(JOBS),
                                "--timeout-multiplier", "4", *names], timeout=timeout, **environment)
    suite.read_junit(junit, "meson test", status, output)
    for program in programs_that_died(os.path.join(folder, "meson-logs", "testlog.json")):
        suite.add(program["name"], FAILED, f"{program['result']}\n" + (program.get("stdout", "") + program.get("stderr", ""))[-3000:])


def programs_that_died(log):
    """Tests of a meson log that did not end by themselves, so that the JUnit file lacks the rest of their cases."""
    if os.path.exists(log):
        for line in check_tree.read(log).splitlines():
            program = json.loads(line)
            if program["result"] not in ("OK", "SKIP") and not re.search(r"^1\.\.\d+", program.get("stdout", ""), re.MULTILINE):
                yield program


def suite_unit(suite):
    meson_test(suite, suite.build)


def pytest(suite, build, *paths, marks="", timeout=900, python=None, **environment):
    python = python or suite.options.python
    if not python:
        suite.add("pytest", SKIPPED, "no --python with the packages of tests/requirements.txt")
        return
    junit = os.path.join(suite.logs, "junit.xml")
    arguments = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={junit}",
                 "-n", str(min(JOBS, 4)), "--dist", "loadfile", "-m", marks, *paths]
    status, output = suite.run(arguments, timeout=timeout, QVEC_BUILD=build, QVEC_BIN=os.path.join(build, "qvec"),
                               QVEC_TEST_CHECKPOINTS=os.path.join(build, "tests", "checkpoints"),
                               QVEC_NULL_SERVER=os.path.join(build, "tests", "api", "null_server"), **environment)
    with open(os.path.join(suite.logs, "output.txt"), "w", encoding="utf-8") as f:
        f.write(output)
    suite.read_junit(junit, "pytest", status, output)


def suite_neon(suite):
    """The kernels for 64-bit ARM, cross-built and emulated: every test of tests/kernels, byte for byte."""
    lacking = [name for name in ("aarch64-linux-gnu-gcc", "qemu-aarch64") if not shutil.which(name)]
    if lacking:
        suite.add("kernels on ARM", SKIPPED, "this machine lacks " + " and ".join(lacking))
        return
    set_up(suite, NEON, "--cross-file", os.path.join(ROOT, "tools", "aarch64.ini"), "--werror", "--buildtype=release", "-Dkernels_only=true")
    ninja(suite, NEON)
    meson_test(suite, NEON)
    meson_test(suite, NEON, "gemm8", QEMU_CPU="cortex-a72")  # a CPU without products of bytes


def suite_api(suite):
    pytest(suite, suite.build, "tests/api")


def suite_golden(suite):
    pytest(suite, suite.build, "tests/golden")


def suite_media(suite):
    pytest(suite, suite.build, "tests/media")


def suite_e2e(suite):
    pytest(suite, suite.build, "tests/e2e")


def suite_python(suite):
    """The Python package; its tests' own packages are in a folder of their own."""
    own = os.path.join(ROOT, ".venv-python", "bin", "python")
    pytest(suite, suite.build, "tests/python", python=own if os.path.exists(own) else None)


def suite_asan(suite):
    build_asan(suite)
    environment = sanitizer_environment(suite)
    meson_test(suite, ASAN, "--suite", "fast", **environment)
    for folder in ("tests/api", "tests/media"):  # `resident` tests measure memory, and shadow memory is not the program's
        pytest(suite, ASAN, folder, marks="not resident", **environment)
    collect_reports(suite)


def suite_tsan(suite):
    set_up(suite, TSAN, "--werror", "--buildtype=debugoptimized", "-Db_sanitize=thread", "-Db_lundef=false", "-Dbench=false")
    listed = subprocess.run(["meson", "test", "-C", TSAN, "--no-rebuild", "--list"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    names = sorted({line.split("/")[-1].strip() for line in listed.stdout.decode().splitlines()} & set(TSAN_PROGRAMS))
    ninja(suite, TSAN, "qvec", "tests/api/null_server", "tests/golden/checkpoints.stamp", *[f"tests/test_{name}" for name in names])
    environment = sanitizer_environment(suite)
    meson_test(suite, TSAN, *names, **environment)
    pytest(suite, TSAN, *TSAN_PYTEST, marks="not resident", **environment)
    collect_reports(suite)


def suite_fuzz(suite):
    build_asan(suite)
    names = fuzz_names()

    def fuzz(name):
        work = os.path.join(ASAN, "fuzz", name)  # findings of earlier runs; the saved corpus is only read
        os.makedirs(work, exist_ok=True)
        corpus = os.path.join(ROOT, "tests", "fuzz", "corpus", name)
        if not os.path.isdir(corpus) or not os.listdir(corpus):
            return 1, f"tests/fuzz/corpus/{name} is empty"
        seconds = suite.options.fuzz_seconds
        return suite.run([os.path.join(ASAN, "tests", "fuzz", "fuzz_" + name), f"-max_total_time={seconds}", "-timeout=25",
                          "-rss_limit_mb=2560", "-print_final_stats=1", f"-artifact_prefix={suite.logs}/{name}-", work, corpus],
                         timeout=seconds + 120, ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1",
                         UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")

    with ThreadPoolExecutor(min(JOBS, 2)) as pool:
        for name, (status, output) in zip(names, pool.map(fuzz, names)):
            suite.add(f"fuzz {name}", FAILED if status else PASSED, output[-5000:] if status else "")


def suite_install(suite):
    """What `make install` puts where, and a stranger's program against it."""
    root = os.path.join(suite.logs, "root")
    suite.must("meson install", ["meson", "install", "-C", suite.build, "--no-rebuild", "--quiet", "--destdir", root])
    prefix = os.path.join(root, "usr", "local")
    for name in ("bin/qvec", "include/qvec/qvec.h", "lib/**/libqvec.so", "lib/**/libqvec.a", "lib/**/pkgconfig/qvec.pc",
                 "share/man/man1/qvec.1", *[f"share/qvec/models/{m}/{f}" for m in ("mini", "mini-reranker")
                   for f in ("config.json", "tokenizer.json", "model.safetensors", "expected.json", "README.md")]):
        suite.check(f"installs {name}", [] if glob.glob(os.path.join(prefix, name), recursive=True) else [f"{name} is not under {prefix}"])
    library = glob.glob(os.path.join(prefix, "lib", "**", "libqvec.so"), recursive=True)
    if library:
        check_symbols(suite, library[0])
        check_example(suite, prefix, library[0])
    check_program(suite, prefix)


def check_symbols(suite, library):
    output = suite.must("nm libqvec.so", ["nm", "--dynamic", "--defined-only", "--format=posix", library])
    exported = {line.split()[0].split("@")[0] for line in output.splitlines()}
    header = check_tree.read(os.path.join(ROOT, "include", "qvec", "qvec.h"))
    declared = set(re.findall(r"QV_API [^;(]*?\b(qv_\w+)\(", header))
    suite.check("libqvec.so exports what qvec.h declares and no more",
                [f"exported but not declared: {name}" for name in sorted(exported - declared)]
                + [f"declared but not exported: {name}" for name in sorted(declared - exported)])


def check_example(suite, prefix, library):
    example = os.path.join(ROOT, "examples", "embed.c")
    where = os.path.dirname(library)
    environment = {"PKG_CONFIG_PATH": os.path.join(where, "pkgconfig"), "PKG_CONFIG_SYSROOT_DIR": os.path.dirname(os.path.dirname(prefix)),
                   "LD_LIBRARY_PATH": where}
    model = os.path.join(prefix, "share", "qvec", "models", "mini")
    flags = suite.must("pkg-config qvec", ["pkg-config", "--cflags", "--libs", "qvec"], **environment).split()
    needs = suite.must("pkg-config, private", ["pkg-config", "--print-requires-private", "qvec"], **environment).split()
    others = subprocess.run(["pkg-config", "--libs", *needs], stdout=subprocess.PIPE, check=True).stdout.decode().split()
    # Static: qvec from the archive, all else shared.
    archive = [flag for flag in flags if flag != "-lqvec"] + [os.path.join(where, "libqvec.a"), *others, "-lm", "-lpthread"]
    for kind, words in {"shared": flags, "static": archive}.items():
        program = os.path.join(suite.logs, "embed-" + kind)
        status, output = suite.run(["cc", "-Wall", "-Werror", example, "-o", program, *words], **environment)
        if not status:
            status, output = suite.run([program, model], timeout=120, **environment)
        suite.check(f"examples/embed.c against the installed library, {kind}", [output] if status else [])


def check_program(suite, prefix):
    """The installed program finds the built-in models by itself."""
    program = os.path.join(prefix, "bin", "qvec")
    for arguments in (["--version"], ["--help"], ["embed", "--text", "hello"],
                      ["rerank", "--query", "a", "--document", "b"], ["verify"]):
        status, output = suite.run([program, *arguments], timeout=120)
        suite.check("installed qvec " + " ".join(arguments), [output] if status or not output.strip() else [])


SUITES = {"checks": suite_checks, "build": suite_build, "unit": suite_unit, "neon": suite_neon, "install": suite_install, "api": suite_api,
          "media": suite_media, "golden": suite_golden, "e2e": suite_e2e, "python": suite_python,
          "asan": suite_asan, "fuzz": suite_fuzz, "tsan": suite_tsan}


# ---- the report ----------------------------------------------------------------------------------------

def run_suite(name, options):
    suite = Suite(name, options)
    start = time.monotonic()
    try:
        SUITES[name](suite)
    except Failure as e:
        suite.add(str(e).split("\n", maxsplit=1)[0], FAILED, str(e))
    suite.seconds = time.monotonic() - start
    failures = [(test, detail) for test, outcome, detail in suite.results if outcome == FAILED]
    for test, detail in failures[:SHOWN]:
        print(f"FAILED {name}: {test}\n    " + "\n    ".join(detail.strip().splitlines()))
    if len(failures) > SHOWN:
        print(f"… and {len(failures) - SHOWN} more; the summary names them")
    print(line_of(suite), flush=True)
    return suite


def line_of(suite):
    counts = ", ".join(f"{suite.count(outcome)} {outcome}" for outcome in (PASSED, FAILED, SKIPPED))
    return f"{'FAIL' if suite.count(FAILED) else 'ok':<4}  {suite.name:<8} {suite.seconds:7.1f} s   {counts}"


def report(suites):
    print("\n---- summary")
    for suite in suites:
        print(line_of(suite))
    skips = {}
    for suite in suites:
        for test, outcome, detail in suite.results:
            if outcome == SKIPPED:
                skips.setdefault((suite.name, " ".join(detail.split())), []).append(test)
    for (name, reason), tests in skips.items():
        print(f"skipped in {name}: {len(tests)} × {reason}")
    for suite in suites:
        for test, outcome, _ in suite.results:
            if outcome == FAILED:
                print(f"failed in {suite.name}: {test}")
    print(f"{sum(s.seconds for s in suites):.0f} s")
    print(", ".join(f"{sum(s.count(outcome) for s in suites)} {outcome}" for outcome in (PASSED, FAILED, SKIPPED)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--python", help="a Python with the packages of tests/requirements.txt")
    parser.add_argument("--only", nargs="+", choices=SUITES, metavar="SUITE", help=" ".join(SUITES))
    parser.add_argument("--fuzz-seconds", type=int, default=20, help="for each target (20)")
    options = parser.parse_args()
    # In the background or under nohup these are ignored, and what the tests start and interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if options.python:
        options.python = os.path.abspath(options.python)
    suites = [run_suite(name, options) for name in SUITES if not options.only or name in options.only]
    report(suites)
    return 1 if any(s.count(FAILED) for s in suites) else 0


if __name__ == "__main__":
    sys.exit(main())
