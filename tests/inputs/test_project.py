"""A project's files and git history, read without changing or running anything of it."""

from __future__ import annotations

import subprocess

import pytest

from pytest_mle.errors import TrustError
from pytest_mle.inputs.project import Project

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org")


def git(folder, *arguments):
    """Run git in a folder."""
    done = subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path):
    """A repository with one commit; the spec stands in a folder of it."""
    git(tmp_path, "init", "-q")
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec" / "train.py").write_text("pass\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return Project((tmp_path / "spec").resolve())


def test_commits_are_found(project):
    """The commit that is checked out, and others by their name."""
    repository = project.repository
    head = git(project.root, "rev-parse", "HEAD")
    assert repository.head == head
    assert repository.has_commit(head[:10])
    assert not repository.has_commit("0" * 40)
    assert not repository.has_commit("--all")
    assert not repository.has_commit("")
    assert not repository.is_shallow


def test_nothing_that_a_repository_configures_is_run(project, tmp_path):
    """A file-system monitor in the repository's own configuration would be code of somebody else."""
    witness = tmp_path / "ran"
    git(project.root, "config", "core.fsmonitor", f"touch {witness}; false")
    assert project.repository.git("status", "--porcelain") == ""
    assert not witness.exists()


def test_a_folder_without_repository_and_one_without_commit(tmp_path):
    """No repository is None; an empty one has no head."""
    assert Project(tmp_path.resolve()).repository is None
    git(tmp_path, "init", "-q")
    assert Project(tmp_path.resolve()).repository.head is None


def test_files_stay_inside_the_project(project):
    """A path that leads out needs to be granted."""
    assert project.file("train.py") == project.root / "train.py"
    with pytest.raises(TrustError, match="--mle-data-root="):
        project.file("../other")


def test_contents_of_the_commit(project):
    """Files below a folder and their contents as committed, whatever the working tree holds; large ones are left out."""
    (project.root / "data").mkdir()
    (project.root / "data" / "a ü.txt").write_text("one\n")
    (project.root / "data" / "large.bin").write_bytes(bytes(5000))
    (project.root / "data" / "link").symlink_to("large.bin")
    git(project.root, "add", ".")
    git(project.root, "commit", "-qm", "data")
    (project.root / "data" / "a ü.txt").write_text("two\n")
    repository = project.repository
    files = repository.committed_files(project.root / "data")
    assert set(files) == {"spec/data/a ü.txt", "spec/data/large.bin"}
    contents = repository.small_contents([*files.values(), "0" * 40], 1024)
    assert contents == {files["spec/data/a ü.txt"]: b"one\n"}
    assert repository.small_contents([], 10) == {}
    assert repository.committed_files(project.root / "absent") == {}


def test_innermost_repository(project):
    """A repository inside the project's one holds what is in it."""
    (project.root / "data").mkdir()
    git(project.root / "data", "init", "-q")
    assert project.repository_of(project.root / "data").root == project.root / "data"
    assert project.repository_of(project.root).root == project.repository.root
