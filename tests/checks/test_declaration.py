"""The check decorator: what it reads from a signature, and what it refuses."""

from __future__ import annotations

import functools
from importlib import import_module

import pytest

from pytest_mle.checks.catalogue import BUILT_IN, built_in_check
from pytest_mle.checks.declaration import check, declaration_of
from pytest_mle.errors import CheckError
from pytest_mle.records.quantity import exact


@check(quantities={"errors": exact("1")}, exclusive=True)
def example(model: DifferentiableModel, dataset: pkg.Dataset, rng, *, epsilon: float = 0.01, steps: int):  # noqa: F821
    """Measure nothing."""


def test_signature_is_read():
    """Positional parameters are inputs by the last word of their annotation, keyword-only ones are parameters."""
    declared = declaration_of(example)
    assert [(one.name, one.kind) for one in declared.inputs] == [
        ("model", "differentiable_model"),
        ("dataset", "dataset"),
        ("rng", "rng"),
    ]
    assert [(one.name, one.default, one.is_required) for one in declared.parameters] == [
        ("epsilon", 0.01, False),
        ("steps", None, True),
    ]
    assert declared.is_exclusive
    assert not declared.is_derived
    assert declared.location.path.endswith("test_declaration.py")


def test_input_of_unknown_kind_is_refused():
    """A positional parameter that is no input is named, with what would be one."""

    def measure(threshold):
        """Measure nothing."""

    with pytest.raises(CheckError, match=r"'threshold'.*keyword-only"):
        declaration_of(measure)


def test_wrapper_is_not_mistaken_for_what_it_wraps():
    """functools.wraps copies the declaration; the wrapper keeps its promises and runs itself."""

    @functools.wraps(example)
    def wrapper(*inputs, **parameters):
        return example(*inputs, **parameters)

    declared = declaration_of(wrapper)
    assert declared.function is wrapper
    assert declared.quantities == declaration_of(example).quantities


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_built_in_check_is_named_after_its_file(name):
    """File, function and check have one name, and each declares quantities with a description and its sources."""
    declared = built_in_check(name)
    assert declared.name == name == BUILT_IN[name].rpartition(".")[2]
    assert import_module(BUILT_IN[name]).__name__.endswith(name)
    assert declared.quantities
    assert all(one.description for one in declared.quantities.values())
    assert declared.function.__doc__
