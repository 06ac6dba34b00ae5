"""qvec bench serve: its flags one by one, and what it says on a terminal and of itself."""
import json
import os
import pty
import re
import resource
import select
import signal
import struct
import subprocess
import termios
import time
from fcntl import ioctl

import pytest

import harness
from bench_run import TOKENIZER, handle_after, in_a_quiet_moment
from stub import Stub

np = pytest.importorskip("numpy")


def start(port, *flags, **options):
    command = [harness.QVEC, "bench", "serve", "--port", str(port), "--model", "m", "--tokenizer", TOKENIZER, "--random-input", "8", *map(str, flags)]
    return subprocess.Popen(command, **options)


def on_a_terminal(port, *flags, columns=60, **options):
    """(status, all that it draws), stdout and stderr on one terminal."""
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = start(port, *flags, stdout=follower, stderr=follower, **options)
    os.close(follower)
    text, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        if not select.select([leader], [], [], 0.2)[0]:
            continue
        try:
            text += os.read(leader, 65536)
        except OSError:  # all of it has been read and the other side is closed
            break
    os.close(leader)
    return process.wait(10), text.decode()


# ---- on a terminal ----

def test_progress_line(bench):
    with Stub(handle_after(0.1)) as stub:
        flags = ["--num-prompts", 20, "--max-concurrency", 2]
        status, text = on_a_terminal(stub.port, *flags, columns=100)
        assert status == 0 and len(stub.requests) == 20
        drawn = re.findall(r"\r\[([#-]{16})\] +(\d+)%  (\d+) done  [\d.]+/s  (\d+) tokens/s  0:\d\d left\x1b\[K", text)
        done = [int(d) for _, _, d, _ in drawn]
        assert len(drawn) >= 2 and done == sorted(done) and done[-1] > done[0]
        assert all(int(percent) == 5 * int(d) and bar.count("#") == int(d) * 16 // 20 for bar, percent, d, _ in drawn)
        assert text.index("\r\x1b[K") < text.index("Serving Benchmark Result")  # the line is gone before the table
        status, text = on_a_terminal(stub.port, *flags, "--disable-tqdm")
        assert status == 0 and "done" not in text and "\x1b" not in text
        assert "\x1b" not in bench(stub.port, *flags).err


COLUMNS, SLICES, BLOCKS = 40, 60, " ▁▂▃▄▅▆▇█"


def bars_of(rows):
    """Heights in eighths of a line; the highest line comes first."""
    assert all(len(row) == COLUMNS for row in rows), rows
    return np.sum([[BLOCKS.index(c) for c in row] for row in rows], axis=0)


def by_slice(times, duration, values, merge):
    """`values` merged into a slice of the duration each, and neighbouring slices into columns."""
    columns = np.zeros(COLUMNS)
    for time_, value in zip(times, values):
        slice_ = min(int(time_ / duration * SLICES), SLICES - 1)
        columns[slice_ * COLUMNS // SLICES] = merge(columns[slice_ * COLUMNS // SLICES], value)
    return columns


def check_bars(rows, expected):
    """Times at an edge may be rounded to either side of it."""
    wanted = np.ceil(expected / expected.max() * 8 * len(rows))
    assert np.sum(np.abs(bars_of(rows) - wanted) > 1) <= 2, (rows, wanted)


def test_plot_as_text(tmp_path):
    """Against the figures of the same run: quick answers first, then slow ones."""
    flags = ["--num-prompts", 30, "--max-concurrency", 1, "--plot", "--disable-tqdm", "--save-result", "--save-detailed", "--result-dir", tmp_path,
             "--result-filename", "r.json"]
    with Stub(handle_after(lambda number: 0.05 if 20 <= number < 30 else 0.002)) as stub:
        status, text = on_a_terminal(stub.port, *flags, columns=COLUMNS + 1)
        assert status == 0 and (tmp_path / "r.svg").exists()
        result = json.loads((tmp_path / "r.json").read_text())
        assert "Slowest" not in start_and_read(stub.port, *flags, "--num-prompts", 1)  # a pipe is no terminal
    starts, latencies, duration = np.array(result["start_times"]), np.array(result["e2els"]), result["duration"]
    lines = text.replace("\r", "").split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("Slowest"))
    assert lines[at] == f"Slowest answer by when it was due, 0 to {duration:.2f} s, at most {1e3 * max(latencies):.2f} ms"
    assert lines[at + 5] == f"Requests by latency, {1e3 * min(latencies):.2f} to {1e3 * max(latencies):.2f} ms"
    assert lines[at + 7].startswith(f"Answers a second, 0 to {duration:.2f} s, at most ")
    check_bars(lines[at + 1:at + 5], by_slice(starts, duration, latencies, max))
    check_bars([lines[at + 6]], np.histogram(latencies, COLUMNS)[0])
    check_bars([lines[at + 8]], by_slice(starts + latencies, duration, np.ones(30), np.add))


def start_and_read(port, *flags):
    process = start(port, *flags, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return process.communicate(timeout=30)[0].decode()


# ---- flags ----

def test_base_url(bench):
    with Stub() as stub:
        run = bench(1, "--base-url", f"http://127.0.0.1:{stub.port}/some/prefix/", "--num-prompts", 2)
        assert run.status == 0, run.err
        assert {line for line, _, _ in stub.requests} == {"POST /some/prefix/v1/embeddings HTTP/1.1"}
        assert {h["host"] for _, h, _ in stub.requests} == {f"127.0.0.1:{stub.port}"}


def test_percentile_metrics(bench):
    with Stub() as stub:
        fine, other = (bench(stub.port, "--num-prompts", 1, "--percentile-metrics", metrics) for metrics in ("e2el", "ttft,e2el"))
    assert fine.status == other.status == 0 and "p99_e2el_ms" in other.result
    assert "warning" not in fine.err and other.err.count("warning: --percentile-metrics ttft,e2el: without generation there is e2el alone") == 1


def test_one_thread_for_each_cpu(bench):
    with Stub() as stub:
        run = bench(stub.port, "--num-prompts", 40, "--client-threads", 1000)
    assert run.status == 0 and 1 <= run.result["client_threads"] <= len(os.sched_getaffinity(0))


def test_without_a_tokenizer(tmp_path):
    (tmp_path / "data.jsonl").write_text('{"prompt": "one"}')
    with Stub() as stub:
        command = [harness.QVEC, "bench", "serve", "--port", str(stub.port), "--model", "no/such", "--skip-tokenizer-init", "--dataset-name", "custom",
                   "--dataset-path", "data.jsonl", "--num-prompts", "3", "--save-result", "--result-filename", "r.json"]
        done = subprocess.run(command, capture_output=True, timeout=30, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    assert (result["tokenizer_id"], result["completed"], result["total_input_tokens"]) == (None, 3, 21)  # as the answers say
    assert b"Request throughput (req/s):" in done.stdout and b"Total token throughput" not in done.stdout


def test_goodput_counts_the_quick(bench):
    def measure():
        with Stub(handle_after(lambda number: 0.6 * (number % 2))) as stub:
            run = bench(stub.port, "--num-prompts", 20, "--goodput", "e2el:300")
        assert run.status == 0, run.err
        result = run.result
        assert result["request_goodput"] == pytest.approx(result["request_throughput"] / 2, rel=1e-9)
        assert run.line("Request goodput (req/s):") == f"{result['request_goodput']:.2f}"
    in_a_quiet_moment(measure)


def test_lora_modules_take_turns(bench):
    with Stub() as stub:
        run = bench(stub.port, "--num-prompts", 4, "--max-concurrency", 1, "--lora-modules", "first", "second")
    assert run.status == 0 and [b["model"] for _, _, b in stub.requests] == ["first", "second"] * 2 and run.result["model_id"] == "some/stub"


def test_probes(bench):
    """They go beside the limit of concurrency, and into figures of their own."""
    with Stub(handle_after(0.05)) as stub:
        run = bench(stub.port, "--num-prompts", 16, "--max-concurrency", 1, "--probe-request-rate", 25)
        plain = bench(stub.port, "--num-prompts", 1)
    assert run.status == 0, run.err
    result, keys = run.result, list(run.result)
    assert result["completed"] == 16 and stub.peak >= 2 and result["peak_concurrency"] == 1
    assert 8 <= result["probe_completed"] <= len(stub.requests) - 17 and result["probe_failed"] == 0
    assert 50 <= result["probe_median_e2el_ms"] <= result["probe_p99_e2el_ms"] <= result["probe_max_e2el_ms"]
    at = keys.index("probe_completed")
    assert keys[at - 1] == "total_token_throughput" and keys[at + 5] == "mean_e2el_ms"
    assert "\n------------------Probe Requests------------------\n" in run.out
    assert run.line("Probe requests completed:") == str(result["probe_completed"]) and run.line("Probe requests failed:") == "0"
    assert run.line("Max probe E2EL (ms):") == f"{result['probe_max_e2el_ms']:.2f}"
    assert plain.status == 0 and "robe" not in plain.out and not any("probe" in k for k in plain.result)


def test_flags_of_vllm_that_mean_nothing(bench):
    flags = ["--ignore-eos", "--temperature", "0", "--top_p=0.5", "--profile", "--trust-remote-code", "--tokenizer-mode", "mistral", "--random-output-len", 5]
    with Stub() as stub:
        run = bench(stub.port, "--num-prompts", 1, *flags)
        quiet = bench(stub.port, "--num-prompts", 1, "--tokenizer-mode", "auto", "--disable-shuffle", "--skip-chat-template")
    assert run.status == 0 and quiet.status == 0, run.err
    assert re.findall(r"warning: --([a-z-]+)", run.err) == ["ignore-eos", "temperature", "top-p", "profile", "trust-remote-code", "tokenizer-mode"]
    assert "warning" not in quiet.err and list(stub.requests[0][2]) == ["model", "input", "truncate_prompt_tokens"]


# ---- what it says of itself ----

def test_a_client_that_was_late_says_so(tmp_path):
    """Stopped for 0.3 s in the middle: requests that were due meanwhile are late by that, and through nobody else."""
    with Stub() as stub:
        process = start(stub.port, "--num-prompts", 60, "--request-rate", 60, "--burstiness", "inf", "--save-result", "--result-dir", tmp_path,
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while len(stub.requests) < 10:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    result = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert result["max_schedule_lag_ms"] >= 250 and result["p99_e2el_ms"] >= 250
    said = re.search(rb"warning: requests were sent up to ([\d.]+) ms \(P99\) late by the client itself", err)
    assert said and float(said[1]) == pytest.approx(result["p99_schedule_lag_ms"], abs=0.06)


def test_too_few_files_are_told(bench, tmp_path):
    (tmp_path / "one.jsonl").write_text('{"text": "one"}')
    command = [harness.QVEC, "bench", "serve", "--model", "m", "--dataset-name", "custom", "--dataset-path", "one.jsonl", "--num-prompts", "300",
               "--skip-tokenizer-init", "--save-result", "--result-filename", "r.json"]

    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))

    with Stub(handle_after(0.1)) as stub:
        done = subprocess.run([*command, "--port", str(stub.port)], capture_output=True, timeout=30, cwd=tmp_path, check=False, preexec_fn=lower)
    assert done.returncode == 0, done.stderr
    assert b"the limit of open files (ulimit -n) allows 136 requests at a time; more waited" in done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["peak_concurrency"] == 136 and stub.peak <= 136
