"""The `check` decorator: how a function tells what it needs and what it measures."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_mle.errors import CheckError, Location
from pytest_mle.records.check import CheckDeclaration, InputDeclaration, ParameterDeclaration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_mle.records.quantity import QuantityDeclaration

F = TypeVar("F", bound="Callable[..., Any]")

# The last word of an input's annotation says its kind, so that nothing has to be imported to read it.
INPUT_KINDS = {
    "Dataset": "dataset",
    "Model": "model",
    "DifferentiableModel": "differentiable_model",
    "TrainingLog": "training_log",
    "Predictions": "predictions",
    "DetectionPredictions": "predictions",
    "ClassificationPredictions": "predictions",
    "Config": "config",
    "Project": "project",
    "Record": "record",
    "Table": "table",
    "Requirements": "requirements",
    "Results": "results",
    "Generator": "rng",
    "Clock": "clock",
    "Progress": "progress",
}


def check(
    *,
    quantities: Mapping[str, QuantityDeclaration] | None = None,
    exclusive: bool = False,
    derived: bool = False,
) -> Callable[[F], F]:
    """Declare a function as a check.

    Positional parameters are inputs (their annotation gives the kind, their name is what ``using:`` binds),
    keyword-only ones are the item's ``with:``.

    Parameters
    ----------
    quantities
        Name to declaration of everything it measures; None leaves checking to the run.
    exclusive
        It measures time or memory: nothing else may run beside it.
    derived
        It judges other items' results and runs after them.
    """

    def decorate(function: F) -> F:
        function.__mle_check__ = declare(  # type: ignore[attr-defined]
            function, quantities=quantities, exclusive=exclusive, derived=derived
        )
        return function

    return decorate


def declaration_of(function: Callable[..., Any], name: str | None = None) -> CheckDeclaration:
    """Return a check's declaration; an undecorated callable is declared by its signature alone."""
    declared: CheckDeclaration | None = getattr(function, "__mle_check__", None)
    if declared is None:
        return declare(function, name=name)
    if declared.function is function:
        return declared
    # functools.wraps copies the declaration of what it wraps: the wrapper is what must run, and be named.
    return replace(declared, function=function, location=_location(function))


def declare(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    quantities: Mapping[str, QuantityDeclaration] | None = None,
    exclusive: bool = False,
    derived: bool = False,
) -> CheckDeclaration:
    """Read a function's signature into a declaration."""
    inputs: list[InputDeclaration] = []
    parameters: list[ParameterDeclaration] = []
    called: str = name or str(getattr(function, "__name__", type(function).__name__))
    for parameter in inspect.signature(function).parameters.values():
        has_default = parameter.default is not parameter.empty
        if parameter.kind is parameter.KEYWORD_ONLY:
            parameters.append(
                ParameterDeclaration(
                    parameter.name,
                    "Any" if parameter.annotation is parameter.empty else str(parameter.annotation),
                    parameter.default if has_default else None,
                    not has_default,
                )
            )
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            inputs.append(InputDeclaration(parameter.name, _input_kind(parameter, called), has_default))
    return CheckDeclaration(
        name=called,
        function=function,
        inputs=tuple(inputs),
        parameters=tuple(parameters),
        quantities=quantities,
        is_exclusive=exclusive,
        is_derived=derived,
        location=_location(function),
    )


def _location(function: Callable[..., Any]) -> Location:
    code = getattr(function, "__code__", None)
    return Location("?") if code is None else Location(code.co_filename, code.co_firstlineno)


def _input_kind(parameter: inspect.Parameter, check_name: str) -> str:
    annotation = parameter.annotation
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    for word in reversed(re.findall(r"[A-Za-z_]+", text)):
        if word in INPUT_KINDS:
            return INPUT_KINDS[word]
    if parameter.name in ("rng", "clock", "progress", *INPUT_KINDS.values()):
        return parameter.name
    raise CheckError(
        f"check {check_name}: cannot tell what kind of input {parameter.name!r} is. Annotate it with one of "
        f"{', '.join(sorted(INPUT_KINDS))}, or make it keyword-only if it is a parameter."
    )
