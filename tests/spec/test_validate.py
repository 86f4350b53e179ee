"""Parameters and inputs against a check's signature."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from pytest_mle.records.check import CheckDeclaration, InputDeclaration, ParameterDeclaration
from pytest_mle.spec.validate import Declared, missing_inputs, parameter_problems

if TYPE_CHECKING:
    from decimal import Decimal  # a name that does not exist at run time


class Clock:
    """A class without schema."""


@dataclasses.dataclass
class Callable:
    """A check that is an object, with a name as functions have one."""

    __name__: str = "callable"

    def __call__(self, *, value: int) -> None:
        """Measure nothing."""


def annotated(*, value: Decimal = 0, other: Missing = 1) -> None:  # type: ignore[assignment] # noqa: F821
    """Have annotations that cannot be resolved."""


def declare(function, **annotations):
    """Declare keyword-only parameters."""
    return CheckDeclaration(
        function.__name__,
        function,
        (),
        tuple(ParameterDeclaration(name, text, None, is_required=False) for name, text in annotations.items()),
    )


def make(annotation):
    """Return a check with one parameter of that annotation."""

    def measure() -> None:
        """Take no part."""

    measure.__annotations__["value"] = annotation
    return declare(measure, value=annotation)


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("int", [0, -3, 10**12], ["7", 7.5, True, None, [7]]),
        ("float", [0, 0.5, 1e-7], ["0.5", True, None]),
        ("bool", [True, False], [0, 1, "true", "yes"]),
        ("str", ["x", ""], [7, True, None, ["x"]]),
        ("int | None", [7, None], ["7", 7.5]),
        ("Literal['a', 'b']", ["a"], ["c", 7]),
        ("Sequence[float]", [[], [1, 2.5]], ["12", [1, "2"], 7]),
        ("tuple[float, float]", [[0, 1]], [[0], [0, 1, 2], ["0", 1]]),
        ("list[str]", [["a"]], ["a", [1]]),
        ("Mapping[str, float]", [{"a": 1}], [{"a": "1"}, [1]]),
        ("dict[str, list[int]]", [{"a": [1]}], [{"a": 1}]),
        ("Any", [7, "x", None, [1]], []),
    ],
)
def test_values_are_strict(annotation, good, bad):
    """Text is no number, a number is no text, 0 is not false; a list stands for a tuple."""
    check = make(annotation)
    for value in good:
        assert parameter_problems(check, {"value": value}) == ({}, []), value
    for value in bad:
        wrong, _ = parameter_problems(check, {"value": value})
        assert wrong["value"].startswith("value"), value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_must_be_finite(value):
    """No check gets a NaN as its parameter."""
    assert parameter_problems(make("float"), {"value": value})[0] == {"value": f"value must be finite, got {value}"}


def test_annotations_for_type_checkers_only_are_left_to_the_run():
    """What cannot be resolved cannot be judged, and does not stop a spec."""
    check = declare(annotated, value="Decimal", other="Missing")
    assert parameter_problems(check, {"value": "x", "other": "y"}) == ({}, [])


def test_types_that_pydantic_does_not_know_are_left_to_the_run():
    """A check may take a class of its own."""

    def measure(*, value: Clock) -> None:
        """Take a class."""

    assert parameter_problems(declare(measure, value="Clock"), {"value": 3}) == ({}, [])


def test_checks_need_not_be_hashable():
    """A callable object with equality serves as a check."""
    check = declare(Callable(), value="int")
    assert parameter_problems(check, {"value": 3}) == ({}, [])
    assert parameter_problems(check, {"value": "3"})[0] == {"value": "value must be an integer, got '3'."}


def test_optional_inputs_are_not_owed():
    """A check can say that it does without; naming one that is not declared is still owed."""
    check = CheckDeclaration("c", print, (InputDeclaration("reference", "dataset", is_optional=True),), ())
    nothing = Declared({}, {}, has_requirements=False)
    assert missing_inputs(check, {}, nothing) == []
    assert missing_inputs(check, {"reference": "train"}, nothing) == [
        "the dataset 'train' is not declared under inputs.datasets"
    ]
