#!/usr/bin/env python3
"""What a user waits for and pays before the first vector, with a real checkpoint file of the 2B's shape:

    .venv/bin/python bench/start.py [--build build] [--weights FOLDER] [--runs 7] [--only PART] [--int8]

start    from the start of the process to the first vector, the file in the page cache
resident what of the mapped weights and of everything else is in memory after 20 texts and a picture
memory   resident memory beyond the mapped weights in a batch of 8,192 tokens, against what `qvec info` tells
picture  a JPEG of 12 megapixels to 1,800 tokens: time against Pillow's, one thread, and peak memory

--int8: start, resident and memory of the folder that `qvec quantize` makes of these weights (FOLDER-int8, 2.6 GB, made when
it is not there), and start and resident with `--quantization int8`, which makes the codes each time.

FOLDER (default: BUILD/bench/weights-2b) is made when it is not there: 4.3 GB, one to two minutes. Needs numpy and
Pillow, which `make test` puts into .venv.
"""
import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "golden"))
NEEDED_DISK, NEEDED_MEMORY = 6 << 30, 8 << 30
START = "process start to first vector"
TOKENS = 8192
MIB = 1 << 20


def available_memory():
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("MemAvailable:"))


def make_weights(folder, checkpoints):
    """The checkpoint folder with its weights, or the reason why there is none."""
    if available_memory() < NEEDED_MEMORY:
        return f"{available_memory() >> 20} MiB of memory are free, {NEEDED_MEMORY >> 20} are needed"
    if os.path.exists(os.path.join(folder, "complete")):
        return None
    os.makedirs(folder, exist_ok=True)
    if shutil.disk_usage(folder).free < NEEDED_DISK:
        return f"{shutil.disk_usage(folder).free >> 20} MiB are free on the disk of {folder}, {NEEDED_DISK >> 20} are needed"
    import dummy_weights
    shutil.copytree(os.path.join(checkpoints, "2b-embedding"), folder, dirs_exist_ok=True)
    print(f"# making {folder}", flush=True)
    dummy_weights.write(folder)
    open(os.path.join(folder, "complete"), "w", encoding="ascii").close()
    return None


def make_int8(qvec, folder):
    """FOLDER-int8, made by `qvec quantize`."""
    out = folder + "-int8"
    if not os.path.exists(out):  # it appears whole or not at all
        print(f"# making {out}", flush=True)
        subprocess.run([qvec, "quantize", folder, out, "--no-progress"], check=True)
    return out


def read_through(folder):
    """Brings the weights into the page cache."""
    with open(os.path.join(folder, "model.safetensors"), "rb", buffering=0) as f:
        piece = bytearray(16 * MIB)
        while f.readinto(piece):
            pass


# ---- start ----------------------------------------------------------------------------------------

def time_first_vector(qvec, folder, flags):
    start = time.monotonic()
    command = [qvec, "embed", folder, *flags, "--text", "What is the capital of China?"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as p:
        line = p.stdout.readline()
        seconds = time.monotonic() - start
    if p.returncode or b"embedding" not in line:
        sys.exit("qvec embed failed")
    return seconds


def measure_start(qvec, folder, runs, name, flags, mark):
    read_through(folder)
    time_first_vector(qvec, folder, flags)
    seconds = [time_first_vector(qvec, folder, flags) for _ in range(runs)]
    print(f"{name:44} median {statistics.median(seconds):7.3f} s, best {min(seconds):7.3f} s of {runs}{mark}")


# ---- memory ---------------------------------------------------------------------------------------

def resident(pid):
    """Resident bytes of a process: (of the mapping of its weights, of everything else)."""
    total, mapped = [0, 0], False
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as f:
        for line in f:
            if line.startswith("Rss:"):
                total[0 if mapped else 1] += int(line.split()[1]) << 10
            elif not line.split(" ", 1)[0].endswith(":"):
                mapped = line.rstrip().endswith(".safetensors")
    return total


def measure_resident(qvec, folder, name, flags=()):
    """`qvec embed` keeps its input open, so that it can be looked at when it has answered."""
    picture = os.path.join(ROOT, "tests", "golden", "data", "assets", "base.jpg")
    items = [{"text": f"a dog on beach {i}"} for i in range(20)] + [{"image": picture}]
    command = [qvec, "embed", folder, *flags, "--no-progress", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        p.stdin.write("".join(json.dumps(item) + "\n" for item in items).encode())
        p.stdin.flush()
        for _ in items:
            if b"embedding" not in p.stdout.readline():
                sys.exit("qvec embed failed")
        weights, others = resident(p.pid)
        p.stdin.close()
    print(f"{'resident' + name:44} {weights / 1e6:7.0f} MB of mapped weights, {others / 1e6:5.0f} MB of everything else")


def watch(process, quiet_seconds):
    """The most beyond the weights until the process ends, or has not grown for that long and is stopped."""
    most, grown = 0, time.monotonic()
    while process.poll() is None and time.monotonic() - grown < quiet_seconds:
        try:
            now = resident(process.pid)[1]
        except (FileNotFoundError, ProcessLookupError):
            break
        if now > most * 1.001:
            most, grown = now, time.monotonic()
        time.sleep(0.05)
    process.kill()
    process.wait()
    return most


def long_text():
    """More than TOKENS tokens; the official prompt is cut there."""
    return "The quick brown fox jumps over the lazy dog. " * (TOKENS // 9)


def measure_memory(qvec, folder):
    limits = ["--max-model-len", str(TOKENS), "--max-num-batched-tokens", str(TOKENS)]
    told = json.loads(subprocess.run([qvec, "info", folder, "--json", *limits], check=True, capture_output=True).stdout)
    told = told["memory"]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
        lines.write(json.dumps({"text": long_text()}) + "\n")
        lines.flush()
        process = subprocess.Popen([qvec, "embed", folder, *limits, lines.name], stdout=subprocess.DEVNULL)
        most = watch(process, 20)
    print(f"{'resident beyond the weights':36} {most / 1e6:7.1f} MB in a batch of {TOKENS} tokens; info tells "
          f"{told['text'] / 1e6:.1f} MB, {most / told['text'] - 1:+.0%}   (marks: 300 MB, 15 %)")


# ---- picture --------------------------------------------------------------------------------------

def make_jpeg():
    """4000 x 3000, photograph-like: smooth colours, edges and noise."""
    import numpy
    from PIL import Image
    generator = numpy.random.default_rng(1)
    y, x = numpy.mgrid[0:3000, 0:4000].astype(numpy.float32)
    base = numpy.stack([128 + 100 * numpy.sin(x / 300 + c) * numpy.cos(y / 200 - c) for c in range(3)], axis=-1)
    base[((x // 250 + y // 250) % 2) == 0] *= 0.8
    base += generator.normal(0, 6, (3000, 4000, 1)).astype(numpy.float32)
    out = io.BytesIO()
    Image.fromarray(base.clip(0, 255).astype(numpy.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def time_pillow(data, size):
    from PIL import Image
    start = time.perf_counter()
    Image.open(io.BytesIO(data)).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    return (time.perf_counter() - start) * 1e3


def measure_picture(build, runs):
    with tempfile.NamedTemporaryFile(suffix=".jpg") as f:
        f.write(make_jpeg())
        f.flush()
        with open(f.name, "rb") as again:
            data = again.read()
        ours, theirs = [], []
        for _ in range(runs):
            done = subprocess.run([os.path.join(build, "bench", "picture"), f.name], check=True, capture_output=True, text=True)
            ms, width, height, peak = done.stdout.split()
            ours.append(float(ms))
            theirs.append(time_pillow(data, (int(width), int(height))))
    ratio = statistics.median(t / o for t, o in zip(theirs, ours))
    print(f"{'12 megapixel JPEG to ' + width + ' x ' + height:36} median {statistics.median(ours):7.1f} ms, best {min(ours):.1f}; "
          f"Pillow {statistics.median(theirs):.1f}, best {min(theirs):.1f}: {ratio:.2f}x   (mark: faster)")
    print(f"{'its peak memory':36} {int(peak) / 1e6:7.1f} MB   (mark: 150 MB)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--weights")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", choices=("start", "resident", "memory", "picture"))
    parser.add_argument("--int8", action="store_true")
    arguments = parser.parse_args()
    build = os.path.abspath(arguments.build)
    qvec = os.path.join(build, "qvec")
    folder = os.path.abspath(arguments.weights or os.path.join(build, "bench", "weights-2b"))
    if arguments.only in (None, "picture"):
        measure_picture(build, arguments.runs)
    if arguments.only == "picture":
        return
    reason = make_weights(folder, os.path.join(build, "tests", "checkpoints"))
    if reason:
        print("skipped start, resident and memory: " + reason)
        return
    ways = [(folder, "", ())]
    if arguments.int8:
        ways = [(folder, ", int8 at load", ("--quantization", "int8")), (make_int8(qvec, folder), ", int8 folder", ())]
        folder += "-int8"
    for model, name, flags in ways:
        if arguments.only in (None, "start"):
            measure_start(qvec, model, arguments.runs, START + name, flags, "" if flags else "   (mark: under 1 s)")
        if arguments.only in (None, "resident"):
            measure_resident(qvec, model, name, flags)
    if arguments.only in (None, "memory"):
        measure_memory(qvec, folder)


if __name__ == "__main__":
    main()
