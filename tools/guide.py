#!/usr/bin/env python3
"""Runs every block of docs/GUIDE.md and compares what it prints with what the page shows.

    tools/guide.py [--build build] [--update]       --update: writes the page anew with what was printed

The commands run as they stand, in one shell, in a folder of their own with examples/ beside it. The names of published
models lead to the built-in ones, through a hub cache made for it, and ports 8000 and 8001 to free ones.

    ```python           a file, named by its first line: # offline.py
    ```console          `$ command` (over several lines while a quote is open), then its output
    ```console timing   the same, but the numbers are free: only words and layout must agree

Numbers elsewhere may differ by 1e-4, relative or absolute. A command that ends in & is a server: it goes on until the end
of the page or `kill %N`, and its output up to the line that says where it serves is what the page shows.
"""
import argparse
import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs", "GUIDE.md")
MODELS = {"Qwen/Qwen3-VL-Embedding-2B": "mini", "Qwen/Qwen3-VL-Reranker-2B": "mini-reranker"}
NUMBER = re.compile(r"[-+]?\d+(?:[.,:]\d+)*(?:e[-+]?\d+)?", re.IGNORECASE)
BLOCK = re.compile(r"^```(python|console)( timing)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOLERANCE = 1e-4
PORTS = ("8000", "8001")
PATIENCE = 120  # seconds for one command


class Mismatch(Exception):
    """The page and the program disagree."""


def is_whole(command):
    """Whether a shell would run it rather than ask for more."""
    try:
        shlex.split(command)
    except ValueError:
        return False
    return not command.endswith("\\")


def steps_of(text):
    """[(command, output shown)]"""
    steps, lines = [], text.splitlines()
    while lines:
        if not lines[0].startswith("$ "):
            raise Mismatch(f"a console block has output before its first command: {lines[0]}")
        command = lines.pop(0)[2:]
        while not is_whole(command) and lines:
            command += "\n" + lines.pop(0)
        shown = []
        while lines and not lines[0].startswith("$ "):
            shown.append(lines.pop(0))
        steps.append((command, "\n".join(shown)))
    return steps


def split_numbers(text):
    """(the text with its numbers taken out, the numbers)"""
    return NUMBER.sub("#", text), [n.replace(",", "") for n in NUMBER.findall(text)]


def is_near(a, b):
    try:
        x, y = float(a), float(b)
    except ValueError:  # a version or a time of day
        return a == b
    return abs(x - y) <= TOLERANCE * max(1.0, abs(x))


def layout(text, timing):
    """What must agree of the words: with free numbers their widths are free too, and so are rules and bars."""
    return re.sub(r"[ =█▏▎▍▌▋▊▉-]+", " ", text).strip() if timing else text


def difference(shown, printed, timing):
    """None, or what is not as it should be."""
    (words, numbers), (printed_words, printed_numbers) = split_numbers(shown), split_numbers(printed)
    if layout(words, timing) != layout(printed_words, timing):
        return "the words differ"
    for a, b in zip(numbers, printed_numbers):
        if not timing and not is_near(a, b):
            return f"{b} instead of {a}"
    return None


def free_ports(count):
    """As text; all different, because all are held until the last is found."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [str(s.getsockname()[1]) for s in sockets]


class Shell:
    """One bash whose commands run one after another; servers beside it."""

    def __init__(self, build, folder):
        self.folder = folder
        self.ports = dict(zip(PORTS, free_ports(len(PORTS))))
        programs = os.path.join(folder, ".bin")
        os.makedirs(programs)
        os.symlink(os.path.join(build, "qvec"), os.path.join(programs, "qvec"))
        os.symlink(sys.executable, os.path.join(programs, "python3"))
        os.symlink(os.path.join(ROOT, "examples"), os.path.join(folder, "examples"))
        self.make_hub(build)
        # Through a link the interpreter does not find its venv.
        with_python = os.pathsep.join(filter(None, [os.path.join(ROOT, "python"), *sys.path[1:]]))
        self.environment = {**os.environ, "PATH": programs + os.pathsep + os.environ["PATH"], "HF_HOME": os.path.join(folder, ".hub"),
                            "PYTHONPATH": with_python, "QVEC_LIBRARY": os.path.join(build, "src", "libqvec.so.0"), "LC_ALL": "C.UTF-8"}
        self.bash = subprocess.Popen(["bash", "--norc", "--noprofile"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True, env=self.environment)
        self.servers = []

    def make_hub(self, build):
        for name, folder in MODELS.items():
            place = os.path.join(self.folder, ".hub", "hub", "models--" + name.replace("/", "--"))
            os.makedirs(os.path.join(place, "refs"))
            os.makedirs(os.path.join(place, "snapshots"))
            with open(os.path.join(place, "refs", "main"), "w", encoding="ascii") as f:
                f.write("0" * 40)
            os.symlink(os.path.join(build, "models", folder), os.path.join(place, "snapshots", "0" * 40))

    def here(self, command):
        """The page's command for this machine."""
        return re.sub(r"\b(?:%s)\b" % "|".join(PORTS), lambda found: self.ports[found[0]], command)

    def as_shown(self, text):
        for shown, port in self.ports.items():
            text = text.replace(port, shown)
        return text.replace(self.folder, "~").rstrip("\n")

    def run(self, command):
        if command.endswith("&"):
            return self.start(command)
        if re.fullmatch(r"kill %\d+", command):
            return self.stop(int(command[6:]) - 1)
        mark = "----end-of-command"
        self.bash.stdin.write(f"{self.here(command)}\necho; echo {mark} $?\n")
        self.bash.stdin.flush()
        lines = []
        for line in self.bash.stdout:
            if line.startswith(mark):
                break
            lines.append(line)
        else:
            raise Mismatch(f"the shell ended at: {command}\n{''.join(lines)}")
        return self.as_shown("".join(lines)[:-1])  # without the line of our own echo

    def start(self, command):
        command = self.here(command[:-1].strip())
        if "--port" not in command:
            command += f" --port {self.ports[PORTS[0]]}"
        server = subprocess.Popen(["bash", "-c", "exec " + command], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, env=self.environment)
        self.servers.append(server)
        lines = []
        for line in server.stdout:
            lines.append(line)
            if " serves " in line:
                break
        else:
            raise Mismatch(f"no server came up: {command}\n{''.join(lines)}")
        subprocess.Popen(["cat"], stdin=server.stdout, stdout=subprocess.DEVNULL)  # its log must not fill the pipe
        return self.as_shown("".join(lines))

    def stop(self, index):
        self.servers[index].terminate()
        self.servers[index].wait(timeout=PATIENCE)
        return ""

    def close(self):
        self.bash.stdin.close()
        self.bash.wait(timeout=PATIENCE)
        for server in self.servers:
            server.terminate()
            server.wait(timeout=PATIENCE)


def write_file(folder, text):
    name = re.match(r"# (\w+\.py)\n", text)
    if not name:
        raise Mismatch("a python block does not begin with the name of its file")
    with open(os.path.join(folder, name[1]), "w", encoding="utf-8") as f:
        f.write(text)


def run_page(page, build, folder):
    """The page with what its commands printed, and [what differs]."""
    shell, problems, out, done = Shell(build, folder), [], [], 0
    try:
        for block in BLOCK.finditer(page):
            kind, timing, text = block[1], bool(block[2]), block[3]
            out.append(page[done:block.start(3)])
            done = block.end(3)
            if kind == "python":
                write_file(folder, text)
                out.append(text)
                continue
            for command, shown in steps_of(text):
                printed = shell.run(command)
                wrong = difference(shown, printed, timing)
                if wrong:
                    problems.append(f"$ {command}\n{wrong}\nthe page shows:\n{shown}\nprinted was:\n{printed}\n")
                out.append(f"$ {command}\n" + (printed + "\n" if printed else ""))
    finally:
        shell.close()
    return "".join(out) + page[done:], problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--update", action="store_true", help="write what was printed into the page")
    options = parser.parse_args()
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    folder = os.path.realpath(tempfile.mkdtemp(prefix="qvec-guide-"))
    try:
        new, problems = run_page(page, os.path.abspath(options.build), folder)
    except Mismatch as e:
        sys.exit(str(e))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.update:
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(new)
        print(f"{PAGE}: {len(problems)} outputs changed")
    elif problems:
        sys.exit("\n".join(problems) + f"{len(problems)} commands of docs/GUIDE.md print something else than it shows; tools/guide.py --update")


if __name__ == "__main__":
    main()
