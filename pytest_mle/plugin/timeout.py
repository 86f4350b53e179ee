"""End a check that hangs: an exception first, and if that does not help, the process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from pytest_mle.errors import MleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

GRACE_S = 20.0


class ItemTimeoutError(MleError):
    """A check ran longer than its item allows."""


@contextlib.contextmanager
def time_limit(seconds: float | None, on_hang: Callable[[str], None]) -> Iterator[None]:
    """Raise :class:`ItemTimeoutError` in the running check after ``seconds``.

    A check that hangs inside a C call does not see the exception. After a grace time its process is ended, with
    ``on_hang`` called first to save the results so far.
    """
    if seconds is None:
        yield
        return
    message = f"the check ran longer than its timeout of {seconds:g} s"
    watchdog = threading.Timer(seconds + GRACE_S, _end_process, (message, on_hang))
    watchdog.daemon = True
    watchdog.start()
    in_main_thread = threading.current_thread() is threading.main_thread()

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise ItemTimeoutError(message)

    previous = signal.signal(signal.SIGALRM, interrupt) if in_main_thread else None
    if in_main_thread:
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        watchdog.cancel()
        if in_main_thread:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)


def _end_process(message: str, on_hang: Callable[[str], None]) -> None:
    sys.stderr.write(f"\npytest-mle: {message} and does not react; ending the process\n")
    try:
        on_hang(message)
    finally:
        os._exit(1)
