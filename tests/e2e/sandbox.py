"""The walls of deploy/qvec.service around a program, made of one system call filter: its list of calls, its address families,
no memory that is written and executed, and, as a filter sees no paths, no file opened for writing or made."""
import ctypes
import os
import platform
import re
import shutil
import struct
import subprocess
import sys

import pytest

import harness

DEPLOY = os.path.join(harness.ROOT, "deploy")
NUMBERS = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze (Debian package systemd) is not installed")
filtered = pytest.mark.skipif(platform.machine() != "x86_64", reason="the filter is written for x86-64 here")


def read(*path):
    with open(os.path.join(DEPLOY, *path), encoding="utf-8") as f:
        return f.read()


def unit_values(name):
    return re.findall(rf"^{name}=(.*)$", read("qvec.service"), re.MULTILINE)


LOAD, EQUAL, ANY, AND, RETURN = 0x20, 0x15, 0x45, 0x54, 0x06
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
EPERM, EROFS, EAFNOSUPPORT = 1, 30, 97
X86_64, EXECUTE, WRITE_EXECUTE = 0xC000003E, 4, 6
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
MAKES = ("creat", "mkdir", "mkdirat", "mknod", "mknodat", "symlink", "symlinkat", "link", "linkat", "rename", "renameat", "renameat2")
NO_NEW_PRIVILEGES, SECCOMP_MODE, FILTER = 38, 22, 2


def calls_of_group(name):
    text = subprocess.run(["systemd-analyze", "syscall-filter", name], stdout=subprocess.PIPE, timeout=60, check=True).stdout.decode()
    for word in re.findall(r"^    (@?\w[\w-]*)$", text, re.MULTILINE):
        yield from calls_of_group(word) if word.startswith("@") else [word]


def allowed_numbers():
    with open(NUMBERS, encoding="ascii") as f:
        numbers = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", f.read())}
    names = set(calls_of_group("@default"))  # is always allowed
    for word in " ".join(unit_values("SystemCallFilter")).split():
        assert not word.startswith("~")
        names |= set(calls_of_group(word)) if word.startswith("@") else {word}
    return numbers, {numbers[name] for name in names if name in numbers}  # other machines have other calls too


def argument(i):
    return 16 + 8 * i  # its low half, in struct seccomp_data


def refuse(error):
    return RETURN, 0, 0, ERRNO | error


def block(number, ops):
    """ops, which always return, for this call alone. The accumulator holds the call's number before and behind."""
    return [(EQUAL, 0, len(ops), number), *ops]


def program():
    """As systemd makes it: what is not listed fails with EPERM. A library below libav tries to place memory when it is
    loaded, and does without."""
    numbers, allowed = allowed_numbers()
    ops = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, X86_64), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    for name, mask in (("mmap", WRITE_EXECUTE), ("mprotect", EXECUTE)):
        ops += block(numbers[name], [(LOAD, 0, 0, argument(2)), (AND, 0, 0, mask), (EQUAL, 0, 1, mask), refuse(EPERM), (RETURN, 0, 0, ALLOW)])
    families = [FAMILIES[name] for name in unit_values("RestrictAddressFamilies")[0].split()]
    tests = [(EQUAL, len(families) - i, 0, family) for i, family in enumerate(families)]
    ops += block(numbers["socket"], [(LOAD, 0, 0, argument(0)), *tests, refuse(EAFNOSUPPORT), (RETURN, 0, 0, ALLOW)])
    for name, flags in (("open", 1), ("openat", 2)):
        ops += block(numbers[name], [(LOAD, 0, 0, argument(flags)), (ANY, 0, 1, WRITES), refuse(EROFS), (RETURN, 0, 0, ALLOW)])
    for name in MAKES:
        ops += block(numbers[name], [refuse(EROFS)])
    for number in sorted(allowed):
        ops += block(number, [(RETURN, 0, 0, ALLOW)])
    ops.append(refuse(EPERM))
    return b"".join(struct.pack("HBBI", *op) for op in ops)


def put_under(filter_bytes):
    """For preexec_fn: this process, and what it becomes."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(filter_bytes)

    def enter():
        head = struct.pack("HxxxxxxP", len(filter_bytes) // 8, ctypes.addressof(code))
        if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(SECCOMP_MODE, FILTER, ctypes.c_char_p(head), 0, 0):
            os._exit(99)
    return enter


def walled(folder):
    """The path of a program that becomes qvec behind the walls, for those who want a path."""
    code, path = os.path.join(folder, "filter"), os.path.join(folder, "walled")
    with open(code, "wb") as f:
        f.write(program())
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\nPYTHONPATH={os.path.dirname(harness.__file__)} exec {sys.executable} {os.path.abspath(__file__)} {code} {harness.QVEC} \"$@\"\n")
    os.chmod(path, 0o700)
    return path


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as given:
        put_under(given.read())()
    os.execv(sys.argv[2], sys.argv[2:])
