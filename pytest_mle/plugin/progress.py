"""Progress of long checks: a bar on a terminal, a plain line now and then in CI."""

from __future__ import annotations

import time
from typing import Any

SILENT_S = 2.0
LINE_EVERY_S = 15.0
BAR_EVERY_S = 0.2
WIDTH = 24


class TerminalProgress:
    """Writes past pytest's capture, through its terminal writer; silent in xdist workers, which have no terminal."""

    def __init__(self, reporter: Any | None) -> None:
        self._reporter = reporter
        self._label = ""
        self._begin = 0.0
        self._shown = 0.0
        self._has_bar = False

    def start(self, label: str) -> None:
        """Begin the next item."""
        self._label = label
        self._begin = self._shown = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps are done, not more often than a reader can follow."""
        now = time.monotonic()
        if self._reporter is None or now - self._begin < SILENT_S:
            return
        is_terminal = bool(getattr(self._reporter, "isatty", False))
        if now - self._shown < (BAR_EVERY_S if is_terminal else LINE_EVERY_S):
            return
        self._shown = now
        text = f"{self._label}: {done} of {total} ({100 * done // max(total, 1)} %)"
        if is_terminal:
            filled = WIDTH * done // max(total, 1)
            self._reporter.rewrite(f"[{'#' * filled}{'.' * (WIDTH - filled)}] {text}", erase=True)
            self._has_bar = True
        else:
            self._reporter.ensure_newline()
            self._reporter.write_line(text)

    def finish(self) -> None:
        """Remove the bar."""
        if self._has_bar and self._reporter is not None:
            self._reporter.rewrite("", erase=True)
            self._has_bar = False
