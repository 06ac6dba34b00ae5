"""The package as it is installed: types, wheels, pip, sdist, other interpreters."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

import harness
import other_pythons
from conftest import PACKAGE, ROOT

SMOKE = """
import qvec, os
assert "site-packages" in qvec.__file__, qvec.__file__
assert qvec._native.lib._name.startswith(os.path.dirname(qvec.__file__)), qvec._native.lib._name
e = qvec.Embedder()
assert e.model.startswith(os.path.dirname(qvec.__file__)), e.model
print(e.embed(["hello"]).tobytes().hex())
"""


def run(*arguments, **options):
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def bare(**more):
    """An environment without this test's own paths."""
    return {**{k: v for k, v in os.environ.items() if k not in ("QVEC_LIBRARY", "PYTHONPATH")}, "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1", **more}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """As `pip wheel` builds it, from the build folder under test and without the network."""
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", out, PACKAGE, env=bare(QVEC_BUILD=harness.BUILD))
    [path] = glob.glob(str(out / "*.whl"))
    return path


def test_types():
    pytest.importorskip("mypy")
    run(sys.executable, "-m", "mypy", "--cache-dir", os.path.join(harness.BUILD, "mypy-cache"), cwd=PACKAGE)


def test_docstrings():
    """Whatever a user can reach says what it is."""
    import inspect
    import qvec
    bare_names = [f"{name}.{member}" for name in qvec.__all__ if inspect.isclass(getattr(qvec, name))
                  for member, value in vars(getattr(qvec, name)).items()
                  if not member.startswith("_") and callable(getattr(value, "__func__", value)) and not inspect.getdoc(getattr(qvec, name).__dict__[member])]
    assert sorted(set(bare_names) - {"LLM.generate", "LLM.chat", "LLM.classify", "LLM.reward"}) == []


def test_wheel(wheel):
    assert re.fullmatch(r"qvec-\d+\.\d+\.\d+-py3-none-linux_\w+\.whl", os.path.basename(wheel))
    with zipfile.ZipFile(wheel) as z:
        names = z.namelist()
        assert z.testzip() is None
        record = [n for n in names if n.endswith("RECORD")][0]
        assert {line.split(",")[0] for line in z.read(record).decode().splitlines()} == set(names)
        assert z.getinfo("qvec/bin/qvec").external_attr >> 16 & 0o111
        metadata = z.read(record.replace("RECORD", "METADATA")).decode()
    assert {"qvec/__init__.py", "qvec/py.typed", "qvec/libqvec.so.0", "qvec/langchain.py"} <= set(names)
    assert not [n for n in names if "pycache" in n or n.startswith(("backend", "tests"))]
    assert "Requires-Python: >=3.9" in metadata and "Requires-Dist: numpy>=1.21" in metadata and "# qvec for Python" in metadata


def test_installed_alone(wheel, tmp_path):
    """In a folder of its own, with nothing of the source tree in sight; numpy is this interpreter's."""
    import numpy
    import qvec
    environment = tmp_path / "venv"
    run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", wheel, env=bare())
    site = run(python, "-c", "import site; print(site.getsitepackages()[0])").strip()
    with open(os.path.join(site, "numpy.pth"), "w", encoding="utf-8") as f:
        f.write(os.path.dirname(os.path.dirname(numpy.__file__)) + "\n")
    told = run(python, "-c", SMOKE, env=bare(), cwd=tmp_path).strip()
    assert told == qvec.Embedder().embed("hello").tobytes().hex()
    assert run(environment / "bin" / "qvec", "--version", env=bare()).strip() == run(harness.QVEC, "--version").strip()
    assert "embed" in run(python, "-m", "qvec", "--help", env=bare())


def test_editable_and_sdist(tmp_path):
    code = ("import sys; sys.path.insert(0, 'backend'); import qvec_backend as b; "
            f"print(b.build_editable({str(tmp_path)!r})); print(b.build_sdist({str(tmp_path)!r}))")
    editable, sdist = run(sys.executable, "-c", code, cwd=PACKAGE).split()
    with zipfile.ZipFile(tmp_path / editable) as z:
        assert z.read("qvec.pth").decode().strip() == PACKAGE
    with tarfile.open(tmp_path / sdist) as tar:
        names = tar.getnames()
        tar.extractall(tmp_path, **({"filter": "data"} if sys.version_info >= (3, 12) else {}))
    root = sdist[:-len(".tar.gz")]
    assert {f"{root}/{n}" for n in ("pyproject.toml", "PKG-INFO", "qvec/__init__.py", "backend/qvec_backend.py", "native/meson.build",
                                    "native/include/qvec/qvec.h", "native/src/lib/calls.c")} <= set(names)
    # What an sdist unpacks to can be set up, without the tests and benchmarks that it leaves out.
    run("meson", "setup", tmp_path / "build", tmp_path / root / "native", "-Dtests=false")


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
def test_auditwheel(wheel):
    pytest.importorskip("auditwheel")
    told = run(sys.executable, "-m", "auditwheel", "show", wheel)
    [glibc] = re.findall(r'constrains the platform tag to "manylinux_2_(\d+)_', " ".join(told.split()))
    assert int(glibc) <= 36  # Debian 12's


def test_other_interpreters(wheel, tmp_path):
    """The same bytes on the oldest and the newest that can be had."""
    import qvec
    found = other_pythons.find()
    if not found:
        pytest.skip("there is no other CPython from 3.9 on here")
    want, without = qvec.Embedder().embed("hello").tobytes().hex(), []
    for version, python in found.items():
        target = tmp_path / f"site-packages-{version[1]}"
        run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile", "--target", target, wheel, env=bare())
        run(python, "-m", "compileall", "-q", target / "qvec")
        numpy = other_pythons.numpy_folder(os.path.join(ROOT, ".venv-python"), version)
        if os.path.isdir(numpy):
            told = run(python, "-c", SMOKE, cwd=tmp_path, env=bare(PYTHONPATH=f"{target}{os.pathsep}{numpy}")).strip()
            assert told == want, version
        else:
            without.append("%d.%d" % version)
    if without:
        pytest.skip(f"compiled only, `make test` has not installed numpy for CPython {' and '.join(without)}")
