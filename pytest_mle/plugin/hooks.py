"""Entry point of the plugin: options, and the switch that turns the rest on.

It imports pytest alone. Without ``--mle-spec`` nothing else of the package is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and the settings of the project's pytest configuration."""
    group = parser.getgroup("mle", "machine-learning-engineering checklists")
    add = group.addoption
    add("--mle-spec", action="append", metavar="PATH", help="checklist to run; repeat for several")
    add("--mle-set", action="append", metavar="KEY=VALUE", help="override a key of the spec, by its dotted path")
    add("--mle-report-dir", metavar="DIR", default="mle-reports", help="where reports go (default: %(default)s)")
    add("--mle-no-report", action="store_true", help="write no reports")
    add("--mle-cache-dir", metavar="DIR", help="where predictions are cached (default: .mle-cache in the rootdir)")
    add("--mle-no-cache", action="store_true", help="refuse all caches")
    add("--mle-trust-pickle", action="store_true", help="load .pt2 models and pickles, which can run code")
    add("--mle-data-root", action="append", metavar="DIR", help="folder outside the spec's that it may read")
    add("--mle-allowed-signers", metavar="FILE", help="signers whose attestations count")
    add("--mle-mlflow", action="store_true", help="log results to the MLflow runs that were examined")
    parser.addini("mle_trust_pickle", "same as --mle-trust-pickle", type="bool", default=False)
    parser.addini("mle_data_roots", "same as --mle-data-root, one a line", type="paths", default=[])


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Publish the hooks by which packages add checks and formats."""
    from pytest_mle.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Put the specs in front of the paths to collect."""
    if early_config.known_args_namespace.mle_spec:
        from pytest_mle.plugin.activation import activate

        activate(early_config, args)


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    """Refuse options that do nothing without a spec."""
    if config.getoption("mle_set") and not config.getoption("mle_spec"):
        raise pytest.UsageError("--mle-set changes a spec: name it with --mle-spec=PATH")
    return (yield)
