"""Training logs of TensorBoard: event files, read record by record with their checksums."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, Location, MissingExtraError
from pytest_mle.inputs.training_logs.metrics import metric_of
from pytest_mle.inputs.training_logs.run_record import training_run
from pytest_mle.inputs.training_logs.table_log import read_beside, record_of, settings
from pytest_mle.tracking import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pytest_mle.inputs.training_log import RunStatus, TrainingLog
    from pytest_mle.inputs.training_logs.declared import DeclaredLog
    from pytest_mle.inputs.training_logs.metrics import Metric

EVENT_FILE = "events.out.tfevents"
INSTALL = 'pip install "pytest-mle[tensorboard]"'
MAX_BYTES = 2 << 30
_HEADER = struct.Struct("<QI")
_MASK_DELTA = 0xA282EAD8
# Castagnoli's polynomial, reflected.
_POLYNOMIAL = 0x82F63B78
_SESSION_STARTS, _SCALARS, _HPARAMS = 1, "scalars", "hparams"
_STATUS: dict[int, RunStatus] = {1: "finished", 2: "failed", 3: "running"}
_SETTINGS = "hparams.yaml"


@dataclass(slots=True)
class _Course:
    """The values of one tag in the order in which they were written."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def forget_from(self, step: int) -> None:
        """Drop what a restarted run writes again."""
        kept = [position for position, one in enumerate(self.steps) if one < step]
        self.steps = [self.steps[position] for position in kept]
        self.values = [self.values[position] for position in kept]


@dataclass(slots=True)
class _Found:
    """What the event files of a run hold."""

    courses: dict[str, _Course] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    status: RunStatus | None = None


def read_tensorboard(log: DeclaredLog) -> TrainingLog:
    """Read all event files of a folder and its subfolders, or one event file.

    A tag in a subfolder has the folder's name in front (``validation/epoch_loss``). Hyperparameters are those of the
    hparams plugin, of ``hparams.yaml`` beside the events and of a text ``environment`` with the JSON of
    :func:`pytest_mle.tracking.record_environment`. The status is what the hparams plugin recorded: event files by
    themselves do not tell whether the run has ended.

    Scalars are single precision unless they were written as double tensors.

    Raises :class:`~pytest_mle.errors.InputError` if a file ends inside a record or a checksum is wrong, with the byte:
    such a log would tell less than the run wrote.
    """
    path = log.path()
    if not path.exists():
        raise log.refusal(f"cannot read {path}: there is no such file or folder")
    files = [path] if path.is_file() else _event_files(log, path)
    folder = path.parent if path.is_file() else path
    if not files:
        raise log.refusal(f"{log.shown(path)} holds no event file ({EVENT_FILE}.*)")
    found = _Found()
    for one in files:
        _read_file(log, one, one.parent.relative_to(folder).as_posix(), found)
    beside = folder / _SETTINGS
    record = settings(read_beside(log, beside), log.shown(beside)) if beside.is_file() else {}
    record |= found.record
    if "run" in log.options:
        sidecar = log.path("run")
        record |= record_of(read_beside(log, sidecar), log.shown(sidecar))
    shown = log.shown(path)
    metrics: dict[str, Metric] = {
        tag: metric_of(course.steps, course.values, tag, shown) for tag, course in found.courses.items()
    }
    return log.from_metrics(metrics, training_run(record, uri=shown, status=found.status), shown)


def _event_files(log: DeclaredLog, folder: Path) -> list[Path]:
    """Return the event files below a folder in the order in which they were begun."""
    found = [
        log.trusted(os.path.join(parent, name))  # noqa: PTH118
        for parent, _, names in os.walk(folder)
        for name in names
        if name.startswith(EVENT_FILE)
    ]
    return sorted(found, key=lambda one: (one.parent, _begun(one), one.name))


def _begun(path: Path) -> int:
    parts = path.name.removeprefix(f"{EVENT_FILE}.").split(".")
    return int(parts[0]) if parts[0].isdecimal() else 0


def _read_file(log: DeclaredLog, path: Path, prefix: str, found: _Found) -> None:
    shown = log.shown(path)
    data = log.read(path, MAX_BYTES)
    event_type, decode_error = _event_type()
    front = "" if prefix == "." else f"{prefix}/"
    for start, record in records_of(data, shown):
        try:
            event = event_type.FromString(record)
        except decode_error as error:
            raise InputError(f"the record at byte {start} is no event: {error}", Location(shown)) from error
        if event.HasField("session_log") and event.session_log.status == _SESSION_STARTS:
            for tag, course in found.courses.items():
                if tag.startswith(front):
                    course.forget_from(event.step)
        for value in event.summary.value:
            _take(value, event.step, front, found)


def _take(value: Any, step: int, front: str, found: _Found) -> None:
    plugin = value.metadata.plugin_data.plugin_name
    if plugin == _HPARAMS:
        _take_hparams(value.metadata.plugin_data.content, found)
        return
    if value.HasField("simple_value"):
        number = float(value.simple_value)
    elif value.HasField("tensor"):
        content = _tensor(value.tensor)
        if value.tag.partition("/")[0] == ENVIRONMENT and content.dtype == object:
            _take_environment(content, found)
            return
        # TensorFlow 2 names the plugin with the first value of a tag only.
        is_scalar = content.size == 1 and content.dtype.kind in "fiub"
        if not is_scalar or plugin not in ("", _SCALARS):
            return
        number = float(content.reshape(()))
    else:
        return
    course = found.courses.setdefault(f"{front}{value.tag}", _Course())
    course.steps.append(step)
    course.values.append(number)


def _tensor(tensor: Any) -> NDArray[Any]:
    from tensorboard.util import tensor_util

    return tensor_util.make_ndarray(tensor)  # type: ignore[no-any-return]


def _take_environment(content: NDArray[Any], found: _Found) -> None:
    for text in content.reshape(-1).tolist():
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            found.record |= record


def _take_hparams(content: bytes, found: _Found) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data = HParamsPluginData.FromString(content)
    if data.HasField("session_start_info"):
        for name, value in data.session_start_info.hparams.items():
            found.record[name] = getattr(value, value.WhichOneof("kind") or "string_value")
    elif data.HasField("session_end_info"):
        found.status = _STATUS.get(data.session_end_info.status, found.status)


def _event_type() -> tuple[Any, type[Exception]]:
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto.event_pb2 import Event
    except ImportError as error:
        raise MissingExtraError("TensorBoard", INSTALL) from error
    return Event, DecodeError


def records_of(data: bytes, shown: str) -> Iterator[tuple[int, bytes]]:
    """Yield place and content of each record of a TFRecord file, all checksums held.

    A record is its length (uint64), the masked CRC-32C of the length, the content, and the masked CRC-32C of that.

    Raises :class:`~pytest_mle.errors.InputError` if the file ends inside a record, or a checksum is wrong.
    """
    starts: list[int] = []
    lengths: list[int] = []
    position = 0
    while position < len(data):
        if position + _HEADER.size > len(data):
            raise _cut_off(position, len(starts), shown)
        (length, checksum) = _HEADER.unpack_from(data, position)
        if _masked(_crc32c_of_header(data[position : position + 8])) != checksum:
            raise InputError(f"the record at byte {position} is damaged: its checksum is wrong", Location(shown))
        if position + _HEADER.size + length + 4 > len(data):
            raise _cut_off(position, len(starts), shown)
        starts.append(position + _HEADER.size)
        lengths.append(length)
        position += _HEADER.size + length + 4
    _check_contents(data, np.array(starts, dtype=np.int64), np.array(lengths, dtype=np.int64), shown)
    for start, length in zip(starts, lengths, strict=True):
        yield start - _HEADER.size, data[start : start + length]


def _cut_off(position: int, whole: int, shown: str) -> InputError:
    return InputError(
        f"the file ends inside the record at byte {position}, after {whole} whole ones: "
        "the run was cut off or is still writing, or the copy is not complete",
        Location(shown),
    )


def _check_contents(data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64], shown: str) -> None:
    """Compare the checksums of all contents, those of equal length at once."""
    content = np.frombuffer(data, dtype=np.uint8)
    damaged: list[int] = []
    for length in np.unique(lengths):
        places = starts[lengths == length]
        # In parts, so that the table of a long log stays small.
        part = max(1, (16 << 20) // max(1, int(length)))
        for first in range(0, len(places), part):
            chosen = places[first : first + part]
            ends = chosen[:, None] + int(length) + np.arange(4)
            stored = np.ascontiguousarray(content[ends]).view("<u4")[:, 0]
            wrong = masked_crc32c(content, chosen, int(length)) != stored
            damaged += chosen[wrong].tolist()
    if damaged:
        place = min(damaged) - _HEADER.size
        raise InputError(f"the record at byte {place} is damaged: its checksum is wrong", Location(shown))


def masked_crc32c(content: NDArray[np.uint8], starts: NDArray[np.int64], length: int) -> NDArray[np.uint32]:
    """Return the masked CRC-32C (Castagnoli) of pieces of equal length, ``(piece,)``."""
    checksums = np.full(len(starts), 0xFFFFFFFF, dtype=np.uint32)
    for offset in range(length):
        checksums = _TABLE[(checksums ^ content[starts + offset]) & 0xFF] ^ (checksums >> np.uint32(8))
    checksums = ~checksums
    rotated = (checksums >> np.uint32(15)) | (checksums << np.uint32(17))
    return rotated + np.uint32(_MASK_DELTA)


def _crc32c_of_header(header: bytes) -> int:
    checksum = 0xFFFFFFFF
    for byte in header:
        checksum = _ROWS[(checksum ^ byte) & 0xFF] ^ (checksum >> 8)
    return checksum ^ 0xFFFFFFFF


def _masked(checksum: int) -> int:
    return (((checksum >> 15) | (checksum << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _table() -> list[int]:
    rows = []
    for byte in range(256):
        row = byte
        for _ in range(8):
            row = (row >> 1) ^ (_POLYNOMIAL if row & 1 else 0)
        rows.append(row)
    return rows


_ROWS = _table()
_TABLE = np.array(_ROWS, dtype=np.uint32)
