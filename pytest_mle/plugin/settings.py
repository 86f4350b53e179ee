"""The options of a run, read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mle.engine.store import Trust

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True, slots=True)
class Settings:
    """What the invoker asked for."""

    report_folder: Path | None
    cache_folder: Path | None
    trust: Trust
    overrides: tuple[str, ...]
    is_run: bool


def read_settings(config: pytest.Config) -> Settings:
    """Read the command line and the project's pytest configuration."""
    folder = config.invocation_params.dir
    get = config.getoption
    lists_only = any(
        get(name, default=False)
        for name in ("collectonly", "showfixtures", "show_fixtures_per_test", "setupplan", "setuponly", "markers")
    )
    cache = folder / get("mle_cache_dir") if get("mle_cache_dir") else config.rootpath / ".mle-cache"
    roots = [*(folder / one for one in get("mle_data_root") or ()), *config.getini("mle_data_roots")]
    return Settings(
        report_folder=None if get("mle_no_report") or lists_only else Path(folder / get("mle_report_dir")),
        cache_folder=None if get("mle_no_cache") else cache,
        trust=Trust(
            pickle=bool(get("mle_trust_pickle") or config.getini("mle_trust_pickle")),
            data_roots=tuple(Path(root).resolve() for root in roots),
        ),
        overrides=tuple(get("mle_set") or ()),
        is_run=not lists_only,
    )
