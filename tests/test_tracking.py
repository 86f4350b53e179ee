"""Tests of recording what a training run depends on."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from pytest_mle.inputs.training_logs.run_record import training_run
from pytest_mle.tracking import digest_of, flattened, record_environment


@pytest.fixture
def repository(tmp_path):
    """Make a repository with one commit."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("needs git")
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "train.py").write_text("pass\n")

    def run(*arguments):
        who = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        return subprocess.run([git, *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout

    run("init", "-q")
    run("add", "train.py")
    run("commit", "-q", "-m", "first")
    return folder, run


def test_commit_and_changes(repository):
    """The commit is that of the folder's repository, and a changed or unknown file makes it dirty."""
    folder, run = repository
    record = record_environment(repository=folder)

    assert (record["git_commit"], record["git_dirty"]) == (run("rev-parse", "HEAD").strip(), False)
    (folder / "new.py").touch()
    assert record_environment(repository=folder)["git_dirty"] is True


def test_a_repository_runs_nothing(repository):
    """A program that the repository's configuration names is not started."""
    folder, run = repository
    mark = folder.parent / "started"
    program = folder.parent / "monitor"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    run("config", "core.fsmonitor", str(program))
    record_environment(repository=folder)

    assert not mark.exists()


def test_outside_a_repository(tmp_path, monkeypatch):
    """Without a repository, without a commit, without git: None, and no error."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert record_environment(repository=tmp_path)["git_commit"] is None
    assert record_environment(repository=tmp_path)["git_dirty"] is None
    assert record_environment(repository=tmp_path / "gone")["git_commit"] is None
    monkeypatch.setenv("PATH", "")
    assert record_environment(repository=Path(__file__).parent)["git_commit"] is None


def test_repository_without_a_commit(repository):
    """Before the first commit there is none, and all is new."""
    folder, run = repository
    run("update-ref", "-d", "HEAD")
    record = record_environment(repository=folder)

    assert (record["git_commit"], record["git_dirty"]) == (None, True)


def test_seeds():
    """By library, or one for all; what is no whole number is refused."""
    assert record_environment(seeds={"torch": 1})["seeds"] == {"torch": 1}
    assert record_environment(seeds=7)["seeds"] == {"all": 7}
    assert record_environment()["seeds"] == {}
    for wrong in (True, {"torch": 1.5}, {"torch": "1"}):
        with pytest.raises(TypeError, match="must be a whole number"):
            record_environment(seeds=wrong)


def test_data_set(tmp_path):
    """A version and a digest are taken over, a file and a folder are hashed."""
    named = record_environment(dataset={"version": 1.2, "sha256": "ab"})
    assert (named["dataset_version"], named["dataset_sha256"]) == ("1.2", "ab")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_bytes(b"one")
    assert (
        record_environment(dataset=tmp_path / "sub" / "a.txt")["dataset_sha256"] == hashlib.sha256(b"one").hexdigest()
    )
    by_hand = hashlib.sha256(b"sub/a.txt\0" + hashlib.sha256(b"one").digest()).hexdigest()
    assert record_environment(dataset=str(tmp_path))["dataset_sha256"] == by_hand
    (tmp_path / "b.txt").write_bytes(b"")
    assert digest_of(tmp_path) != by_hand
    with pytest.raises(FileNotFoundError):
        record_environment(dataset=tmp_path / "gone")


def test_the_rest_is_plain_data():
    """Hardware, versions and time are JSON types."""
    record = record_environment()

    assert json.loads(json.dumps(record)) == record
    assert record["hardware"]["cores"] >= 1
    assert record["framework_versions"]["python"] == record["python"] == sys.version.split()[0]
    assert "numpy" in record["framework_versions"]
    assert datetime.fromisoformat(record["started"]).utcoffset().total_seconds() == 0


def test_nothing_heavy_is_imported():
    """A training script pays for Python's own modules only."""
    code = (
        "import sys; from pytest_mle.tracking import record_environment; record_environment(); "
        "print([name for name in ('pytest', 'numpy', 'torch', 'yaml', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


RECORD = {
    "seeds": {"python": 7, "torch": 8},
    "git_commit": "4f",
    "git_dirty": True,
    "dataset_version": "1.2",
    "dataset_sha256": {"train": "ab", "val": "cd"},
    "hardware": {"cores": 2},
    "framework_versions": {"torch": "2.13.0"},
    "checkpoints": [{"path": "best.pt", "epoch": 7, "is_best": True, "sha256": "ef"}, {"path": "last.pt"}],
    "started": "2026-01-04T10:00:00+00:00",
}
SHAPES = {
    "nested": RECORD,
    "below environment": {"environment": RECORD},
    "dotted": flattened(RECORD),
    "dotted text": {name: str(value) for name, value in flattened(RECORD).items()},
    "with slashes": {name.replace(".", "/"): value for name, value in flattened(RECORD).items()},
    "dotted below environment": flattened({"environment": RECORD}),
    "text of Python": {name: str(value) for name, value in RECORD.items()},
    "text of JSON": {
        name: json.dumps(value) if isinstance(value, (dict, list)) else str(value) for name, value in RECORD.items()
    },
    "one JSON text": {"environment": json.dumps(RECORD)},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_record_is_found_again(shape):
    """However a tracker has turned the record into pairs or text, readers find it."""
    run = training_run({**SHAPES[shape], "lr": 0.1})

    assert run.seeds == {"python": 7, "torch": 8}
    assert (run.git_commit, run.git_dirty, run.dataset_version, run.dataset_sha256) == ("4f", True, "1.2", "ab")
    assert {name: str(value) for name, value in run.hardware.items()} == {"cores": "2"}
    assert run.framework_versions == {"torch": "2.13.0"}
    assert [(one.path, one.epoch, one.is_best, one.sha256) for one in run.checkpoints] == [
        ("best.pt", 7, True, "ef"),
        ("last.pt", None, False, None),
    ]
    assert run.hyperparameters == {"lr": 0.1, "dataset_sha256.train": "ab", "dataset_sha256.val": "cd"}


def test_hyperparameters_stand_alone_if_they_are_named():
    """Then what else a record holds is not one of them."""
    run = training_run({"hyperparameters": {"optimizer": {"name": "SGD"}}, "seconds": 3.5, "hyperparameters.lr": 0.1})
    assert run.hyperparameters == {"optimizer.name": "SGD", "lr": 0.1}


@pytest.mark.parametrize(
    ("record", "seeds"),
    [
        ({"seed": 3}, {"all": 3}),
        ({"seed": "3"}, {"all": 3}),
        ({"seed": 3.0}, {"all": 3}),
        ({"seed": "x"}, {}),
        ({"seeds": 4}, {"all": 4}),
        ({"seeds": {"a": "none"}, "seed": 1}, {"all": 1}),
        ({"seed": True}, {}),
    ],
)
def test_one_seed(record, seeds):
    """A single seed counts for all."""
    assert training_run(record).seeds == seeds


@pytest.mark.parametrize("value", ["{", "[1", "{'a': b}", "None", "", None, [1], 7])
def test_what_is_no_record_does_no_harm(value):
    """Text that looks like a mapping and is none stays what it is."""
    run = training_run(
        {"hardware": value, "seeds": value, "checkpoints": value, "environment": value, "git_dirty": value}
    )

    assert (run.hardware, run.checkpoints, run.git_dirty) == ({}, (), None)


def test_pairs_leave_out_what_is_unknown():
    """None is not written as text that a reader would take for a value."""
    assert flattened({"a": None, "b": {"c": [1, "x"], "d": 2}}) == {"b.c": '[1, "x"]', "b.d": 2}
