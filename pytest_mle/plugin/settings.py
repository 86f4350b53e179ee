"""The options of a run, read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mle.engine.store import Trust

if TYPE_CHECKING:
    import argparse

    import pytest

# Options with which pytest lists something and runs nothing.
LISTS = (
    "collectonly",
    "showfixtures",
    "show_fixtures_per_test",
    "setupplan",
    "setuponly",
    "markers",
    "help",
    "version",
    "cacheshow",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the invoker asked for."""

    report_folder: Path | None
    cache_folder: Path | None
    trust: Trust
    overrides: tuple[str, ...]
    is_run: bool
    logs_to_mlflow: bool = False


def read_settings(config: pytest.Config) -> Settings:
    """Read the command line and the project's pytest configuration."""
    folder = config.invocation_params.dir
    get = config.getoption
    cache = folder / get("mle_cache_dir") if get("mle_cache_dir") else config.rootpath / ".mle-cache"
    roots = [*(folder / one for one in get("mle_data_root") or ()), *config.getini("mle_data_roots")]
    return Settings(
        report_folder=report_folder(config.option, folder),
        cache_folder=None if get("mle_no_cache") else cache,
        trust=Trust(
            pickle=bool(get("mle_trust_pickle") or config.getini("mle_trust_pickle")),
            data_roots=tuple(Path(root).resolve() for root in roots),
        ),
        overrides=tuple(get("mle_set") or ()),
        is_run=not lists_only(config.option),
        logs_to_mlflow=bool(get("mle_mlflow")),
    )


def lists_only(options: argparse.Namespace) -> bool:
    """Say whether pytest was asked to list something and not to run."""
    return any(getattr(options, name, False) for name in LISTS)


def report_folder(options: argparse.Namespace, folder: Path) -> Path | None:
    """Return where reports go, seen from the folder in which pytest was called; None if none are written."""
    return None if options.mle_no_report or lists_only(options) else folder / options.mle_report_dir
