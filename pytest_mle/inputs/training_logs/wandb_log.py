"""Training logs of Weights & Biases: offline runs, and runs on the server."""

from __future__ import annotations

import json
import os
import struct
import warnings
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import InputError, Location, MissingExtraError
from pytest_mle.inputs.training_logs.metrics import metric_of, to_number
from pytest_mle.inputs.training_logs.mlflow_log import without_credentials
from pytest_mle.inputs.training_logs.run_record import training_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pytest_mle.inputs.training_log import RunStatus, TrainingLog
    from pytest_mle.inputs.training_logs.declared import DeclaredLog

INSTALL = 'pip install "pytest-mle[wandb]"'
MAX_BYTES = 2 << 30
_IDENT = b":W&B"
_FILE_HEADER = struct.Struct("<4sHB")
_BLOCK = 1 << 15
_PIECE = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_OWN_KEYS = ("_step", "_runtime", "_timestamp", "_wandb")
_STATES: dict[str, RunStatus] = {
    "finished": "finished",
    "running": "running",
    "pending": "running",
    "failed": "failed",
    "crashed": "failed",
    "preempted": "killed",
    "preempting": "running",
    "killed": "killed",
}
_API_TIMEOUT_S = 8


@dataclass(slots=True)
class _Found:
    """What a run's file holds."""

    steps: dict[str, list[int]] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    run_id: str | None = None
    project: str | None = None
    git_commit: str | None = None
    status: RunStatus = "running"

    def take_row(self, step: int, row: Mapping[str, Any]) -> None:
        """Add the numbers of one step; nested mappings have dotted names, as in W&B's own tables."""
        for name, value in _dotted(row, ""):
            number = to_number(value)
            if number is not None and name.partition(".")[0] not in _OWN_KEYS:
                self.steps.setdefault(name, []).append(step)
                self.values.setdefault(name, []).append(number)


def read_wandb(log: DeclaredLog) -> TrainingLog:
    """Read an offline run (its ``.wandb`` file, or the folder that holds it) or ``entity/project/run`` by the API.

    Without an exit record an offline run is ``running``: it is, or was killed without a word. Names of nested metrics
    are joined by dots.

    Raises :class:`~pytest_mle.errors.InputError` if the file ends inside a record or a checksum is wrong, with the
    byte.
    """
    run_id = log.text("run_id")
    if "path" not in log.options:
        if run_id is None or run_id.count("/") != 2:
            raise log.refusal("name an offline run by `path:`, or one on the server by `run_id: entity/project/run`")
        return _from_api(log, run_id)
    if run_id is not None:
        raise log.refusal("`path` and `run_id` name two runs; leave one out")
    path = _run_file(log)
    shown = log.shown(path)
    data = log.read(path, MAX_BYTES)
    found = _Found()
    record_type, decode_error = _record_type()
    for start, content in records_of(data, shown):
        try:
            record = record_type.FromString(content)
        except decode_error as error:
            raise InputError(f"the record at byte {start} is no record of W&B: {error}", Location(shown)) from error
        _take(record, found)
    return _log(log, found, shown, found.run_id)


def _log(log: DeclaredLog, found: _Found, shown: str, run_id: str | None) -> TrainingLog:
    metrics = {name: metric_of(steps, found.values[name], name, shown) for name, steps in found.steps.items()}
    run = training_run(
        {name: value for name, value in found.config.items() if name != "_wandb"},
        run_id=run_id,
        uri=shown,
        status=found.status,
        git_commit=found.git_commit,
        hardware=found.hardware,
        framework_versions=found.versions,
    )
    return log.from_metrics(metrics, run, shown, {"project": found.project} if found.project else None)


def _run_file(log: DeclaredLog) -> Path:
    path = log.path()
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.wandb")) or sorted(path.glob("*run-*/*.wandb"))
    if not found:
        raise log.refusal(f"{log.shown(path)} holds no run (run-*.wandb)")
    if len(found) > 1:
        names = ", ".join(one.relative_to(path).as_posix() for one in found[:10])
        raise log.refusal(f"{log.shown(path)} holds {len(found)} runs; name one: {names}")
    return log.trusted(found[0])


def _take(record: Any, found: _Found) -> None:
    kind = record.WhichOneof("record_type")
    if kind == "history":
        row = _items(record.history.item)
        step = row.get("_step", record.history.step.num)
        found.take_row(int(step), row)
    elif kind == "run":
        found.run_id, found.project = record.run.run_id, record.run.project or None
        found.git_commit = record.run.git.commit or found.git_commit
        _update(found.config, record.run.config.update)
    elif kind == "config":
        _update(found.config, record.config.update)
    elif kind == "environment":
        _take_environment(record.environment, found)
    elif kind == "exit":
        found.status = "failed" if record.exit.exit_code else "finished"


def _take_environment(environment: Any, found: _Found) -> None:
    if environment.python:
        found.versions["python"] = environment.python.removeprefix("CPython ")
    if environment.os:
        found.hardware["system"] = environment.os
    if environment.cpu_count:
        found.hardware["cores"] = environment.cpu_count
    if environment.cpu.model:
        found.hardware["cpu"] = environment.cpu.model
    if environment.gpu_type:
        found.hardware |= {"device": environment.gpu_type, "devices": environment.gpu_count}
    if environment.git.commit:
        found.git_commit = environment.git.commit


def _update(config: dict[str, Any], items: Iterable[Any]) -> None:
    for item in items:
        *outer, last = list(item.nested_key) or [item.key]
        inside = config
        for name in outer:
            nested = inside.setdefault(name, {})
            if not isinstance(nested, dict):
                nested = inside[name] = {}
            inside = nested
        inside[last] = _value(item.value_json)


def _items(items: Iterable[Any]) -> dict[str, Any]:
    return {".".join(item.nested_key) or item.key: _value(item.value_json) for item in items}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _dotted(row: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        # A mapping with a `_type` is an image, a histogram, a table.
        if isinstance(value, dict):
            if "_type" not in value:
                yield from _dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def records_of(data: bytes, shown: str) -> Iterator[tuple[int, bytes]]:
    """Yield place and content of each record of a ``.wandb`` file, all checksums held.

    A 7-byte header, then the log format of LevelDB: blocks of 32 KiB with pieces of records, each with its CRC-32,
    length and kind (whole, first, middle, last).

    Raises :class:`~pytest_mle.errors.InputError` if the file ends inside a record, or a checksum is wrong.
    """
    if len(data) < _FILE_HEADER.size or not data.startswith(_IDENT):
        raise InputError("this is no .wandb file", Location(shown))
    version = _FILE_HEADER.unpack_from(data)[2]
    if version:
        raise InputError(f"version {version} of the .wandb format is not known; 0 is", Location(shown))
    position, count = _FILE_HEADER.size, 0
    pieces: list[bytes] = []
    begun = position
    while position < len(data):
        left = _BLOCK - position % _BLOCK
        if left < _PIECE.size:
            position += left
            continue
        if position + _PIECE.size > len(data):
            raise _cut_off(position, count, shown)
        checksum, length, kind = _PIECE.unpack_from(data, position)
        content = data[position + _PIECE.size : position + _PIECE.size + length]
        if len(content) < length:
            raise _cut_off(position, count, shown)
        is_fitting = kind in ((_MIDDLE, _LAST) if pieces else (_FULL, _FIRST))
        if not is_fitting or zlib.crc32(content, zlib.crc32(bytes([kind]))) != checksum:
            raise InputError(f"the record at byte {position} is damaged: its checksum is wrong", Location(shown))
        begun = begun if pieces else position
        pieces.append(content)
        position += _PIECE.size + length
        if kind in (_FULL, _LAST):
            yield begun, b"".join(pieces)
            pieces, count = [], count + 1
    if pieces:
        raise _cut_off(begun, count, shown)


def _cut_off(position: int, whole: int, shown: str) -> InputError:
    return InputError(
        f"the file ends inside the record at byte {position}, after {whole} whole ones: "
        "the run was cut off or is still writing, or the copy is not complete",
        Location(shown),
    )


def _record_type() -> tuple[Any, type[Exception]]:
    try:
        from google.protobuf.message import DecodeError

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from wandb.proto.wandb_internal_pb2 import Record
    except ImportError as error:
        raise MissingExtraError("W&B", INSTALL) from error
    return Record, DecodeError


def _from_api(log: DeclaredLog, run_path: str) -> TrainingLog:
    """Read a run from the server that the invoker has logged in to (``WANDB_BASE_URL``, ``WANDB_API_KEY``)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import requests
            import wandb
            from wandb.errors import Error
    except ImportError as error:
        raise MissingExtraError("W&B", INSTALL) from error
    address = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    server = without_credentials(address)
    shown = f"W&B run {run_path}"
    if not os.environ.get("WANDB_API_KEY"):
        raise log.refusal(f"cannot read {shown}: set WANDB_API_KEY (and WANDB_BASE_URL, now {server})")
    found = _Found()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = wandb.Api(timeout=_API_TIMEOUT_S).run(run_path)
            for row in run.scan_history():
                found.take_row(int(row["_step"]), {name: one for name, one in row.items() if one is not None})
            found.config = dict(run.config)
            found.status = _STATES.get(str(run.state), "running")
            found.git_commit = run.commit
            found.project = run.project
            found.run_id = run.id
    except (Error, requests.RequestException, ValueError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise log.refusal(f"cannot read {shown} from {server}: {lines[0].replace(address, server)[:300]}") from error
    return _log(log, found, shown, found.run_id)
