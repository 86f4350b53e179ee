"""End a check that hangs: an exception first, and if that does not help, the process."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from pytest_mle.errors import MleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

GRACE_S = 20.0


class ItemTimeoutError(MleError):
    """A check ran longer than its item allows."""


@contextlib.contextmanager
def time_limit(seconds: float | None, on_hang: Callable[[str], None], stderr: int = 2) -> Iterator[None]:
    """Raise :class:`ItemTimeoutError` in the running check after ``seconds``.

    A check that swallows the exception, or hangs inside a C call and never sees it, gets a grace time; then its
    process is ended, with ``on_hang`` called first to save the results so far. One that also keeps the interpreter
    locked leaves no thread to call it: after twice the grace time the process is ended without.

    Parameters
    ----------
    seconds
        The limit; None sets none.
    on_hang
        Called with the reason in a thread of its own.
    stderr
        Where the last words go: pytest captures the standard one while a check runs.
    """
    if seconds is None:
        yield
        return
    message = f"the check ran longer than its timeout of {seconds:g} s"
    watchdog = threading.Timer(seconds + GRACE_S, _end_process, (message, on_hang, stderr))
    watchdog.daemon = True
    watchdog.start()
    faulthandler.dump_traceback_later(seconds + 2 * GRACE_S, exit=True, file=stderr)
    try:
        with _alarm(seconds, message) if _takes_signals() else contextlib.nullcontext():
            yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        watchdog.cancel()


@contextlib.contextmanager
def _alarm(seconds: float, message: str) -> Iterator[None]:
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise ItemTimeoutError(message)

    previous = signal.signal(signal.SIGALRM, interrupt)
    begin = time.monotonic()
    waiting, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        if waiting:  # pytest-timeout's alarm around the whole test goes on where it stood
            signal.setitimer(signal.ITIMER_REAL, max(waiting - (time.monotonic() - begin), 0.001))


def _takes_signals() -> bool:
    return threading.current_thread() is threading.main_thread()


def _end_process(message: str, on_hang: Callable[[str], None], stderr: int) -> None:
    try:
        with contextlib.suppress(OSError):
            os.write(stderr, f"\npytest-mle: {message} and does not react; ending the process\n".encode())
        on_hang(message)
    finally:
        os._exit(1)
