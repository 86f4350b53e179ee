"""Tests of reading TensorBoard's event files."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from pytest_mle.errors import InputError, MissingExtraError
from pytest_mle.inputs.training_logs import tensorboard_log

pytest.importorskip("tensorboard")
SummaryWriter = pytest.importorskip("torch.utils.tensorboard").SummaryWriter


@pytest.fixture
def events(tmp_path):
    """Write two epochs and return the event file."""
    with SummaryWriter(tmp_path / "events") as writer:
        for epoch in (1, 2):
            writer.add_scalar("Loss/train", 3.0 - epoch, epoch)
            writer.add_scalar("Loss/val", 4.0 - epoch, epoch)
    (found,) = (tmp_path / "events").iterdir()
    return found


def test_event_file_and_folder_are_the_same_log(events, read):
    """One file can be named, or the folder that holds it."""
    by_file, by_folder = read(path=f"events/{events.name}"), read(path="events")

    assert by_file.series["train_loss"].tolist() == by_folder.series["train_loss"].tolist() == [2.0, 1.0]
    assert by_file.digest == by_folder.digest
    assert by_folder.metadata["epochs_from"] == "step"
    assert by_folder.run.status is None


def test_declared_columns(events, read):
    """Tags can be mapped, and a tag that is not there is named with those that are."""
    assert read(path="events", columns={"val_map_50": "Loss/val"}).series["val_map_50"].tolist() == [3.0, 2.0]
    with pytest.raises(
        InputError, match=r"spec.yaml:20: .*no column 'Loss/vall' for val_loss. Did you mean 'Loss/val'"
    ):
        read(path="events", columns={"val_loss": "Loss/vall"})


@pytest.mark.parametrize("end", [1, 10, 30])
def test_truncated_file(events, read, end):
    """A file that ends inside a record is never read as a shorter run."""
    events.write_bytes(events.read_bytes()[:-end])
    with pytest.raises(InputError, match=r"the file ends inside the record at byte \d+, after 4 whole ones") as raised:
        read(path="events")
    assert "the run was cut off" in str(raised.value)


@pytest.mark.parametrize("place", [0, 9, -20, -2])
def test_damaged_file(events, read, place):
    """A byte that changed is found, in the length, the content and the checksums."""
    data = bytearray(events.read_bytes())
    data[place] ^= 1
    events.write_bytes(data)
    with pytest.raises(InputError, match=r"the record at byte \d+ is damaged: its checksum is wrong"):
        read(path="events")


def test_what_is_no_event_file(tmp_path, read):
    """A record with the right checksums that holds something else, an empty file, an empty folder."""
    folder = tmp_path / "events"
    folder.mkdir()
    with pytest.raises(InputError, match=r"events holds no event file"):
        read(path="events", format="tensorboard")
    (folder / "events.out.tfevents.1.host").touch()
    with pytest.raises(InputError, match=r"events: the log has no value"):
        read(path="events")
    with pytest.raises(InputError, match=r"cannot read .*gone"):
        read(path="gone", format="tensorboard")


def test_several_values_an_epoch_are_a_series_by_step(tmp_path, read):
    """Batches without an epoch at their step belong to the next step that has one."""
    with SummaryWriter(tmp_path / "events") as writer:
        for step in range(1, 7):
            writer.add_scalar("train_loss", 8.0 - step, step)
            if step % 2 == 0:
                writer.add_scalar("epoch", step // 2, step)
                writer.add_scalar("val_loss", 9.0 - step, step)
        writer.add_scalar("train_loss", 0.5, 7)
    log = read(path="events")

    assert log.epochs.tolist() == [1, 2, 3]
    assert log.series["train_loss"].tolist() == [6.5, 4.5, 2.5]
    assert log.series["val_loss"].tolist() == [7.0, 5.0, 3.0]
    assert log.step_series["train_loss"].steps.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert log.step_series["train_loss"].values.tolist() == [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 0.5]
    assert log.metadata["without_epoch"] == {"train_loss": 1}
    assert "val_loss" not in log.step_series


def test_batches_counted_by_themselves_are_no_epochs(tmp_path, read):
    """Without an epoch metric the losses say which epochs there are; a finer series is one by step."""
    with SummaryWriter(tmp_path / "events") as writer:
        for epoch in range(3):
            writer.add_scalar("train_loss", 1.0 / (epoch + 1), epoch)
            writer.add_scalar("val_loss", 2.0 / (epoch + 1), epoch)
        for batch in range(12):
            writer.add_scalar("grad_norm", 1.0, batch)
    log = read(path="events")

    assert log.epochs.tolist() == [0, 1, 2]
    assert "gradient_norm" not in log.series
    assert len(log.step_series["gradient_norm"].values) == 12


def test_hyperparameters_of_the_plugin(tmp_path, read):
    """The hparams plugin gives hyperparameters with their types, and the status."""
    with SummaryWriter(tmp_path / "events") as writer:
        writer.add_scalar("train_loss", 1.0, 1)
        writer.add_hparams({"lr": 0.5, "optimizer": "SGD", "seed": 3}, {"best": 0.5}, run_name=".")
    run = read(path="events").run

    assert run.hyperparameters == {"lr": 0.5, "optimizer": "SGD", "seed": 3}
    assert run.seeds == {"all": 3}
    assert run.status == "finished"


def test_text_that_is_no_record_does_no_harm(tmp_path, read):
    """Only a mapping is a record."""
    with SummaryWriter(tmp_path / "events") as writer:
        writer.add_scalar("train_loss", 1.0, 1)
        writer.add_text("environment", "{")
        writer.add_text("environment", json.dumps([1]))
        writer.add_text("notes", json.dumps({"git_commit": "x"}))
        writer.add_histogram("weights", np.arange(4.0), 1)
    log = read(path="events")

    assert set(log.series) == {"train_loss"}
    assert log.run.git_commit is None


def test_restarted_run_overwrites_what_it_writes_again(tmp_path, read):
    """A writer with purge_step goes on from a checkpoint; without it the steps run backwards, which is an error."""
    for name, options in (("purged", {"purge_step": 3}), ("doubled", {})):
        for first, kept in ((1, {}), (3, options)):
            with SummaryWriter(tmp_path / name, filename_suffix=str(first), **kept) as writer:
                for epoch in range(first, first + 4):
                    writer.add_scalar("train_loss", 10.0 * first + epoch, epoch)
    log = read(path="purged")

    assert log.epochs.tolist() == [1, 2, 3, 4, 5, 6]
    assert log.series["train_loss"].tolist() == [11.0, 12.0, 33.0, 34.0, 35.0, 36.0]
    with pytest.raises(InputError, match=r"train_loss goes back from step 4 to 3: is this the log of several runs"):
        read(path="doubled")


def test_subfolders_have_their_name_in_front(tmp_path, read):
    """Keras writes training and validation into folders of their own."""
    for folder in ("train", "validation"):
        with SummaryWriter(tmp_path / "events" / folder) as writer:
            writer.add_scalar("epoch_loss", 1.0 if folder == "train" else 2.0, 1)
    log = read(path="events")

    assert (log.series["train_loss"].tolist(), log.series["val_loss"].tolist()) == ([1.0], [2.0])


def test_checksums_are_those_of_tensorboard():
    """CRC-32C as TensorBoard computes it, for pieces of each length."""
    crc32c = pytest.importorskip("tensorboard.compat.tensorflow_stub.pywrap_tensorflow")
    data = np.random.default_rng(1).integers(0, 256, 300).astype(np.uint8)
    for length in (0, 1, 8, 100):
        found = tensorboard_log.masked_crc32c(data, np.array([0, 7]), length)
        expected = [crc32c.masked_crc32c(data[start : start + length].tobytes()) for start in (0, 7)]
        assert found.tolist() == expected


def test_missing_library_names_its_command(events, read, monkeypatch):
    """Without the extra the error says what to install."""
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(MissingExtraError, match=r'pip install "pytest-mle\[tensorboard\]"'):
        read(path="events")
