"""What `make run` shows: the right pairs win, the right picture is first, and it is quick."""
import os
import re
import subprocess
import sys
import time

import harness

SECONDS = 15  # on a busy machine; alone it takes well under two


def session():
    start = time.monotonic()
    done = subprocess.run([sys.executable, os.path.join(harness.ROOT, "tools", "session.py"), harness.BUILD], capture_output=True,
                          text=True, cwd=harness.ROOT, timeout=60, check=True)
    assert done.stderr == "" and "\033" not in done.stdout
    return done.stdout, time.monotonic() - start


def test_session():
    text, seconds = session()
    assert seconds < SECONDS
    rows = [[float(c) for c in m] for m in re.findall(r"^  (?:What is|Explain).*?(-?\d\.\d{3}) +(-?\d\.\d{3})$", text, re.M)]
    assert len(rows) == 2 and min(rows[0][0], rows[1][1]) > max(rows[0][1], rows[1][0])
    scores = re.findall(r"^  (0\.\d{3}|1\.000)  (\w+)", text, re.M)
    assert [word for _, word in scores] == ["Gravity", "The"] and float(scores[0][0]) > float(scores[1][0])
    found = re.findall(r"^ +(\d+)  ([+-]\d\.\d{3})  █* +(\S+)$", text, re.M)
    assert [int(place) for place, _, _ in found] == list(range(1, 13))
    assert os.path.basename(found[0][2]) == "whales-boat.png"
    values = [float(score) for _, score, _ in found]
    assert values == sorted(values, reverse=True) and values[0] - values[1] > 0.1


def test_what_it_names_next(qvec):
    """The commands at its end can be run as they stand."""
    text, _ = session()
    commands = [line.split("  ")[0] for line in text.split("Next:")[1].strip().replace("\n  ", "\n").splitlines()]
    assert [c.split()[1] for c in commands] == ["embed", "serve", "verify"]
    done = subprocess.run(commands[0], shell=True, cwd=harness.ROOT, capture_output=True, check=True)
    assert done.stdout.count(b'"embedding"') == 2
