"""How a long check says how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then with the steps done and the steps there are; never from two threads at once."""

    def __call__(self, done: int, total: int) -> None:
        """Tell how far the work is."""
        ...


def no_progress(done: int, total: int) -> None:
    """Listen to nothing."""
