#!/usr/bin/env python3
"""Copies every library that a wheel needs into it: `auditwheel repair --strip` with a shorter list of what may stay outside.

    tools/repair_wheel.py [options of auditwheel repair] WHEEL

auditwheel leaves out what its policy expects on every desktop: X11, GLib, zlib, expat. A server or a container has no X11
and no GLib, and Debian's libav needs both; worse, its libgio would come along and meet a libglib of another version. So
only the C library's own parts stay outside, and GCC's two run-time libraries: numpy, which the package needs, needs them
anyway, and two copies of libstdc++ in one process do not get along."""
import json
import sys
import tempfile
from pathlib import Path

from auditwheel import policy
from auditwheel.libc import Libc
from auditwheel.main import main as auditwheel

OUTSIDE = {"libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "libresolv.so.2", "librt.so.1", "libutil.so.1",
           "libgcc_s.so.1", "libstdc++.so.6"}


def stays_outside(name):
    return name in OUTSIDE or name.startswith(("ld-linux", "ld64", "ld."))


def main():
    policies = json.loads(policy._POLICY_JSON_MAP[Libc.GLIBC].read_text(encoding="utf-8"))
    for one in policies:
        one["lib_whitelist"] = list(filter(stays_outside, one["lib_whitelist"]))
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as f:
        json.dump(policies, f)
        f.flush()
        policy._POLICY_JSON_MAP[Libc.GLIBC] = Path(f.name)
        sys.argv = ["auditwheel", "repair", "--strip", *sys.argv[1:]]
        return auditwheel()


if __name__ == "__main__":
    sys.exit(main())
