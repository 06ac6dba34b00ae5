"""The package as it is installed: types, wheels, pip, sdist, other interpreters."""
import glob
import os
import re
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


@pytest.fixture(scope="module")
def repaired(wheel, tmp_path_factory):
    """As `make wheel` makes it, packed less tightly: with the libraries inside."""
    pytest.importorskip("auditwheel")
    out = tmp_path_factory.mktemp("repaired")
    tools = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    run(sys.executable, os.path.join(ROOT, "tools", "repair_wheel.py"), "-z", "1", "-w", out, wheel, env=bare(PATH=tools))
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


@pytest.mark.parametrize("kind", ["wheel", "repaired"])
def test_installed_alone(kind, request, tmp_path):
    """In a folder of its own, with nothing of the source tree in sight; numpy is this interpreter's."""
    import numpy
    import qvec
    environment = tmp_path / "venv"
    run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", request.getfixturevalue(kind), env=bare())
    site = run(python, "-c", "import site; print(site.getsitepackages()[0])").strip()
    with open(os.path.join(site, "numpy.pth"), "w", encoding="utf-8") as f:
        f.write(os.path.dirname(os.path.dirname(numpy.__file__)) + "\n")
    told = run(python, "-c", SMOKE, env=bare(), cwd=tmp_path).strip()
    assert told == qvec.Embedder().embed("hello").tobytes().hex()
    assert run(environment / "bin" / "qvec", "--version", env=bare()).strip() == run(harness.QVEC, "--version").strip()
    assert "embed" in run(python, "-m", "qvec", "--help", env=bare())
    outside = {name for file in ("libqvec.so.0", "bin/qvec") for name, path in resolved(os.path.join(site, "qvec", file))
               if not path.startswith(site)}
    if kind == "repaired":
        assert {name for name in outside if not re.fullmatch(OUTSIDE, name)} == set()
    else:
        assert any(name.startswith("libavcodec") for name in outside)


# What a wheel needs of the machine: the C library's own parts, and the two run-time libraries that numpy needs as well.
OUTSIDE = r"(lib(c|dl|m|pthread|resolv|rt|gcc_s|stdc\+\+)\.so\.\d|ld-linux-[\w-]+\.so\.\d)"


def resolved(path):
    """(name, path) of each library that the loader would map for a file, however deep."""
    told = run("ldd", path, env=bare())
    assert "not found" not in told, told
    found = re.findall(r"^\s+(?:(\S+) => )?(/\S+) \(0x", told, re.MULTILINE)
    assert len(found) > 10
    return [(name or os.path.basename(path), path) for name, path in found]


def test_everything_is_inside(repaired, tmp_path):
    """Every file of a repaired wheel, also those that are loaded by others: whatever it needs is inside or the C library's."""
    glibc = int(re.search(r"-manylinux_2_(\d+)_", os.path.basename(repaired))[1])
    assert glibc <= 36  # Debian 12's
    with zipfile.ZipFile(repaired) as z:
        z.extractall(tmp_path)
        names = [name for name in z.namelist() if not name.endswith("/")]
    inside = {os.path.basename(name) for name in names if name.startswith("qvec.libs/")}
    assert any(name.startswith("libavcodec-") for name in inside)
    for name in names:
        if ".so" in os.path.basename(name) or name == "qvec/bin/qvec":
            needed = re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-d", tmp_path / name))
            assert [n for n in needed if n not in inside and not re.fullmatch(OUTSIDE, n)] == [], name


def test_editable_and_sdist(tmp_path):
    code = f"import sys; sys.path.insert(0, 'backend'); import qvec_backend as b; print(b.build_editable({str(tmp_path)!r}))"
    with zipfile.ZipFile(tmp_path / run(sys.executable, "-c", code, cwd=PACKAGE).strip()) as z:
        assert z.read("qvec.pth").decode().strip() == PACKAGE
    root = unpacked(tmp_path)
    names = {str(path.relative_to(root)) for path in root.rglob("*")}
    assert {"pyproject.toml", "PKG-INFO", "qvec/__init__.py", "backend/qvec_backend.py", "native/meson.build", "native/Makefile",
            "native/include/qvec/qvec.h", "native/src/lib/calls.c"} <= names
    # What an sdist unpacks to can be set up, without the tests and benchmarks that it leaves out.
    run("meson", "setup", tmp_path / "build", root / "native", "-Dtests=false")


def unpacked(sdist_folder):
    """An sdist of this tree, unpacked: a place to build in where no build folder is."""
    code = f"import sys; sys.path.insert(0, 'backend'); import qvec_backend as b; print(b.build_sdist({str(sdist_folder)!r}))"
    name = run(sys.executable, "-c", code, cwd=PACKAGE).strip()
    with tarfile.open(sdist_folder / name) as tar:
        tar.extractall(sdist_folder, **({"filter": "data"} if sys.version_info >= (3, 12) else {}))
    return sdist_folder / name[:-len(".tar.gz")]


def pip_wheel(source, out, **environment):
    """pip where nothing has been built yet."""
    return subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(out), str(source)], capture_output=True,
                          text=True, check=False, env=bare(QVEC_BUILD=str(out / "build"), **environment))


@pytest.mark.parametrize("packages, installed", [
    ("some missing", "for p in gcc meson ninja-build; do echo installed $p; done; exit 1"),
    ("complete", 'shift 2; for p; do echo "installed $p"; done'), ("no Debian", "exit 2")], ids=["missing", "complete", "elsewhere"])
def test_build_without_the_c_libraries(packages, installed, tmp_path):
    """Whoever lacks them is told what to install, as by `make`, instead of where Python was when it found out."""
    for name, script in (("dpkg-query", installed), ("meson", "echo 'ERROR: Dependency \"jansson\" not found'; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    done = pip_wheel(PACKAGE, tmp_path, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    told = done.stdout + done.stderr
    assert done.returncode and 'Dependency "jansson" not found' in told and "Traceback" not in told, told
    line = re.search(r"Some packages are missing. Please run:\n\s*sudo apt-get install -y --no-install-recommends (.+)", told)
    if packages == "some missing":
        assert {"libjansson-dev", "libpcre2-dev", "libswscale-dev"} <= set(line[1].split())
        assert not {"gcc", "meson", "\\"} & set(line[1].split())
    else:
        assert not line and "The C library could not be built" in told and "exit status 1" in told
        assert ("BUILD_PACKAGES" in told) == (packages == "no Debian")


@pytest.mark.by_hand
def test_build_from_an_sdist(tmp_path):
    """`pip install` where nothing has been built: half a minute with a compiler's cache, minutes without."""
    done = pip_wheel(unpacked(tmp_path), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = glob.glob(str(tmp_path / "*.whl"))
    with zipfile.ZipFile(wheel) as z:
        z.extractall(tmp_path / "site-packages")
    told = run(sys.executable, "-c", SMOKE, env=bare(PYTHONPATH=os.pathsep.join([str(tmp_path / "site-packages"), *sys.path[1:]])), cwd=tmp_path)
    import qvec
    assert told.strip() == qvec.Embedder().embed("hello").tobytes().hex()


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
        packages = other_pythons.packages_folder(os.path.join(ROOT, ".venv-python"), version)
        if os.path.isdir(packages):
            told = run(python, "-c", SMOKE, cwd=tmp_path, env=bare(PYTHONPATH=f"{target}{os.pathsep}{packages}")).strip()
            assert told == want, version
        else:
            without.append("%d.%d" % version)
    if without:
        pytest.skip(f"compiled only, `make test` has not installed numpy for CPython {' and '.join(without)}")
