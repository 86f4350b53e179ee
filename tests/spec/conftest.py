"""Checks that exist for these tests only, so that specs can be judged without the built-in ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence  # noqa: TC003  the reader resolves annotations at run time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from annotated_types import Gt

from pytest_mle.records.check import CheckDeclaration, InputDeclaration, ParameterDeclaration
from pytest_mle.records.quantity import estimate, exact
from pytest_mle.spec.load import load_spec

if TYPE_CHECKING:
    from pytest_mle.spec.model import Spec


def detector(
    model: Any,
    dataset: Any,
    rng: Any,
    *,
    runs: int,
    epsilon: float = 0.01,
    half: bool = False,
    mode: Literal["fast", "exact"] = "fast",
    sizes: Sequence[int] = (1,),
    limit: Annotated[int, Gt(0)] = 1,
    box: tuple[float, float] = (0.0, 1.0),
    label: str = "",
    ratio: float | None = None,
    maximum: int | Literal["all"] = "all",
) -> None:
    """Stand in for a check of a detector."""


def timing(model: Any, clock: Any) -> None:
    """Stand in for a check of time."""


def comparison(reference: Any, current: Any, log: Any, predictions: Any) -> None:
    """Stand in for a check with inputs of all kinds."""


def traceability(requirements: Any, results: Any) -> None:
    """Stand in for a check that judges other items."""


def declaration(function: Callable[..., Any], inputs: dict[str, str], quantities: Any, **more: Any) -> CheckDeclaration:
    """Declare a check as the decorator does."""
    import inspect

    keyword_only = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return CheckDeclaration(
        name=function.__name__,
        function=function,
        inputs=tuple(InputDeclaration(name, kind) for name, kind in inputs.items()),
        parameters=tuple(
            ParameterDeclaration(p.name, str(p.annotation), p.default, p.default is p.empty) for p in keyword_only
        ),
        quantities=quantities,
        **more,
    )


CHECKS = {
    "detector": declaration(
        detector,
        {"model": "model", "dataset": "dataset", "rng": "rng"},
        {
            "map_50": estimate("1", "higher"),
            "false_negative_rate": estimate("1", "lower"),
            "absolute_accuracy_drop": estimate("1", "lower"),
            "relative_drop": estimate("1", "lower"),
            "latency_p95": estimate("s", "lower"),
            "image_count": exact("{image}"),
            "corrupt_images": exact("1"),
            "broken_unit": exact("furlong"),
        },
    ),
    "timing": declaration(timing, {"model": "model", "clock": "clock"}, {"latency": estimate("s", "lower")}),
    "comparison": declaration(
        comparison,
        {"reference": "dataset", "current": "dataset", "log": "training_log", "predictions": "predictions"},
        None,
    ),
    "traceability": declaration(
        traceability,
        {"requirements": "requirements", "results": "results"},
        {"untraced": exact("1")},
        is_derived=True,
    ),
}


@pytest.fixture
def load() -> Callable[..., Spec]:
    """Load a spec with the checks of this file."""

    def load_with_checks(path: Path | str, *overrides: str, **environment: str) -> Spec:
        return load_spec(
            Path(path),
            overrides=overrides,
            environment=environment,
            find_check=CHECKS.get,
            known_checks=list(CHECKS),
        )

    return load_with_checks


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a file of a spec into the current folder, which is a fresh one."""
    monkeypatch.chdir(tmp_path)

    def write_file(content: str, name: str = "spec.yaml") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    return write_file
