#!/usr/bin/env python3
"""torch and transformers on the CPU in fp32 beside qvec: the 2B's shape with made weights, the same token counts, the
same size of picture, the same number of threads, in turns in one run.

    make bench-peers          or: PYTHON bench/peers/torch_fp32.py --build build [--threads N] [--rounds 3]
                                  PYTHON: of a venv with bench/peers/requirements.txt

torch computes every row of the last layer and keeps fp32 weights (8.5 GB); qvec computes pooled rows there and reads
bf16. A picture goes the whole path on both sides: JPEG bytes, resizing, patches, towers. Speed does not depend on the
values, so torch's weights are a repeated pattern. Prints milliseconds and torch's time over qvec's.
"""
import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import time

import numpy
import torch
import transformers
from PIL import Image
from transformers import Qwen2VLImageProcessor, Qwen3VLConfig, Qwen3VLModel
from transformers.modeling_utils import no_init_weights

NEEDED_MEMORY = 15 << 30
TEXTS = {"text 1 x 20": (1, 20), "text 1 x 200": (1, 200), "text 4 x 200": (4, 200), "text 1 x 1000": (1, 1000)}
PICTURE = "picture, JPEG to vector"
SETTLE = 0.5  # seconds; torch's threads go on spinning for a while
WORDS_AROUND = 22  # tokens of the official prompt around a picture


def available_memory():
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("MemAvailable:"))


class Torch:
    """The reference's network over made weights."""

    def __init__(self, folder, threads):
        torch.set_num_threads(threads)
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            self.config = Qwen3VLConfig(**json.load(f))
        self.config._attn_implementation = "sdpa"
        with no_init_weights():
            self.model = Qwen3VLModel._from_config(self.config).float().eval()  # float: the config says bfloat16
        assert {parameter.dtype for parameter in self.model.parameters()} == {torch.float32}
        pattern = torch.empty(1 << 16).uniform_(-0.03, 0.03)
        with torch.no_grad():
            for parameter in self.model.parameters():
                flat = parameter.view(-1)
                for at in range(0, flat.numel(), pattern.numel()):
                    piece = flat[at:at + pattern.numel()]
                    piece.copy_(pattern[:piece.numel()])
        self.processor = Qwen2VLImageProcessor.from_pretrained(folder, min_pixels=4096, max_pixels=1843200)
        self.jpeg = io.BytesIO()
        noise = numpy.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=numpy.uint8)
        Image.fromarray(noise).resize((640, 480)).save(self.jpeg, "JPEG", quality=90)

    def text(self, count, length):
        ids = torch.randint(0, 150000, (count, length))
        start = time.perf_counter()
        hidden = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).last_hidden_state[:, -1]
        torch.nn.functional.normalize(hidden, dim=-1)
        return time.perf_counter() - start

    def picture(self):
        start = time.perf_counter()
        image = Image.open(io.BytesIO(self.jpeg.getvalue())).convert("RGB")
        made = self.processor(images=[image], return_tensors="pt")
        tokens = int(made["image_grid_thw"].prod()) // 4
        before, after = WORDS_AROUND // 2, WORDS_AROUND - WORDS_AROUND // 2 - 2
        ids = torch.tensor([[100] * before + [self.config.vision_start_token_id] + [self.config.image_token_id] * tokens +
                            [self.config.vision_end_token_id] + [100] * after])
        hidden = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=made["pixel_values"],
                            image_grid_thw=made["image_grid_thw"], use_cache=False).last_hidden_state[:, -1]
        torch.nn.functional.normalize(hidden, dim=-1)
        return time.perf_counter() - start

    @torch.inference_mode()
    def run(self, name):
        """Milliseconds."""
        return 1e3 * (self.picture() if name == PICTURE else self.text(*TEXTS[name]))


class Qvec:
    """bench_forward, asked case by case."""

    def __init__(self, build, threads):
        self.process = subprocess.Popen(
            [os.path.join(build, "bench", "bench_forward"), "--on-demand", "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=dict(os.environ, QVEC_TEST_CHECKPOINTS=os.path.join(build, "tests", "checkpoints")))
        self.process.stdout.readline()  # what it opened

    def run(self, name):
        """(milliseconds, fraction of the multiply-add peak)"""
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 3:
            sys.exit("bench_forward failed")
        ms, gflop, peak = map(float, answer)
        return ms, gflop / ms * 1e3 / peak if peak else 0.0


def measure(name, ours, theirs, rounds):
    ours.run(name), theirs.run(name)
    mine, fractions, others = [], [], []
    for _ in range(rounds):
        time.sleep(SETTLE)
        ms, fraction = ours.run(name)
        mine.append(ms)
        fractions.append(fraction)
        others.append(theirs.run(name))
    ratio = statistics.median(t / q for t, q in zip(others, mine))
    print(f"{name:26} {rounds:6} {statistics.median(mine):11.1f} {statistics.median(others):11.1f} {ratio:8.2f} "
          f"{min(others) / min(mine):8.2f} {statistics.median(fractions):9.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="part of a case's name")
    arguments = parser.parse_args()
    build = os.path.abspath(arguments.build)
    if available_memory() < NEEDED_MEMORY:
        sys.exit(f"{available_memory() >> 20} MiB of memory are free, {NEEDED_MEMORY >> 20} are needed")
    print(f"{time.strftime('%Y-%m-%d')}, torch {torch.__version__}, transformers {transformers.__version__}, "
          f"{arguments.threads} threads, load {os.getloadavg()[0]:.1f}")
    ours = Qvec(build, arguments.threads)
    theirs = Torch(os.path.join(build, "tests", "checkpoints", "2b-embedding"), arguments.threads)
    print(f"{'':26} {'rounds':>6} {'qvec ms':>11} {'torch ms':>11} {'ratio':>8} {'of best':>8} {'of peak':>9}")
    for name in [*TEXTS, PICTURE]:
        if not arguments.only or arguments.only in name:
            rounds = arguments.rounds * 3 if name in ("text 1 x 20", "text 1 x 200") else arguments.rounds
            measure(name, ours, theirs, rounds)


if __name__ == "__main__":
    main()
