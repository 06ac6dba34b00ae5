"""The PEP 517 back end of the package: pure Python plus what Meson builds in the tree around it.

A wheel holds the package, the C library, the program and the built-in models; its tag is py3-none-PLATFORM, as ctypes
needs no ABI. The C tree is the folder above, or `native/` in an unpacked sdist. A build folder that is there already
is used (QVEC_BUILD, or `build` as `make` leaves it), else `build-wheel` is made. Needs nothing from the network."""
import base64
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NATIVE = next((place for place in (os.path.join(HERE, "native"), os.path.dirname(HERE))
               if os.path.exists(os.path.join(place, "include", "qvec", "qvec.h"))), None)
LIBRARY = "libqvec.so.0"
BUILTIN = ("mini", "mini-reranker")
SKIPPED = ("__pycache__", ".mypy_cache", ".pytest_cache")


# ---- metadata ------------------------------------------------------------------------------------------

def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def project():
    try:
        import tomllib as toml
    except ImportError:
        try:
            import tomli as toml
        except ImportError:
            from pip._vendor import tomli as toml
    return toml.loads(read(os.path.join(HERE, "pyproject.toml")))["project"]


def version():
    if not NATIVE:
        sys.exit("the C sources are neither above the package nor in native/: build from the source tree or an sdist")
    return re.search(r"version: '([^']+)'", read(os.path.join(NATIVE, "meson.build"))).group(1)


def metadata(p):
    lines = ["Metadata-Version: 2.4", f"Name: {p['name']}", f"Version: {version()}", f"Summary: {p['description']}",
             f"License-Expression: {p['license']}", f"Requires-Python: {p['requires-python']}",
             f"Keywords: {','.join(p['keywords'])}"]
    lines += [f"Classifier: {c}" for c in p["classifiers"]] + [f"Requires-Dist: {d}" for d in p["dependencies"]]
    for extra, needs in p["optional-dependencies"].items():
        lines += [f"Provides-Extra: {extra}"] + [f"Requires-Dist: {need}; extra == '{extra}'" for need in needs]
    return "\n".join(lines + ["Description-Content-Type: text/markdown", "", read(os.path.join(HERE, p["readme"]))])


def tag():
    return "py3-none-" + re.sub(r"[-.]", "_", sysconfig.get_platform())


# ---- the native side -----------------------------------------------------------------------------------

def build_folder():
    named = os.environ.get("QVEC_BUILD")
    if named:
        return os.path.abspath(named)
    made = os.path.join(NATIVE, "build")
    return made if os.path.exists(os.path.join(made, "build.ninja")) else os.path.join(NATIVE, "build-wheel")


def missing_packages():
    """Of the Debian packages that the C library is built with, those that are not installed; None elsewhere."""
    listed = re.search(r"^BUILD_PACKAGES = ((?:.*\\\n)*.*)", read(os.path.join(NATIVE, "Makefile")), re.MULTILINE).group(1)
    wanted = listed.replace("\\", " ").split()
    if not shutil.which("dpkg-query"):
        return None
    told = subprocess.run(["dpkg-query", "-W", "-f=${db:Status-Status} ${Package}\n", *wanted], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    if told.returncode not in (0, 1):  # 1: some are not known; 2: there is no data base
        return None
    present = {line.split()[1] for line in told.stdout.decode().splitlines() if line.startswith("installed ")}
    return [name for name in wanted if name not in present]


def run_native(*command):
    """A step of the C build. What its failure says is for who runs pip, and a stack trace is not."""
    try:
        subprocess.run(command, check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as e:
        missing = missing_packages()
        if missing:
            sys.exit("Some packages are missing. Please run:\n"
                     f"sudo apt-get install -y --no-install-recommends {' '.join(missing)}")
        sys.exit(f"The C library could not be built: {e}\n"
                 + ("" if missing == [] else "It needs the libraries that BUILD_PACKAGES in the Makefile names, under their Debian names."))


def build_native():
    """Path in the wheel -> file."""
    folder = build_folder()
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        run_native("meson", "setup", folder, NATIVE, "--buildtype=release", "-Dtests=false")
    run_native("ninja", "-C", folder, "wheel")
    files = {f"qvec/{LIBRARY}": os.path.join(folder, "src", LIBRARY), "qvec/bin/qvec": os.path.join(folder, "qvec")}
    for model in BUILTIN:
        for where, folders, names in os.walk(os.path.join(NATIVE, "models", model)):
            folders[:] = sorted(set(folders) - {"train", *SKIPPED})
            files.update({"qvec/" + os.path.relpath(os.path.join(where, name), NATIVE): os.path.join(where, name) for name in sorted(names)})
    return files


def package_files(folder="qvec"):
    for where, folders, names in sorted(os.walk(os.path.join(HERE, folder))):
        folders[:] = sorted(set(folders) - set(SKIPPED))
        for name in sorted(names):
            path = os.path.join(where, name)
            if not name.endswith(".so.0"):
                yield os.path.relpath(path, HERE), path


# ---- wheels --------------------------------------------------------------------------------------------

class Wheel:
    """A zip with a RECORD."""

    def __init__(self, directory):
        self.project = project()
        self.name = f"qvec-{version()}-{tag()}.whl"
        self.info = f"qvec-{version()}.dist-info"
        self.record = []
        self.zip = zipfile.ZipFile(os.path.join(directory, self.name), "w", zipfile.ZIP_DEFLATED)

    def add(self, name, data, executable=False):
        entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = (0o100755 if executable else 0o100644) << 16
        self.zip.writestr(entry, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.record.append(f"{name},sha256={digest},{len(data)}")

    def add_file(self, name, path, executable=False):
        with open(path, "rb") as f:
            self.add(name, f.read(), executable)

    def finish(self):
        for name, text in info_files(self.project).items():
            self.add(f"{self.info}/{name}", text.encode())
        self.add_file(f"{self.info}/licenses/LICENSE", os.path.join(NATIVE, "LICENSE"))
        self.record.append(f"{self.info}/RECORD,,")
        self.zip.writestr(f"{self.info}/RECORD", "\n".join(self.record) + "\n")
        self.zip.close()
        return self.name


def info_files(p):
    scripts = "".join(f"{name} = {target}\n" for name, target in p["scripts"].items())
    return {"METADATA": metadata(p), "entry_points.txt": f"[console_scripts]\n{scripts}",
            "WHEEL": f"Wheel-Version: 1.0\nGenerator: qvec_backend\nRoot-Is-Purelib: false\nTag: {tag()}\n"}


def get_requires_for_build_wheel(config_settings=None):
    needs = [name for name in ("meson", "ninja") if not shutil.which(name)]
    return needs + (["tomli"] if sys.version_info < (3, 11) else [])


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    wheel = Wheel(wheel_directory)
    for name, path in package_files():
        wheel.add_file(name, path)
    for name, path in build_native().items():
        wheel.add_file(name, path, executable=name.endswith("/bin/qvec"))
    return wheel.finish()


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = os.path.join(metadata_directory, f"qvec-{version()}.dist-info")
    os.makedirs(folder)
    for name, text in info_files(project()).items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
    return os.path.basename(folder)


# An editable install is a path to this folder; the library is found in the build folder.
get_requires_for_build_editable = get_requires_for_build_wheel
prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    wheel = Wheel(wheel_directory)
    wheel.add("qvec.pth", HERE.encode() + b"\n")
    return wheel.finish()


# ---- sdists --------------------------------------------------------------------------------------------

def get_requires_for_build_sdist(config_settings=None):
    return ["tomli"] if sys.version_info < (3, 11) else []


def native_files():
    """Of the C tree, without what only tests need: those that git knows, or all in an unpacked sdist."""
    listed = subprocess.run(["git", "-C", NATIVE, "ls-files", "-z"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    names = listed.stdout.decode().split("\0")[:-1]
    if listed.returncode or not names:
        names = [os.path.relpath(os.path.join(where, name), NATIVE) for where, _, found in os.walk(NATIVE) for name in found]
    return sorted(name for name in names if not re.match(r"(tests|bench|python|docs|build[^/]*|\.[^/]*)/", name))


def build_sdist(sdist_directory, config_settings=None):
    root = f"qvec-{version()}"
    with tarfile.open(os.path.join(sdist_directory, root + ".tar.gz"), "w:gz", format=tarfile.PAX_FORMAT) as tar:
        def add(name, data):
            entry = tarfile.TarInfo(f"{root}/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        add("PKG-INFO", metadata(project()).encode())
        own = [("pyproject.toml", os.path.join(HERE, "pyproject.toml")), ("README.md", os.path.join(HERE, "README.md"))]
        native = [("native/" + name, os.path.join(NATIVE, name)) for name in native_files()]
        for name, path in [*own, *package_files(), *package_files("backend"), *native]:
            with open(path, "rb") as f:
                add(name, f.read())
    return root + ".tar.gz"
