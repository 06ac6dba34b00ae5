"""qvec quantize: the folder it writes is what docs/QUANTIZATION.md says, gives the answers of `--quantization int8`, and is
checked like everything from outside when it is opened."""
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import time

import numpy as np
import pytest

import dummy_weights
import harness

SMALL = [harness.folder("small"), "--load-format", "dummy"]
TEXTS = ["--text", "hello world", "--text", "a dog on a beach"]


@pytest.fixture(scope="module")
def folder(qvec, tmp_path_factory):
    out = tmp_path_factory.mktemp("quantize") / "int8"
    done = qvec("quantize", SMALL[0], out, *SMALL[1:])
    assert done.status == 0 and not done.out and not done.err
    return out


def read_file(path):
    """(header, offset of the data, all bytes)"""
    data = open(path, "rb").read()
    size, = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + size]), 8 + size, data


def tensor(path, name):
    header, start, data = read_file(path)
    entry = header[name]
    begin, end = entry["data_offsets"]
    dtype = {"U8": np.uint8, "F32": np.float32, "BF16": np.uint16}[entry["dtype"]]
    return np.frombuffer(data[start + begin:start + end], dtype).reshape(entry["shape"])


# ---- what is written -----------------------------------------------------------------------------------

def test_same_answers_as_made_while_opening(qvec, folder):
    made = qvec("embed", *SMALL, "--quantization", "int8", *TEXTS)
    for flags in ([], ["--quantization", "int8"], ["--cpu-tier", "c", "--threads", "1"]):
        done = qvec("embed", folder, *flags, *TEXTS)
        assert done.status == 0 and done.raw == made.raw
    assert qvec("embed", *SMALL, *TEXTS).raw != made.raw


def test_config_and_other_files(folder):
    config = json.load(open(folder / "config.json", encoding="utf-8"))
    assert config.pop("quantization_config") == {"quant_method": "qvec", "format": "int8", "version": 1, "group_size": 64}
    assert config == json.load(open(os.path.join(SMALL[0], "config.json"), encoding="utf-8"))
    others = sorted(set(os.listdir(SMALL[0])) | {"model.safetensors"})
    assert sorted(os.listdir(folder)) == others
    for name in ("tokenizer.json", "1_Pooling/config.json"):
        assert (folder / name).read_bytes() == open(os.path.join(SMALL[0], name), "rb").read()
    assert os.stat(folder).st_mode & 0o777 == 0o755


def quantised(values):
    """docs/QUANTIZATION.md in numpy: codes and scales of [rows, cols]."""
    rows, cols = values.shape
    padded = np.zeros((-(-rows // 16) * 16, -(-cols // 64) * 64), np.float32)
    padded[:rows, :cols] = values
    groups = padded.reshape(padded.shape[0], -1, 64)
    most = np.abs(groups).max(axis=2)
    scales = (most / np.float32(127)).astype(np.float32)
    inverse = np.divide(np.float32(127), most, where=most > 0, out=np.zeros_like(most))
    return np.rint(groups * inverse[:, :, None]).astype(np.int16), scales


@pytest.mark.parametrize("name", [
    "model.language_model.layers.1.mlp.down_proj.weight", "model.language_model.layers.3.self_attn.k_proj.weight",
    "model.visual.blocks.5.attn.qkv.weight", "model.visual.deepstack_merger_list.0.linear_fc2.weight"])
def test_layout(folder, name):
    config = json.load(open(folder / "config.json", encoding="utf-8"))
    shape = dummy_weights.tensors(config)[name]
    codes, scales = quantised(dummy_weights.elements(name, shape, 0).reshape(shape))
    path = folder / "model.safetensors"
    rows, cols = codes.shape[0], codes.shape[1] * 64
    stored = tensor(path, name)
    assert stored.shape == (rows // 16, cols // 4, 16, 4)
    assert (stored.transpose(0, 2, 1, 3).reshape(rows, cols).astype(np.int16) - 128 == codes.reshape(rows, cols)).all()
    assert (tensor(path, name + "_scale").transpose(0, 2, 1).reshape(rows, -1) == scales).all()
    assert (tensor(path, name + "_input") == 1).all()


def test_file_is_a_safetensors_file(folder):
    """No holes, which other readers demand; codes at cache lines; everything else as it was."""
    header, start, data = read_file(folder / "model.safetensors")
    entries = sorted((e["data_offsets"], name, e) for name, e in header.items() if name != "__metadata__")
    assert entries[0][0][0] == 0 and entries[-1][0][1] == len(data) - start and start % 64 == 0
    assert all(a[0][1] == b[0][0] for a, b in zip(entries, entries[1:]))
    assert all((start + begin) % 64 == 0 for (begin, _), _, e in entries if e["dtype"] == "U8")
    for name in ("model.language_model.norm.weight", "model.language_model.layers.0.mlp.up_proj.weight"):
        want = dummy_weights.elements(name, header[name]["shape"], 0).view(np.uint32) >> np.uint32(16)
        assert (tensor(folder / "model.safetensors", name).ravel() == want).all()


def test_info(qvec, folder):
    facts = json.loads(qvec("info", folder, "--json").out)
    made = json.loads(qvec("info", *SMALL, "--quantization", "int8", "--json").out)
    full = json.loads(qvec("info", *SMALL, "--json").out)
    assert facts["weights"]["quantization"] == made["weights"]["quantization"] == "int8"
    assert full["weights"]["quantization"] == "none"
    assert facts["weights"]["bytes"] == pytest.approx(made["weights"]["bytes"], rel=0.01)
    assert made["weights"]["bytes"] < 0.95 * full["weights"]["bytes"]  # of this shape most is the token table
    assert facts["weights"]["parameters"] == pytest.approx(full["weights"]["parameters"], rel=0.01)
    assert "int8, groups of 64" in qvec("info", folder).out


def test_kernels_are_told(qvec, folder):
    """What multiplies codes, where that is more than the tier's name says."""
    def tier(*arguments):
        return json.loads(qvec("info", *arguments, "--json").out)["cpu"]["tier"]

    full = tier(*SMALL)
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
        vnni = full == "avx512" and "avx512_vnni" in f.read()
    wanted = "avx512+vnni" if vnni else full
    assert tier(folder) == tier(*SMALL, "--quantization", "int8") == wanted
    assert tier(folder, "--cpu-tier", "c") == "c"
    with harness.serve(str(folder), seed=None, log=folder.parent / "log"):
        assert f" on cpu {wanted} with " in (folder.parent / "log").read_text()


def coded(name):
    """docs/QUANTIZATION.md: the matrices of decoder layers, vision blocks and mergers, but of the first layer and block."""
    return re.fullmatch(r"model\.(language_model\.layers\.(?!0\.)\d+\..*_proj|visual\.blocks\.(?!0\.)\d+\.(attn\.(qkv|proj)|mlp\.linear_fc[12])"
                        r"|visual\.(deepstack_)?merger(_list\.\d+)?\.linear_fc[12])\.weight", name)


@pytest.mark.parametrize("shape, share", [("2b", 0.615), ("8b", 0.609)])
def test_size_of_the_published_shapes(qvec, shape, share):
    """A code of a byte and the 64th part of a scale, instead of two bytes; the rest stays."""
    model = [harness.folder(shape), "--load-format", "dummy"]
    tensors = dummy_weights.tensors(json.load(open(os.path.join(model[0], "config.json"), encoding="utf-8")))
    counts = {name: int(np.prod(shape, dtype=np.int64)) for name, shape in tensors.items()}
    matrices = [shape for name, shape in tensors.items() if coded(name)]
    codes = sum(-(-rows // 16) * 16 * -(-cols // 64) * 64 for rows, cols in matrices)
    full, made = (json.loads(qvec("info", *model, *flags, "--json").out)["weights"]["bytes"]
                  for flags in ([], ["--quantization", "int8"]))
    assert full == 2 * sum(counts.values())
    assert full - made == 2 * sum(rows * cols for rows, cols in matrices) - codes * 17 // 16
    assert made / full == pytest.approx(share, abs=0.001)


def test_verify(qvec, folder):
    done = qvec("verify", folder)
    assert done.status == 0 and "FAIL" not in done.out


# ---- what is refused -----------------------------------------------------------------------------------

def test_overwrites_nothing(qvec, folder, tmp_path):
    before = (folder / "model.safetensors").stat().st_mtime_ns
    done = qvec("quantize", SMALL[0], folder, *SMALL[1:])
    assert done.status == 2 and "exists" in done.err
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    done = qvec("quantize", folder, tmp_path / "again")
    assert done.status == 2 and "already" in done.err and not os.listdir(tmp_path)


def test_wrong_usage(qvec, tmp_path):
    assert qvec("quantize").status == 2
    assert qvec("quantize", SMALL[0]).status == 2
    done = qvec("quantize", SMALL[0], tmp_path / "no" / "such" / "place", *SMALL[1:])
    assert done.status == 3 and "cannot create" in done.err


def test_failure_leaves_nothing(qvec, tmp_path):
    """A tokenizer that cannot be read: the folder is begun, and gone again."""
    broken = tmp_path / "model"
    shutil.copytree(SMALL[0], broken)
    (broken / "lost").symlink_to(tmp_path / "nowhere")
    done = qvec("quantize", broken, tmp_path / "out", *SMALL[1:])
    assert done.status == 3 and "lost" in done.err
    assert os.listdir(tmp_path) == ["model"]


def test_interrupt_leaves_nothing(tmp_path):
    process = subprocess.Popen([harness.QVEC, "quantize", *SMALL[:1], str(tmp_path / "out"), *SMALL[1:]], stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while not os.listdir(tmp_path) and time.monotonic() < end:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130 and not os.listdir(tmp_path)


CODED = "model.language_model.layers.1.mlp.down_proj.weight"


def other_dtype(header):
    header[CODED + "_scale"]["dtype"] = "U8"


def other_shape(header):
    shape = header[CODED]["shape"]
    shape[0], shape[1] = shape[1], shape[0]


def no_scale(header):
    header["elsewhere"] = header.pop(CODED + "_scale")


def codes_for_a_norm(header):
    header["model.language_model.norm.weight"]["dtype"] = "U8"
    header["model.language_model.norm.weight"]["shape"] = [512]


def wrong_input(header):
    header[CODED + "_input"]["shape"] = [384, 2]


@pytest.mark.parametrize("change, words", [
    (other_dtype, "_scale"), (other_shape, "down_proj.weight"), (no_scale, "_scale\" is missing"),
    (codes_for_a_norm, "norm.weight"), (wrong_input, "_input")], ids=lambda v: getattr(v, "__name__", ""))
def test_damaged_headers_are_refused(qvec, folder, tmp_path, change, words):
    header, start, data = read_file(folder / "model.safetensors")
    change(header)
    shutil.copytree(folder, tmp_path / "m", ignore=shutil.ignore_patterns("*.safetensors"))
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64)
    (tmp_path / "m" / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data[start:])
    done = qvec("embed", tmp_path / "m", *TEXTS)
    assert done.status == 3 and words in done.err, done.err


@pytest.mark.parametrize("seed", range(3))
def test_damaged_codes_and_scales_do_no_harm(qvec, folder, tmp_path, seed):
    """Any bytes are codes and scales: there is an answer, or it is told that it is not finite; the same in every tier."""
    header, start, data = read_file(folder / "model.safetensors")
    data = bytearray(data)
    random = np.random.default_rng(seed)
    for name, entry in header.items():
        if name != "__metadata__" and (entry["dtype"] == "U8" or name.endswith("_scale")) and random.random() < 0.1:
            begin = start + entry["data_offsets"][0]
            data[begin:begin + 64] = random.bytes(64)
    shutil.copytree(folder, tmp_path / "m", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "m" / "model.safetensors").write_bytes(data)
    done = [qvec("embed", tmp_path / "m", "--cpu-tier", tier, *TEXTS) for tier in ("auto", "avx2", "c")]
    assert done[0].status in (0, 1) and len({d.raw for d in done}) == 1
