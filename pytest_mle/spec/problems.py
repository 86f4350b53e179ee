"""All that is wrong with a spec, gathered in one pass so that it can be mended in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.errors import CollectedSpecError, Location, SpecError

if TYPE_CHECKING:
    from collections.abc import Callable


class Problems:
    """Spec errors in the order in which they were found, each once."""

    def __init__(self) -> None:
        self._errors: dict[str, SpecError] = {}

    def __len__(self) -> int:
        return len(self._errors)

    def add(self, location: Location | None, message: str) -> None:
        """Note one error."""
        error = SpecError(message, location)
        self._errors.setdefault(str(error), error)

    def take(self, error: SpecError) -> None:
        """Note an error that was raised, or all those that it collects."""
        for one in error.errors if isinstance(error, CollectedSpecError) else (error,):
            self._errors.setdefault(str(one), one)

    def messages(self) -> list[str]:
        """Return the errors as they are shown."""
        return list(self._errors)

    def raise_if_any(self, rank: Callable[[str], int] = lambda _: 0) -> None:
        """Raise everything found, sorted by file (``rank`` of its path) and line.

        Raises
        ------
        CollectedSpecError
            If there is any error.
        """
        if not self._errors:
            return
        errors = list(self._errors.values())
        errors.sort(key=lambda error: _order(error.location, rank))
        raise CollectedSpecError(errors)


def _order(location: Location | None, rank: Callable[[str], int]) -> tuple[int, str, int]:
    return (0, "", 0) if location is None else (rank(location.path), location.path, location.line or 0)
