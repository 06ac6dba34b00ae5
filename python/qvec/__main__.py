"""The program `qvec`, as a wheel brings it: `qvec serve`, `python -m qvec embed`."""
from __future__ import annotations

import os
import sys

from . import _native


def main() -> None:
    """Becomes the program."""
    places = (_native.PACKAGE / "bin" / "qvec", _native.PACKAGE.parents[1] / "build" / "qvec")
    for program in places:
        if program.exists():
            os.execv(program, ["qvec", *sys.argv[1:]])
    sys.exit("qvec: this package was installed without the program; `make install` brings it")


if __name__ == "__main__":
    main()
