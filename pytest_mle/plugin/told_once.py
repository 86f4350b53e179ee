"""Red items stand in our summary: pytest's sections FAILURES and ERRORS shall not tell them a second time."""

from __future__ import annotations

from typing import Any

CATEGORIES = ("failed", "error")


class ToldOnce:
    """Takes reports of checklist items out of what pytest's terminal is about to print in full.

    One with captured output stays: that is shown nowhere else.
    """

    def __init__(self, reporter: Any) -> None:
        self._reporter = reporter
        self._hidden: dict[str, list[Any]] = {}

    def hide(self) -> None:
        """Hide them, until :meth:`restore` gives them back for the counts of the last line."""
        if self._reporter is None or self._reporter.no_summary:
            return
        for category in CATEGORIES:
            reports = self._reporter.stats.get(category)
            if reports:
                self._hidden[category] = list(reports)
                reports[:] = [one for one in reports if getattr(one, "mle", None) is None or one.sections]

    def restore(self) -> None:
        """Give them back."""
        for category, reports in self._hidden.items():
            self._reporter.stats[category][:] = reports
        self._hidden.clear()
