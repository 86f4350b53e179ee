"""The checkpoints of a run, where they are stored."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.checkpoint_storage import QUANTITIES, checkpoint_storage, epoch_of, is_best_name
from pytest_mle.checks.experiments.sha256 import file_sha256
from pytest_mle.errors import InputError, TrustError
from pytest_mle.inputs.project import Project
from pytest_mle.inputs.training_log import Checkpoint


@pytest.fixture
def project(tmp_path):
    """A project whose run of 30 epochs kept three checkpoints and the best one."""
    for name in ("epoch_10.npz", "epoch_20.npz", "epoch_30.npz", "best.npz"):
        path = tmp_path / "runs" / "ckpt" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, name=np.frombuffer(name.encode(), dtype=np.uint8))
    return Project(tmp_path)


@pytest.fixture
def run(log, project):
    """The log of that run, which lists its checkpoints."""

    def make(checkpoints=None, epochs=30):
        if checkpoints is None:
            paths = sorted((project.root / "runs" / "ckpt").iterdir())
            checkpoints = [Checkpoint(f"ckpt/{one.name}", sha256=file_sha256(one)) for one in paths]
        return log({"val_loss": np.ones(epochs)}, path="runs/log.csv", checkpoints=tuple(checkpoints))

    return make


def test_complete_store(project, run, values):
    """Every tenth epoch and the best one, each with the SHA-256 that the run recorded."""
    measured = checkpoint_storage(run(), project)
    assert values(measured) == {
        "checkpoints": 4,
        "best_checkpoint_present": 1,
        "absent_checkpoints": 0,
        "missing_periodic_checkpoints": 0,
        "checkpoint_hash_mismatches": 0,
        "checkpoints_without_hash": 0,
        "unloadable_checkpoints": 0,
    }
    assert measured.findings == ()
    assert built_in_check("checkpoint_storage").quantities == QUANTITIES


def test_damage_is_found(project, run, values, findings):
    """One file gone, one empty, one truncated, one swapped: each is counted where it belongs."""
    log = run()
    folder = project.root / "runs" / "ckpt"
    (folder / "epoch_10.npz").unlink()
    (folder / "epoch_20.npz").write_bytes(b"")
    (folder / "best.npz").write_bytes((folder / "best.npz").read_bytes()[:-30])
    np.savez(folder / "epoch_30.npz", other=np.zeros(3))
    measured = checkpoint_storage(log, project)
    assert values(measured) == {
        "checkpoints": 3,
        "best_checkpoint_present": 1,
        "absent_checkpoints": 1,
        "missing_periodic_checkpoints": 2,
        "checkpoint_hash_mismatches": 3,
        "checkpoints_without_hash": 0,
        "unloadable_checkpoints": 2,
    }
    assert findings(measured, "absent_checkpoints") == ["ckpt/epoch_10.npz: the run lists it, but it is not there"]
    assert findings(measured, "missing_periodic_checkpoints")[1] == "epoch 20: there is no checkpoint of this epoch"
    assert findings(measured, "unloadable_checkpoints")[1] == "runs/ckpt/epoch_20.npz: has no bytes"


def test_d2_a_best_model_without_name_or_file(project, run, values):
    """D2: the last model logged under the name of the best is not there: an empty or absent best one does not count."""
    (project.root / "runs" / "ckpt" / "best.npz").write_bytes(b"")
    assert values(checkpoint_storage(run(), project))["best_checkpoint_present"] == 0
    last_only = run([Checkpoint("ckpt/epoch_30.npz", epoch=30)])
    assert values(checkpoint_storage(last_only, project))["best_checkpoint_present"] == 0
    assert (
        values(checkpoint_storage(run([Checkpoint("ckpt/epoch_30.npz", is_best=True)]), project))[
            "best_checkpoint_present"
        ]
        == 1
    )


def test_folder_without_a_record(project, log, values):
    """Names say epochs and the best one; a log without epochs does not say how many there were, nor any hash."""
    measured = values(checkpoint_storage(log(), project, folder="runs"))
    assert (measured["checkpoints"], measured["best_checkpoint_present"]) == (4, 1)
    assert measured["missing_periodic_checkpoints"] is None
    assert measured["checkpoint_hash_mismatches"] is None
    assert measured["checkpoints_without_hash"] == 4
    assert values(checkpoint_storage(log(), project, folder="runs", epochs=40))["missing_periodic_checkpoints"] == 1


def test_files_that_moved_and_a_list_of_hashes(project, run, values, tmp_path):
    """Paths of the machine that trained are found again in `folder`; a sha256sum list speaks for names beside it."""
    lines = [f"{file_sha256(one)}  {one.name}" for one in sorted((project.root / "runs" / "ckpt").iterdir())]
    (project.root / "runs" / "ckpt" / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    moved = run([Checkpoint(f"/home/trainer/out/epoch_{n}.npz") for n in (10, 20, 30)])
    measured = checkpoint_storage(moved, project, folder="runs/ckpt", hashes="runs/ckpt/SHA256SUMS")
    assert values(measured)["absent_checkpoints"] == 0
    assert values(measured)["checkpoint_hash_mismatches"] == 0
    assert values(measured)["checkpoints_without_hash"] == 0
    np.savez(project.root / "runs" / "ckpt" / "best.npz", other=np.zeros(3))
    measured = checkpoint_storage(moved, project, folder="runs/ckpt", hashes="runs/ckpt/SHA256SUMS")
    assert values(measured)["checkpoint_hash_mismatches"] == 1
    assert values(checkpoint_storage(moved, project))["absent_checkpoints"] == 3


def test_hashes_that_are_none(project, run, values):
    """A word in place of a SHA-256 is no recorded hash."""
    listed = [Checkpoint(f"ckpt/epoch_{n}.npz", sha256=text) for n, text in ((10, "TBD"), (20, ""), (30, None))]
    measured = values(checkpoint_storage(run(listed), project))
    assert measured["checkpoint_hash_mismatches"] is None
    assert measured["checkpoints_without_hash"] == 3


@pytest.mark.parametrize(
    ("epochs", "every", "missing"),
    [
        ([9, 19, 29], 10, 0),
        ([10, 20, 30], 10, 0),
        ([9, 20, 29], 10, 1),
        ([30], 10, 2),
        ([], 10, 3),
        ([10, 20, 30], 5, 3),
        ([30], 40, 0),
        ([20], 30, 1),
        ([], 40, 1),
    ],
)
def test_epochs_count_from_zero_or_one(project, run, values, epochs, every, missing):
    """Lightning's first epoch is 0; mixing both ways is no excuse."""
    listed = []
    for epoch in epochs:
        np.savez(project.root / f"e{epoch}.npz", w=np.zeros(1))
        listed.append(Checkpoint(f"../e{epoch}.npz", epoch=epoch))
    measured = values(checkpoint_storage(run(listed), project, every_n_epochs=every))
    assert measured["missing_periodic_checkpoints"] == missing


def test_nothing_is_known(project, run):
    """A log that lists no checkpoint shows nothing."""
    (broken,) = [one for one in checkpoint_storage(run([]), project).validity if not one.holds]
    assert broken.name == "checkpoints_are_known"
    assert "folder" in broken.detail


def test_bad_parameters(project, log):
    """A folder that is absent or outside, a distance of zero, a list that is absent."""
    with pytest.raises(InputError, match="no folder"):
        checkpoint_storage(log(), project, folder="absent")
    with pytest.raises(TrustError):
        checkpoint_storage(log(), project, folder="/etc")
    with pytest.raises(ValueError, match="every_n_epochs"):
        checkpoint_storage(log(), project, every_n_epochs=0)
    with pytest.raises(InputError, match="cannot read"):
        checkpoint_storage(log(), project, folder="runs", hashes="absent")


def test_names():
    """Epoch and best as frameworks write them."""
    names = ["epoch=09-step=900.ckpt", "ckpt_10.pt", "epoch12.pt", "checkpoint-300.pt", "weights.pt", "model_v2.pt"]
    assert [epoch_of(name) for name in names] == [9, 10, 12, 300, None, None]
    assert [is_best_name(name) for name in ("best.pt", "model_best.pth", "best-v1.ckpt", "bestiary.pt", "last.pt")] == [
        *(True, True, True, False, False)
    ]
