"""Describe the checks: what they need, what they measure, where they come from."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from pytest_mle.checks.catalogue import BUILT_IN, built_in_check
from pytest_mle.errors import MleError, closest

if TYPE_CHECKING:
    from pytest_mle.records.check import CheckDeclaration, InputDeclaration


def list_checks() -> str:
    """Return one line a check, its name and what it measures, by family."""
    width = max(map(len, BUILT_IN))
    lines, above = [], ""
    for family, name in sorted((_family(name), name) for name in BUILT_IN):
        if family != above:
            lines += [*([""] if above else []), family]
            above = family
        check = built_in_check(name)
        assert check is not None
        lines.append(f"  {name:{width}}  {_first_line(check)}")
    return "\n".join([*lines, "", "pytest-mle checks NAME describes one of them.", ""])


def _family(name: str) -> str:
    return BUILT_IN[name].split(".")[-2]


def describe_check(name: str) -> str:
    """Return everything a spec's author needs to know of a check."""
    check = built_in_check(name)
    if check is None:
        raise MleError(f"there is no check {name!r}. {closest(name, list(BUILT_IN))}")
    lines = [name, "=" * len(name), "", inspect.getdoc(check.function) or "", ""]
    lines += ["Inputs", *map(_input_line, check.inputs), ""]
    lines.append("Parameters (with:)")
    lines += [
        f"  {one.name}: {one.annotation}" + (" (required)" if one.is_required else f" = {one.default!r}")
        for one in check.parameters
    ] or ["  none"]
    lines += ["", "Quantities"]
    for quantity, declared in (check.quantities or {}).items():
        better = f", {declared.better} is better" if declared.better else ""
        about = f": {declared.description}" if declared.description else ""
        lines.append(f"  {quantity} [{declared.unit}] {declared.kind}{better}{about}")
    flags = [
        text
        for text, is_set in (("runs alone", check.is_exclusive), ("judges other items", check.is_derived))
        if is_set
    ]
    lines += ["", f"Source: {check.location}" + (f" ({', '.join(flags)})" if flags else ""), ""]
    return "\n".join(lines)


def _input_line(one: InputDeclaration) -> str:
    return f"  {one.name}: {one.kind.replace('_', ' ')}{' (optional)' if one.is_optional else ''}"


def _first_line(check: CheckDeclaration) -> str:
    return (inspect.getdoc(check.function) or "").partition("\n")[0]
