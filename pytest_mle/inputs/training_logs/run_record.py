"""Find what a run depended on in what its tracker keeps, under the names of :mod:`pytest_mle.tracking`."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any

from pytest_mle.inputs.training_log import Checkpoint, TrainingRun
from pytest_mle.tracking import ALL_SEEDS, CHECKPOINTS, ENVIRONMENT, GROUPS, HYPERPARAMETERS, VALUES, flattened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_mle.inputs.training_log import RunStatus

_SEED_NAMES = ("seed", "random_seed", "seed_everything")
_TRAIN = ("train", "training")
_WHOLE = re.compile(r"[-+]?\d{1,30}")
_TEXTS = {"true": True, "false": False}


def training_run(
    record: Mapping[str, Any],
    *,
    run_id: str | None = None,
    uri: str | None = None,
    status: RunStatus | None = None,
    git_commit: str | None = None,
    checkpoints: Iterable[Checkpoint] = (),
    hardware: Mapping[str, Any] | None = None,
    framework_versions: Mapping[str, str] | None = None,
) -> TrainingRun:
    """Return what a record says of a run; the keyword arguments are what the tracker itself knows.

    ``record`` is nested, or has names joined by ``.`` or ``/``, or groups as JSON or Python text (trackers do all of
    these), on its own or below ``environment``. What it recorded itself comes before what the tracker knows. The rest,
    or what stands under ``hyperparameters`` if that is there, are the hyperparameters.

    A record with one data set's SHA-256 a split gives that of ``train``; all stay among the hyperparameters.
    """
    nested = _nested(record)
    inner = nested.pop(ENVIRONMENT, None)
    if isinstance(inner, dict):
        nested = {**inner, **nested}
    elif inner is not None:
        nested[ENVIRONMENT] = inner
    groups = {name: _group(nested.pop(name, None)) for name in GROUPS}
    values = {name: nested.pop(name, None) for name in VALUES}
    listed = nested.pop(CHECKPOINTS, None)
    declared = _group(nested.pop(HYPERPARAMETERS, None))
    hyperparameters = flattened(declared if isinstance(declared, dict) else nested)
    seeds, other_seeds = _seeds(groups["seeds"])
    for name in _SEED_NAMES:
        number = _whole(hyperparameters.get(name, nested.get(name)))
        if not seeds and number is not None:
            seeds = {ALL_SEEDS: number}
    digest = groups["dataset_sha256"]
    if isinstance(digest, dict):
        hyperparameters |= {f"dataset_sha256.{split}": str(one) for split, one in digest.items()}
        digest = next((digest[split] for split in _TRAIN if split in digest), None)
    return TrainingRun(
        run_id=run_id,
        uri=uri,
        status=status,
        hyperparameters={**hyperparameters, **other_seeds},
        seeds=seeds,
        model_version=_text(values["model_version"]),
        git_commit=_text(values["git_commit"]) or git_commit,
        git_dirty=_truth(values["git_dirty"]),
        dataset_version=_text(values["dataset_version"]),
        dataset_sha256=_text(digest),
        hardware={**(hardware or {}), **_mapping(groups["hardware"])},
        framework_versions={
            **(framework_versions or {}),
            **{name: str(version) for name, version in _mapping(groups["framework_versions"]).items()},
        },
        checkpoints=(*_checkpoints(listed), *checkpoints),
    )


def _nested(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record in which the groups of an environment are mappings, however their names were joined."""
    known = {*GROUPS, ENVIRONMENT, HYPERPARAMETERS}
    nested: dict[str, Any] = {}
    for name, value in record.items():
        group, separator, rest = _split(str(name))
        if separator and group in known:
            inside = nested.setdefault(group, {})
            if isinstance(inside, dict):
                inside[rest] = value
        elif name in known and isinstance(nested.get(name), dict):
            parsed = _group(value)
            if isinstance(parsed, dict):
                nested[name] |= parsed
        else:
            nested[name] = _group(value) if name in known else value
    if isinstance(nested.get(ENVIRONMENT), dict):
        nested[ENVIRONMENT] = _nested(nested[ENVIRONMENT])
    return nested


def _split(name: str) -> tuple[str, str, str]:
    found = re.search(r"[./]", name)
    return (name, "", "") if found is None else (name[: found.start()], found[0], name[found.end() :])


def _group(value: Any) -> Any:
    """Return a mapping that a tracker has turned into text as a mapping again."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def _seeds(found: Any) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the seeds, and what stands among them without being one (``dataloader_workers: none``)."""
    number = _whole(found)
    if number is not None:
        return {ALL_SEEDS: number}, {}
    seeds, others = {}, {}
    for name, value in _mapping(found).items():
        seed = _whole(value)
        if seed is None:
            others[f"seeds.{name}"] = value
        else:
            seeds[name] = seed
    return seeds, others


def _mapping(found: Any) -> dict[str, Any]:
    return {str(name): value for name, value in found.items()} if isinstance(found, dict) else {}


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    return value if isinstance(value, int) else None


def _text(value: Any) -> str | None:
    return None if value is None or value in ("", "None") or isinstance(value, (dict, list)) else str(value)


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else _TEXTS.get(str(value).strip().lower())


def _checkpoints(listed: Any) -> list[Checkpoint]:
    found = _group(listed)
    return [
        Checkpoint(
            path=str(one["path"]),
            epoch=_whole(one.get("epoch")),
            is_best=_truth(one.get("is_best")) is True,
            sha256=_text(one.get("sha256")),
        )
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict) and "path" in one
    ]
