"""Checks of time and memory run alone: a lock shared by all xdist workers keeps the others still."""

from __future__ import annotations

import contextlib
import fcntl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextlib.contextmanager
def turn(lock: Path | None) -> Iterator[Callable[[], object]]:
    """Hold the lock while an item runs, shared with the other workers; ``lock`` is None where only one process runs.

    Yields a function that makes the turn an exclusive one. It is called when the fixture of the item's check has been
    called, because only then is it known what kind of check a project's fixture returns. The kernel releases the lock
    when a worker dies.
    """
    if lock is None:
        yield lambda: None
        return
    with lock.open("a", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        # The kernel gives up the shared lock first, so that two that wait for each other cannot block for ever.
        yield lambda: fcntl.flock(handle, fcntl.LOCK_EX)
