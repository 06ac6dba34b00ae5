"""Progress bars: tqdm's when it is installed, else a line of our own."""
from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any


class _Plain:
    """As much of tqdm as is needed here, on stderr."""

    WIDTH, SECONDS = 24, 0.1

    def __init__(self, total: int, desc: str, unit: str = "it", postfix: str = "") -> None:
        self.total, self.desc, self.unit, self.postfix, self.n = total, desc, unit, postfix, 0
        self._start = time.monotonic()
        self._shown = 0.0
        self._show()

    def update(self, n: int) -> None:
        self.n += n
        if time.monotonic() - self._shown >= self.SECONDS:
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        seconds = self._shown - self._start
        share = self.n / self.total if self.total else 1.0
        done = round(share * self.WIDTH)
        rate = self.n / seconds if seconds > 0 else 0.0
        sys.stderr.write(f"\r{self.desc}: {share:4.0%}|{'#' * done}{'-' * (self.WIDTH - done)}| {self.n}/{self.total} "
                         f"[{seconds:.1f} s, {rate:.2f} {self.unit}/s{', ' if self.postfix else ''}{self.postfix}]")
        sys.stderr.flush()

    def close(self) -> None:
        self._show()
        sys.stderr.write("\n")
        sys.stderr.flush()


class Bar:
    """One bar; a context. `total` None or `wanted` false: no bar."""

    def __init__(self, wanted: bool, total: int, desc: str, unit: str = "it", postfix: str = "") -> None:
        self._bar: Any = None
        self._desc, self._start = desc, time.monotonic()
        if not wanted:
            return
        try:
            from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
        except ImportError:
            self._bar = _Plain(total, desc, unit, postfix)
        else:
            self._bar = tqdm(total=total, desc=desc, unit=unit, postfix=postfix or None, dynamic_ncols=True)
            self._bar.postfix = postfix

    def at(self, finished: int) -> None:
        """So many are done, all in all."""
        if self._bar is not None and finished > self._bar.n:
            self._bar.update(finished - self._bar.n)

    def watch(self, finished: int, tokens: int) -> None:
        """As Model's calls want it."""
        if self._bar is not None:
            seconds = max(time.monotonic() - self._start, 1e-9)
            self._bar.postfix = f"est. speed input: {tokens / seconds:.2f} toks/s, output: 0.00 toks/s"
        self.at(finished)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
