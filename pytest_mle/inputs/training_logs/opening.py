"""Read a declared training log: find its format and hand over to its reader."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pytest_mle.inputs.training_logs.declared import DeclaredLog
from pytest_mle.inputs.training_logs.options import FORMATS, check_options
from pytest_mle.inputs.trusted_path import shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_mle.errors import Location
    from pytest_mle.inputs.training_log import TrainingLog

EVENT_FILE = "events.out.tfevents"


def read_training_log(
    name: str,
    options: Mapping[str, Any],
    root: Path,
    *,
    location: Location | None = None,
    allowed_roots: Iterable[Path] = (),
) -> TrainingLog:
    """Read the log that ``inputs.training_logs.<name>`` declares.

    Formats: ``csv``, ``json`` (a mapping from names to lists, or a list of mappings), ``keras`` (``CSVLogger``, or the
    ``History`` as JSON), ``lightning`` (the folder of a ``CSVLogger`` or its ``metrics.csv``), ``ultralytics``
    (``results.csv`` or its folder), ``tensorboard`` (a folder or an event file), ``mlflow`` (a run in a store or on a
    server), ``wandb`` (an offline run, or ``entity/project/run`` on the server). Without ``format:`` the path decides
    where it is unmistakable.

    Each gives the same series for the same run. Several values of an epoch are averaged, as in a CSV file with several
    rows an epoch, and are in ``step_series`` too; ``nan`` and ``inf`` stay in the series; an epoch without a value is a
    gap, listed by series in ``metadata["gaps"]``. All numbers are series under their own names besides the standard
    ones, and ``columns:`` maps what is not known. To which epoch a value belongs that was logged by step:
    :func:`~pytest_mle.inputs.training_logs.metrics.metrics_by_epoch`.

    TensorBoard keeps scalars in single precision: its series are equal to the others' where the values are
    representable in it. ``SummaryWriter.add_scalar(..., new_style=True, double_precision=True)`` keeps all.

    Parameters
    ----------
    name
        Its name in the spec.
    options
        What stands under the name: ``format``, ``columns`` and what the format knows.
    root
        The spec's folder.
    location
        Where it was declared, for errors.
    allowed_roots
        Further folders that the invoker has granted.

    Raises
    ------
    InputError
        Absent, unreadable, truncated, empty, a cell that is no number, epochs or steps that run backwards, a server
        that does not answer, a run that does not exist.
    MissingExtraError
        The format's library is not installed.
    TrustError
        The path leads out of ``root`` and ``allowed_roots``, or credentials would go to a server that the invoker has
        not named.
    """
    check_options(name, options, location)
    log = DeclaredLog(name, options, root.resolve(), location, tuple(allowed_roots))
    chosen = _format(log)
    check_options(name, {**options, "format": chosen}, location)
    return _read(log, chosen)


def _read(log: DeclaredLog, chosen: str) -> TrainingLog:
    if chosen == "tensorboard":
        from pytest_mle.inputs.training_logs.tensorboard_log import read_tensorboard

        return read_tensorboard(log)
    if chosen == "mlflow":
        from pytest_mle.inputs.training_logs.mlflow_log import read_mlflow

        return read_mlflow(log)
    if chosen == "wandb":
        from pytest_mle.inputs.training_logs.wandb_log import read_wandb

        return read_wandb(log)
    from pytest_mle.inputs.training_logs.table_log import read_table_log

    return read_table_log(log, chosen)


def _format(log: DeclaredLog) -> str:
    declared = log.options.get("format")
    if declared is not None:
        return str(declared)
    if "tracking_uri" in log.options or "experiment" in log.options:
        return "mlflow"
    path = log.path()
    return _format_of_folder(log, path) if path.is_dir() else _format_of_file(log, path)


def _format_of_file(log: DeclaredLog, path: Path) -> str:
    if path.name.startswith(EVENT_FILE):
        return "tensorboard"
    if path.name == "metrics.csv" and (path.parent / "hparams.yaml").is_file():
        return "lightning"
    if path.name == "results.csv" and (path.parent / "args.yaml").is_file():
        return "ultralytics"
    found = {".csv": "csv", ".json": "json", ".wandb": "wandb"}.get(path.suffix.lower())
    if found is None:
        kind = path.suffix or "a file without suffix"
        raise log.refusal(f"cannot read {kind} without `format:`. Allowed: {', '.join(FORMATS)}")
    return found


def _format_of_folder(log: DeclaredLog, path: Path) -> str:
    names = {"metrics.csv": "lightning", "results.csv": "ultralytics"}
    found = [chosen for name, chosen in names.items() if (path / name).is_file()]
    if any(path.glob("*.wandb")):
        found.append("wandb")
    if not found and any(name.startswith(EVENT_FILE) for _, _, files in os.walk(path) for name in files):
        found.append("tensorboard")
    if len(found) != 1:
        what = f"holds logs of several formats ({', '.join(found)})" if found else "holds no log that can be told"
        shown = shown_path(path, log.root)
        raise log.refusal(f"the folder {shown} {what}; say `format:` ({', '.join(FORMATS)})")
    return found[0]
