"""What goes wrong, as Python exceptions that carry the C error."""
import os
import pickle
import subprocess
import sys

import pytest

import harness
import qvec
from conftest import asset
from qvec import _errors, _native

TINY = harness.folder("tiny")


def fails(kind, call, code, *words):
    with pytest.raises(kind) as e:
        call()
    assert isinstance(e.value, qvec.Error) and e.value.code == code and e.value.status < 0
    for word in words:
        assert word in str(e.value), str(e.value)
    twin = pickle.loads(pickle.dumps(e.value))
    assert type(twin) is type(e.value) and str(twin) == str(e.value) and (twin.code, twin.index) == (code, e.value.index)
    return e.value


def test_kinds(embedder):
    embed = embedder.embed
    small = qvec.Embedder(TINY, load_format="dummy", max_model_len=100, media_root=harness.ASSETS)
    assert fails(ValueError, lambda: embed(["a", b"x", "c", b"y"]), "image_decode", "input 1: image 1").failures.keys() == {1, 3}
    assert fails(ValueError, lambda: embed([b"x"]), "image_decode").index == 0
    assert not str(fails(ValueError, lambda: embed([b"x"]), "image_decode")).startswith("input")
    fails(qvec.MediaError, lambda: embed({"video": b"x"}), "video_decode", "video 1")
    fails(qvec.MediaError, lambda: embed({"image": "/none.png"}), "media_source", "/none.png")
    fails(qvec.MediaError, lambda: small.embed({"image": __file__}), "media_source")
    assert small.embed({"image": "small.png"}).shape == (1, 64)
    fails(qvec.TooLong, lambda: small.embed("a " * 200), "too_long", "100")
    fails(ValueError, lambda: embed("lone \ud800"), "invalid_utf8")
    fails(ValueError, lambda: embed("a", prompt="officious"), "invalid_argument", "officious")
    fails(ValueError, lambda: embed("a", instruction="b\0c"), "invalid_argument", "NUL")
    fails(ValueError, lambda: embed({"image": "a\0b"}), "invalid_argument", "NUL")
    fails(ValueError, lambda: embed({"text": "a", "instrution": "b"}), "invalid_argument", "'instruction'")
    fails(ValueError, lambda: embed([None]), "invalid_argument", "input 0", "None")
    fails(ValueError, lambda: embed({"text": 5}), "invalid_argument", "int")
    fails(ValueError, lambda: embed({"parts": [("sound", "x")]}), "invalid_argument", "sound")
    fails(ValueError, lambda: embed({"image": asset("base.jpg"), "min_pixels": 9, "max_pixels": 5}), "invalid_argument", "min_pixels")
    assert embed("a\0b").tobytes() != embed("a").tobytes()  # a NUL in a text is a character


def test_opening(tmp_path):
    fails(FileNotFoundError, lambda: qvec.Embedder("no/such-model"), "not_found", "no/such-model")
    fails(FileNotFoundError, lambda: qvec.Embedder(TINY), "not_found", "safetensors")
    fails(ValueError, lambda: qvec.Embedder(TINY, load_format="pickle"), "invalid_argument", "pickle")
    fails(ValueError, lambda: qvec.Embedder(TINY, load_format="dummy", threads=-1), "invalid_argument", "threads is -1")
    fails(ValueError, lambda: qvec.Embedder(TINY, load_format="dummy", threads=2**40), "invalid_argument", "threads")
    fails(ValueError, lambda: qvec.Embedder(TINY, load_format="dummy", cpu_tier="sse9"), "invalid_argument", "sse9")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(qvec.Error):
        qvec.Embedder(tmp_path)
    with pytest.raises(TypeError, match="max_speed"):
        qvec.Embedder(TINY, load_format="dummy", max_speed=5)
    small = qvec.Embedder(TINY, load_format="dummy", max_image_side=20)
    fails(qvec.MediaError, lambda: small.embed({"image": asset("small.png")}), "media_limit", "20")


def test_every_status_has_its_exception():
    header = open(os.path.join(harness.ROOT, "include", "qvec", "qvec.h"), encoding="utf-8").read()
    import re
    rows = re.findall(r'X\((\w+), (-?\d+), "(\w+)"', header)
    assert len(rows) > 20
    for _, status, name in rows[1:]:
        e = _errors.from_status(int(status), "text")
        assert e.code == name and str(e) == "text" and e.http_status >= 400
    assert set(_errors._KINDS) <= {name for _, _, name in rows}
    assert issubclass(qvec.OutOfMemory, MemoryError) and issubclass(qvec.IOFailure, OSError)


def test_out_of_memory():
    """A model that does not fit: a process with little address space."""
    code = ("import resource, qvec\n"
            "resource.setrlimit(resource.RLIMIT_AS, (3 << 29, 3 << 29))\n"
            f"try: qvec.Embedder({harness.folder('2b')!r}, load_format='dummy')\n"
            "except MemoryError as e: print(e.code)\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    assert done.stdout.strip() == "no_memory", done.stderr


def test_no_library(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import qvec"], capture_output=True, text=True,
                          env={**os.environ, "QVEC_LIBRARY": str(tmp_path / "none.so")})
    assert done.returncode and "ImportError" in done.stderr and "QVEC_LIBRARY" in done.stderr
    wrong = subprocess.run([sys.executable, "-c", "import qvec"], capture_output=True, text=True,
                           env={**os.environ, "QVEC_LIBRARY": "libm.so.6"})
    assert wrong.returncode and "libm.so.6 has no qv_" in wrong.stderr


def test_structures_are_the_headers(tmp_path):
    """Sizes and offsets of every field, from the compiler."""
    structures = {"qv_error": _native.ErrorText, "qv_model_options": _native.ModelOptions, "qv_model_facts": _native.ModelFacts,
                  "qv_part": _native.Part, "qv_pixels": _native.Pixels, "qv_input": _native.Input,
                  "qv_embedding": _native.Embedding, "qv_score": _native.Score}
    lines = []
    for name, kind in structures.items():
        fields = [field[0] for field in kind._fields_ if field[0] != "later"]
        lines += [f'printf("{name}.{f} %zu %zu\\n", offsetof({name}, {f}), sizeof(({name} *)0)->{f});' for f in fields]
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
    source = tmp_path / "sizes.c"
    source.write_text("#include <qvec/qvec.h>\n#include <stdio.h>\nint main(void) {\n" + "\n".join(lines) + "\n}\n")
    subprocess.run(["cc", f"-I{harness.ROOT}/include", str(source), "-o", str(tmp_path / "sizes")], check=True)
    told = dict(line.split(" ", 1) for line in subprocess.run([str(tmp_path / "sizes")], capture_output=True, text=True,
                                                              check=True).stdout.splitlines())
    for name, kind in structures.items():
        for field in kind._fields_:
            if field[0] != "later":
                ours = getattr(kind, field[0])
                assert told[f"{name}.{field[0]}"] == f"{ours.offset} {ours.size}", f"{name}.{field[0]}: see python/qvec/_native.py"
        size = kind.later.offset if hasattr(kind, "later") else int(told[name])
        assert int(told[name]) == size and (hasattr(kind, "later") or size == _native.ctypes.sizeof(kind)), \
            f"{name} has other fields in the header than in python/qvec/_native.py"
