"""Is the commit of the training code recorded, and can the code be had again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.records.finding import Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from pytest_mle.inputs.project import Project, Repository
    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.quantity import Quantity

_FULL_NAME = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)

QUANTITIES = {
    "valid_commit_sha": exact("1", "higher", "1 if the run recorded a full commit name (40 or 64 hexadecimal digits)."),
    "commit_in_repo": exact("1", "higher", "1 if the repository has that commit."),
    "commit_on_history": exact("1", "higher", "1 if the commit that is checked out descends from it."),
    "dirty_tree": exact("1", "lower", "1 if the training code differed from that commit."),
}
_UNSHALLOW = "clone it whole (in GitLab CI: `GIT_DEPTH: 0`)"


@check(quantities=QUANTITIES)
def code_version_recorded(log: TrainingLog, project: Project) -> Measurement:
    """Measure whether the code of a run can be checked out again from what the run recorded.

    An abbreviated name can become ambiguous and does not count. Of a run with uncommitted changes, the commit is not
    the code. All quantities are exact. Automotive SPICE 4.0 asks for it in SUP.8.BP5 and information item 13-08.

    Parameters
    ----------
    log
        Of the run, with ``git_commit`` and ``git_dirty``.
    project
        Its git repository. In a shallow clone that lacks the commit nothing can be said: the validity condition
        ``history_is_complete`` does not hold.
    """
    commit = (log.run.git_commit or "").strip()
    is_full = _FULL_NAME.fullmatch(commit) is not None
    repository = project.repository
    in_repository, on_history = _found(commit if is_full else None, repository)
    is_cut = repository is not None and repository.is_shallow and not (in_repository == 1 and on_history == 1)
    dirty = log.run.git_dirty
    found = {
        "valid_commit_sha": [] if is_full else [Finding(_why_invalid(commit), log.path, subject="git_commit")],
        "commit_in_repo": [Finding("the repository has no such commit", log.path, subject=commit)]
        if in_repository == 0
        else [],
        "dirty_tree": [Finding("the code had changes that are in no commit", log.path, subject=commit)]
        if dirty
        else [],
    }
    quantities: dict[str, Quantity | float] = {
        "valid_commit_sha": int(is_full),
        "commit_in_repo": in_repository,
        "commit_on_history": on_history,
        "dirty_tree": int(dirty)
        if dirty is not None
        else unmeasured(f"{log.path} does not say whether the tree was clean. Record git_dirty with the run"),
    }
    conditions = [
        ValidityCondition("repository", repository is not None, f"{project.name} is in no git repository"),
        ValidityCondition("history_is_complete", not is_cut, f"the clone is shallow: {_UNSHALLOW}" if is_cut else ""),
    ]
    return Measurement(
        quantities=quantities,
        findings=tuple(Findings.collect(name, one) for name, one in found.items() if one),
        # What the record itself lacks is shown whatever the clone holds.
        validity=tuple(conditions) if is_full else (),
        settings={"commit": commit or None, "head": None if repository is None else repository.head},
    )


def _found(commit: str | None, repository: Repository | None) -> tuple[Quantity | float, Quantity | float]:
    if commit is None:
        nothing = unmeasured("no full commit name is recorded")
        return nothing, nothing
    if repository is None:
        nothing = unmeasured("there is no git repository to look into")
        return nothing, nothing
    if not repository.has_commit(commit):
        return 0, 0
    return 1, int(repository.git("merge-base", "--is-ancestor", commit, "HEAD") is not None)


def _why_invalid(commit: str) -> str:
    if not commit:
        return "is not recorded with the run"
    return f"is {commit[:80]!r}, no full commit name: record `git rev-parse HEAD`"
