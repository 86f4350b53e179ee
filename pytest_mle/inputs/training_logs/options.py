"""Which formats of training logs there are, and what may stand in an entry of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mle.errors import InputError, closest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mle.errors import Location

_TABLE = ("path", "columns", "run")
OPTIONS: dict[str, tuple[str, ...]] = {
    "csv": _TABLE,
    "json": _TABLE,
    "keras": _TABLE,
    "lightning": _TABLE,
    "ultralytics": _TABLE,
    "tensorboard": _TABLE,
    "mlflow": ("tracking_uri", "path", "run_id", "experiment", "filter", "columns"),
    "wandb": ("path", "run_id", "columns"),
}
FORMATS = tuple(OPTIONS)


def check_options(name: str, options: Mapping[str, Any], location: Location | None) -> None:
    """Check the keys of an entry under ``inputs.training_logs``; without ``format`` those of all formats are allowed.

    Raises :class:`~pytest_mle.errors.InputError` for an unknown format or key, with the closest one that exists.
    """
    declared = options.get("format")
    if declared is not None and declared not in FORMATS:
        message = f"training log {name}: unknown format {declared!r}. {closest(str(declared), FORMATS)}"
        raise InputError(message, location)
    allowed = OPTIONS[declared] if declared else tuple(dict.fromkeys(one for some in OPTIONS.values() for one in some))
    for option in options:
        if option not in ("format", *allowed):
            known = f" for format {declared}" if declared else ""
            message = f"training log {name}: unknown option {option!r}{known}. {closest(option, allowed)}"
            raise InputError(message, location)
