"""Checks of time and memory run alone: a lock shared by all xdist workers keeps the others still."""

from __future__ import annotations

import contextlib
import fcntl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextlib.contextmanager
def turn(lock: Path | None, *, is_exclusive: bool) -> Iterator[Callable[[], object]]:
    """Hold the lock while an item runs: shared by ordinary items, exclusively by those that measure time or memory.

    The kernel releases it when a worker dies. ``lock`` is None where only one process runs. Yields a function that
    makes a shared turn an exclusive one, for checks of a project that are known only when their fixture was called.
    """
    if lock is None:
        yield lambda: None
        return
    with lock.open("a", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX if is_exclusive else fcntl.LOCK_SH)
        # The kernel gives up the shared lock first, so that two that wait for each other cannot block for ever.
        yield lambda: fcntl.flock(handle, fcntl.LOCK_EX)
