"""The commit of a run, in real repositories."""

from __future__ import annotations

import subprocess

import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.code_version_recorded import QUANTITIES, code_version_recorded
from pytest_mle.inputs.project import Project


def git(folder, *arguments):
    """Run git in a folder."""
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """Three commits on the main branch, and one on another."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for number in range(3):
        git(folder, "commit", "-q", "--allow-empty", "-m", str(number))
    git(folder, "checkout", "-q", "-b", "side")
    git(folder, "commit", "-q", "--allow-empty", "-m", "side")
    git(folder, "checkout", "-q", "main")
    return folder


def test_commit_of_a_clean_tree(log, values, repository):
    """An older commit of the branch that is checked out, recorded in full, from a clean tree."""
    run = log(git_commit=git(repository, "rev-parse", "HEAD~1"), git_dirty=False)
    measured = code_version_recorded(run, Project(repository))
    assert values(measured) == {"valid_commit_sha": 1, "commit_in_repo": 1, "commit_on_history": 1, "dirty_tree": 0}
    assert all(one.holds for one in measured.validity)
    assert measured.findings == ()
    assert built_in_check("code_version_recorded").quantities == QUANTITIES


def test_commit_of_another_branch_and_dirty_tree(log, values, repository):
    """A commit that never came to the main branch is in the repository and not on its history."""
    run = log(git_commit=git(repository, "rev-parse", "side").upper(), git_dirty=True)
    measured = values(code_version_recorded(run, Project(repository)))
    assert measured == {"valid_commit_sha": 1, "commit_in_repo": 1, "commit_on_history": 0, "dirty_tree": 1}


@pytest.mark.parametrize(
    "commit", [None, "", "main", "HEAD", "v1.0", "abc1234", "z" * 40, "0" * 39, "--all", "unknown"]
)
def test_what_is_no_commit_name(log, values, repository, commit):
    """D3: no commit, a branch, a tag or an abbreviation names no code for ever; nothing else is claimed then."""
    measured = code_version_recorded(log(git_commit=commit), Project(repository))
    assert values(measured) == {
        "valid_commit_sha": 0,
        "commit_in_repo": None,
        "commit_on_history": None,
        "dirty_tree": None,
    }
    assert all(one.holds for one in measured.validity)


def test_commit_that_is_not_there(log, values, findings, repository):
    """A commit that was never pushed cannot be had again."""
    measured = code_version_recorded(log(git_commit="0" * 40, git_dirty=False), Project(repository))
    assert (values(measured)["commit_in_repo"], values(measured)["commit_on_history"]) == (0, 0)
    assert findings(measured, "commit_in_repo") == [f"log.csv: {'0' * 40}: the repository has no such commit"]
    assert all(one.holds for one in measured.validity)


def test_blob_is_no_commit(log, values, repository):
    """The name of a file's content has the form of a commit's name and is none."""
    (repository / "a").write_text("a")
    blob = git(repository, "hash-object", "-w", "a")
    assert values(code_version_recorded(log(git_commit=blob), Project(repository)))["commit_in_repo"] == 0


def test_shallow_clone_says_nothing_about_older_commits(log, values, repository, tmp_path):
    """In a clone of depth 1 the older commit is not shown to be absent; the head itself is shown to be there."""
    older, head = git(repository, "rev-parse", "HEAD~1"), git(repository, "rev-parse", "HEAD")
    git(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), "clone")
    project = Project(tmp_path / "clone")
    cut = code_version_recorded(log(git_commit=older, git_dirty=False), project)
    (broken,) = [one for one in cut.validity if not one.holds]
    assert (broken.name, "GIT_DEPTH: 0" in broken.detail) == ("history_is_complete", True)
    whole = code_version_recorded(log(git_commit=head, git_dirty=False), project)
    assert all(one.holds for one in whole.validity)
    assert values(whole)["commit_on_history"] == 1


def test_no_repository(log, tmp_path):
    """Without a repository nothing can be looked up."""
    measured = code_version_recorded(log(git_commit="a" * 40), Project(tmp_path))
    assert [one.name for one in measured.validity if not one.holds] == ["repository"]
    assert "no git repository" in measured.quantities["commit_in_repo"].method
