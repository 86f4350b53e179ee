"""Make `--mle-spec` act like paths on the command line."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence


def activate(config: pytest.Config, args: list[str]) -> None:
    """Insert the specs into the paths to collect and register the plugin that runs them.

    In front, because a trailing option with an optional value would swallow a path at the end. A folder given by the
    user that holds a spec already covers it: pytest 8 would run only the file if both were named.
    """
    from pytest_mle.plugin.checklist import Checklist

    _forget_earlier_run(config)
    namespace = config.known_args_namespace
    folder = config.invocation_params.dir
    specs = spec_paths(namespace.mle_spec, folder)
    _refuse_moved_rootdir(config, specs)
    given = {os.path.normpath(folder / argument.split("::")[0]): argument for argument in namespace.file_or_dir}
    for path in sorted(specs, reverse=True):
        if not any(Path(one) == path or Path(one) in path.parents for one in given):
            args.insert(0, str(path))
    # The conftest.py files of the user's paths (or of the current folder) and those beside the specs load early.
    namespace.file_or_dir[:] = [argument for one, argument in given.items() if Path(one) not in specs] or [str(folder)]
    namespace.file_or_dir += map(str, specs)
    config.pluginmanager.register(Checklist(tuple(specs)), "mle-checklist")


def spec_paths(named: Sequence[str], folder: Path) -> list[Path]:
    """Return the absolute paths of the specs, sorted, each once (xdist workers see each option twice)."""
    return sorted({Path(os.path.normpath(folder / os.path.expanduser(one))) for one in named})  # noqa: PTH111


def _forget_earlier_run(config: pytest.Config) -> None:
    """Clear the reports before anything can end this run: a green one of yesterday must not outlive a broken spec.

    A conftest.py that cannot be imported and an unknown option end pytest before its plugins are configured.
    """
    from pytest_mle.errors import MleError
    from pytest_mle.plugin.settings import report_folder
    from pytest_mle.reports.files import clear_reports

    folder = report_folder(config.known_args_namespace, config.invocation_params.dir)
    # A pytest that a test of an xdist worker starts inherits the variable; only workers run without a terminal too.
    is_worker = "PYTEST_XDIST_WORKER" in os.environ and "no:terminal" in (config.known_args_namespace.plugins or ())
    if folder is not None and not is_worker:
        with suppress(MleError):  # told when the folder is prepared
            clear_reports(folder)


def _refuse_moved_rootdir(config: pytest.Config, specs: Sequence[Path]) -> None:
    """Explain the one case in which pytest has taken a spec for a path before it knew the option.

    pytest chooses rootdir and configuration file before plugins are loaded. `--mle-spec PATH` looks like a positional
    path to it then; outside the current folder that moves the rootdir away from the project.
    """
    arguments = [str(argument) for argument in config.invocation_params.args]
    folder = config.invocation_params.dir
    if "--mle-spec" not in arguments or config.known_args_namespace.rootdir or config.known_args_namespace.inifilename:
        return
    outside = [path for path in specs if folder not in path.parents]
    if outside:
        raise pytest.UsageError(
            f"{outside[0]} lies outside the current folder: write --mle-spec={outside[0]} with '=' "
            "(or give --rootdir), because pytest would take a separate path for the place of its configuration."
        )
