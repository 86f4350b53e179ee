"""Hyperparameters as trackers keep them, compared with those of a config."""

from __future__ import annotations

import ast
import json
import math
from typing import TYPE_CHECKING, Any

from pytest_mle.checks.experiments.declared_values import is_none_word, leaves

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mle.inputs.training_log import TrainingRun

# TensorBoard and W&B keep float32 or print a few digits: a rounded value is the same value.
RELATIVE_TOLERANCE = 1e-6
_WORDS = {"true": True, "false": False, "none": None, "null": None, "": None}


def logged_hyperparameters(run: TrainingRun) -> dict[str, Any]:
    """Return a run's hyperparameters by dotted name, whatever separator the tracker uses (``optimizer/lr``)."""
    found: dict[str, Any] = {}
    for name, value in run.hyperparameters.items():
        dotted = str(name).replace("/", ".")
        found[dotted] = value
        if isinstance(value, dict):
            found |= dict(leaves(value, dotted))
    return found


def find_logged(logged: Mapping[str, Any], key: str, value: Any, run_name: str | None) -> tuple[bool, Any]:
    """Return whether a run has logged a hyperparameter, and its value.

    A list that the tracker took apart (``betas[0]`` under ``betas.0``) is found again.
    """
    name = run_name or key
    if name in logged:
        return True, logged[name]
    if isinstance(value, (list, tuple)):
        parts = [logged.get(f"{name}.{position}", logged.get(f"{name}[{position}]")) for position in range(len(value))]
        if parts and all(part is not None for part in parts):
            return True, parts
    return False, None


def is_same_value(declared: Any, logged: Any) -> bool:
    """Say whether a logged value is the declared one; a tracker may have kept it as text (``"0.001"`` for 1e-3)."""
    left, right = _typed(declared), _typed(logged)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(is_same_value, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(is_same_value(value, right[key]) for key, value in left.items())
    if is_none_word(left) or left is None:
        return is_none_word(right) or right is None
    if _is_number(left) and _is_number(right):
        return math.isclose(left, right, rel_tol=RELATIVE_TOLERANCE, abs_tol=0.0)
    return type(left) is type(right) and bool(left == right)


def as_number(value: Any) -> float | None:
    """Return a logged value as a number; None if it is none."""
    typed = _typed(value)
    return float(typed) if _is_number(typed) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _typed(value: Any) -> Any:
    """Return a text as the value that it prints."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return value.item()
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        # Python takes `1_000` too, which no tracker writes.
        return text if "_" in text else float(text)
    except ValueError:
        pass
    if text[:1] not in ("[", "{", "("):
        return text
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text
