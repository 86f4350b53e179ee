"""What is known of a check before it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import Location

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_mle.records.quantity import QuantityDeclaration


@dataclass(frozen=True, slots=True)
class InputDeclaration:
    """One positional parameter of a check.

    ``kind`` is ``dataset``, ``model``, ``differentiable_model``, ``training_log``, ``predictions``, ``config``,
    ``record``, ``table``, ``project``, ``requirements``, ``results``, ``rng``, ``clock`` or ``progress``.
    """

    name: str
    kind: str
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class ParameterDeclaration:
    """One keyword-only parameter of a check: a key of the item's ``with:``."""

    name: str
    annotation: str
    default: Any
    is_required: bool


@dataclass(frozen=True, slots=True)
class CheckDeclaration:
    """A check: what it needs, what it measures and where it stands."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[InputDeclaration, ...]
    parameters: tuple[ParameterDeclaration, ...]
    quantities: Mapping[str, QuantityDeclaration] | None = None
    is_exclusive: bool = False
    is_derived: bool = False
    location: Location = field(default_factory=lambda: Location("?"))
    origin: str = "built in"

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Keys that ``with:`` may hold."""
        return tuple(parameter.name for parameter in self.parameters)
