"""``${NAME}`` and ``${NAME:-default}`` in paths and input options."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_mle.yaml_with_lines import LocatedList, LocatedMapping, resolve_scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mle.errors import Location
    from pytest_mle.spec.problems import Problems

_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{(?P<rest>[^}]*)\}?")


class Interpolation:
    """Fills in environment variables and keeps account of what they put in.

    Parameters
    ----------
    environment
        Names to values, as in ``os.environ``.
    problems
        Takes unset variables and broken references.
    """

    def __init__(self, environment: Mapping[str, str], problems: Problems) -> None:
        self.environment = environment
        self.problems = problems
        self.used: dict[str, Any] = {}

    def text(self, text: str, key: str, location: Location) -> str:
        """Fill in one text; ``key`` is the dotted key it is recorded under. ``$${`` stands for ``${``."""
        if "${" not in text:
            return text
        taken: list[str] = []

        def replace(found: re.Match[str]) -> str:
            if found[0] == "$${":
                return "${"
            name = found["name"]
            if name is None:
                self.problems.add(location, f"cannot read {found[0]!r}: write ${{NAME}} or ${{NAME:-default}}")
                return ""
            value = self.environment.get(name)
            if value:
                taken.append(name)
                return value
            if found["default"] is None:
                state = "is not set" if value is None else "is empty"
                self.problems.add(
                    location,
                    f"the environment variable {name} {state} and has no default. "
                    f"Set it, or write ${{{name}:-default}}",
                )
            return found["default"] or ""

        filled = _VARIABLE.sub(replace, text)
        if taken:
            self.used[key] = filled
        return filled

    def tree(self, value: Any, key: str, location: Location) -> Any:
        """Fill in all texts below ``value`` and return plain dicts and lists.

        A text that is nothing but one variable takes the type of what was filled in (``batch_size: ${BATCH:-16}`` is
        a number), except under ``path``.
        """
        if isinstance(value, LocatedMapping):
            return {one: self.tree(inner, f"{key}.{one}", value.place(one)) for one, inner in value.items()}
        if isinstance(value, LocatedList):
            return [self.tree(inner, f"{key}.{i}", value.place(i)) for i, inner in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        filled = self.text(value, key, location)
        whole = _VARIABLE.fullmatch(value)
        if whole is None or whole["name"] is None or key.endswith("path"):
            return filled
        typed = resolve_scalar(filled)
        if key in self.used:
            self.used[key] = typed
        return typed
