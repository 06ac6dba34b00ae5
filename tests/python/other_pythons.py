#!/usr/bin/env python3
"""The oldest and the newest CPython from 3.9 on that this machine has, beside the one that runs the tests.

    other_pythons.py FOLDER      installs what the tests need for each of them into FOLDER/packages-X.Y, which `make test` does once
"""
import glob
import os
import re
import subprocess
import sys

OLDEST = (3, 9)
# pip judges the conditions in packages' needs by the Python that it runs under: what only older ones need is named here.
PACKAGES, OLDER = ("numpy", "pillow", "pytest"), ("exceptiongroup", "tomli", "typing_extensions")


def version_of(python):
    done = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False)
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else (0, 0)


def find():
    """{(3, 9): path}, at most two."""
    found = {}
    for folder in (os.path.expanduser("~/.pyenv/versions/3.*/bin"), "/usr/local/bin", "/usr/bin"):
        for path in glob.glob(os.path.join(folder, "python3*")):
            if re.fullmatch(r"python3(\.\d+)?", os.path.basename(path)) and os.access(path, os.X_OK):
                found.setdefault(version_of(path), path)
    others = {v: path for v, path in found.items() if v >= OLDEST and v != sys.version_info[:2]}
    return {v: others[v] for v in {min(others), max(others)}} if others else {}


def packages_folder(folder, version):
    return os.path.join(folder, "packages-%d.%d" % version)


def main():
    for version, python in find().items():
        packages = [*PACKAGES, *(OLDER if version < (3, 11) else ())]
        print(f"{', '.join(packages)} for {python}")
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:",
                        "--python-version", "%d.%d" % version, "--target", packages_folder(sys.argv[1], version), *packages], check=False)


if __name__ == "__main__":
    main()
