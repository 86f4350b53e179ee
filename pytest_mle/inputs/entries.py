"""Check entries of ``inputs:`` before anything is opened: a misspelt key shall not wait for the item that needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pytest_mle.errors import Location


def check_entry(
    section: str, name: str, options: Mapping[str, Any], location: Location | None, own_formats: Collection[str] = ()
) -> None:
    """Check the keys and values of one entry; files that it names are looked at when they are opened.

    Parameters
    ----------
    section
        ``datasets``, ``models``, ``training_logs``, ``configs``, ``records``; entries of others are checked by their
        readers.
    name, options, location
        The entry.
    own_formats
        Formats that other packages added, whose options they know alone.

    Raises
    ------
    InputError
        Naming the wrong key and the closest one that exists.
    """
    checker = _CHECKERS.get(section)
    if checker is not None and str(options.get("format")) not in own_formats:
        checker(name, options, location)


def _check_dataset(name: str, options: Mapping[str, Any], location: Location | None) -> None:
    from pytest_mle.inputs.datasets.opening import check_options

    check_options(name, options, location)


def _check_model(name: str, options: Mapping[str, Any], location: Location | None) -> None:
    from pytest_mle.inputs.models.declaration import read_declaration

    read_declaration(name, options, location)


def _check_config(name: str, options: Mapping[str, Any], location: Location | None) -> None:
    from pytest_mle.inputs.configs.reading import check_options

    check_options(name, options, location)


def _check_record(name: str, options: Mapping[str, Any], location: Location | None) -> None:
    from pytest_mle.inputs.records.reading import check_options

    check_options(name, options, location)


def _check_training_log(name: str, options: Mapping[str, Any], location: Location | None) -> None:
    from pytest_mle.inputs.training_logs.options import check_options

    check_options(name, options, location)


_CHECKERS: dict[str, Callable[[str, Mapping[str, Any], Location | None], None]] = {
    "datasets": _check_dataset,
    "models": _check_model,
    "training_logs": _check_training_log,
    "configs": _check_config,
    "records": _check_record,
}
