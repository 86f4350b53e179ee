"""Tests of reading runs of Weights & Biases."""

from __future__ import annotations

import struct
import sys
import zlib

import pytest

from pytest_mle.errors import InputError, MissingExtraError
from pytest_mle.inputs.training_logs import wandb_log

pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")


def pieces(records, block=1 << 15):
    """Write records as W&B does: LevelDB's log format behind a header of 7 bytes."""
    data = bytearray(b":W&B" + struct.pack("<HB", 0xBEE1, 0))
    for record in records:
        begun, left = False, record
        while True:
            room = block - len(data) % block
            if room < 7:
                data += bytes(room)
                continue
            part, left = left[: room - 7], left[room - 7 :]
            kind = {(False, True): 1, (False, False): 2, (True, False): 3, (True, True): 4}[begun, not left]
            data += struct.pack("<IHB", zlib.crc32(part, zlib.crc32(bytes([kind]))), len(part), kind) + part
            begun = True
            if not left:
                break
    return bytes(data)


def history(step, **values):
    """Return a record of one step."""
    record = pb.Record()
    record.history.step.num = step
    for name, value in values.items():
        record.history.item.add(key=name, value_json=value)
    return record.SerializeToString()


def ended(code=0):
    """Return the record of an end."""
    record = pb.Record()
    record.exit.exit_code = code
    return record.SerializeToString()


@pytest.fixture
def write(tmp_path):
    """Write a run file from records."""

    def make(*records, name="run-x.wandb"):
        (tmp_path / name).write_bytes(pieces(records))
        return tmp_path / name

    return make


def test_status(write, read):
    """A run without an exit record is running, one with an exit code other than 0 has failed."""
    row = history(1, train_loss="2.0")
    for ends, status in (((), "running"), ((ended(),), "finished"), ((ended(1),), "failed")):
        write(row, *ends)
        assert read(path="run-x.wandb").run.status == status


def test_values(write, read):
    """NaN and infinity are spelled as text; images, tables and text are no numbers."""
    record = pb.Record()
    record.history.item.add(nested_key=["val", "loss"], value_json="Infinity")
    record.history.item.add(key="train", value_json='{"loss": "NaN", "image": {"_type": "image-file", "size": 3}}')
    record.history.item.add(key="note", value_json='"hello"')
    record.history.item.add(key="broken", value_json="{")
    write(record.SerializeToString(), ended())
    log = read(path="run-x.wandb", columns={"val_loss": "val.loss"})

    assert log.series["val_loss"].tolist() == [float("inf")]
    assert str(log.series["train.loss"].tolist()) == "[nan]"
    assert set(log.series) == {"val_loss", "val.loss", "train.loss"}


def test_long_record_spans_blocks(write, read):
    """A record longer than a block comes in pieces."""
    write(history(1, **{f"m{number}": "0.125" for number in range(5000)}), history(2, m0="0.25"), ended())
    log = read(path="run-x.wandb")

    assert log.series["m0"].tolist() == [0.125, 0.25]
    assert len(log.series) == 5000


@pytest.mark.parametrize("end", [1, 8, 40])
def test_truncated_file(write, read, end):
    """A file that ends inside a record is never read as a shorter run."""
    path = write(*(history(step, train_loss="2.0") for step in range(4)))
    path.write_bytes(path.read_bytes()[:-end])
    with pytest.raises(InputError, match=r"run-x.wandb: the file ends inside the record at byte \d+, after [23] whole"):
        read(path="run-x.wandb")


def test_file_that_ends_between_pieces(write, read):
    """A record of which the last piece is missing is cut off, too."""
    path = write(history(1, **{f"m{number}": "0.125" for number in range(5000)}))
    path.write_bytes(path.read_bytes()[: 1 << 15])
    with pytest.raises(InputError, match=r"ends inside the record at byte 7, after 0 whole ones"):
        read(path="run-x.wandb")


def test_damaged_file(write, read):
    """A byte that changed is found."""
    path = write(history(1, train_loss="2.0"), ended())
    for place in (7, 13, 20):
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        (path.parent / "bad.wandb").write_bytes(data)
        with pytest.raises(InputError, match=r"the record at byte 7 is damaged: its checksum is wrong"):
            read(path="bad.wandb")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "this is no .wandb file"),
        (b":W&B", "this is no .wandb file"),
        (b"epoch,loss\n1,2\n", "this is no .wandb file"),
        (b":W&B\xe1\xbe\x01", "version 1 of the .wandb format is not known"),
        (pieces([]), "the log has no value"),
        (pieces([ended()]), "the log has no value"),
        (pieces([b"\xff\xff\xff"]), "the record at byte 7 is no record of W&B"),
    ],
)
def test_what_is_no_run(tmp_path, read, data, message):
    """Another file, another version, an empty run."""
    (tmp_path / "run-x.wandb").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read(path="run-x.wandb")


def test_folder(write, tmp_path, read):
    """A folder must hold one run."""
    with pytest.raises(InputError, match=r"\. holds no run \(run-\*\.wandb\)"):
        read(path=".", format="wandb")
    write(history(1, train_loss="2.0"))
    assert len(read(path=".")) == 1
    write(history(1, train_loss="2.0"), name="run-y.wandb")
    with pytest.raises(InputError, match=r"\. holds 2 runs; name one: run-x.wandb, run-y.wandb"):
        read(path=".", format="wandb")


def test_run_on_a_server(read, monkeypatch):
    """Without a key, or without an answer, the error says of which server, within ten seconds."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(InputError, match=r"cannot read W&B run a/b/c: set WANDB_API_KEY"):
        read(format="wandb", run_id="a/b/c")
    with pytest.raises(InputError, match=r"name an offline run by `path:`"):
        read(format="wandb", run_id="c")
    with pytest.raises(InputError, match=r"name two runs"):
        read(format="wandb", run_id="a/b/c", path="x")


def test_missing_library_names_its_command(write, read, monkeypatch):
    """Without the extra the error says what to install."""
    write(history(1, train_loss="2.0"))
    monkeypatch.setitem(sys.modules, "wandb.proto.wandb_internal_pb2", None)
    with pytest.raises(MissingExtraError, match=r'pip install "pytest-mle\[wandb\]"'):
        read(path="run-x.wandb")
    assert wandb_log.INSTALL.endswith('[wandb]"')
