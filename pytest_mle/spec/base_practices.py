"""Base practices: those of Automotive SPICE 4.0, and what checklists and specs add beside them."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from pytest_mle.spec.fields import read_fields
from pytest_mle.spec.model import BasePractice
from pytest_mle.spec.source_files import CHECKLISTS, SourceFiles

if TYPE_CHECKING:
    from pytest_mle.spec.overlay import Effective
    from pytest_mle.spec.problems import Problems

_ID = re.compile(r"(?P<process>[A-Z]{3,4}(?:\.\d+)?)\.BP\d+")
# The PAM is known in full for these; whatever else bears their name is an extension.
_COMPLETE = ("MLE.1", "MLE.2", "MLE.3", "MLE.4", "SUP.11")


@cache
def official_base_practices() -> tuple[dict[str, BasePractice], dict[str, str]]:
    """Return base practices by id and process titles by id, as Automotive SPICE PAM 4.0 has them."""
    data = SourceFiles().read(CHECKLISTS / "pam40.yaml")
    practices = {one["id"]: BasePractice(one["id"], one["title"], one["process"]) for one in data["base_practices"]}
    return practices, {one["id"]: one["title"] for one in data["processes"]}


def official_spelling(name: str) -> str:
    """Return ``MLE.1.BP6`` for the handbook's ``MLE.1-BP6``."""
    return re.sub(r"[-\s.]?BP[-.\s]?(\d+)$", r".BP\1", name.strip(), flags=re.IGNORECASE)


def read_base_practices(effective: Effective, problems: Problems) -> tuple[dict[str, BasePractice], dict[str, str]]:
    """Return the official base practices and those that the spec and its checklists add, with process titles."""
    practices, titles = (official_base_practices()[0].copy(), official_base_practices()[1].copy())
    for name, mapping in effective.processes.items():
        good = read_fields(mapping, "process", f"process {name}", mapping.location, problems)
        if "title" in good:
            titles.setdefault(name, good["title"])
    for name, mapping in effective.base_practices.items():
        good = read_fields(mapping, "base_practice", f"base practice {name}", mapping.location, problems)
        practice_id = official_spelling(name)
        found = _ID.fullmatch(practice_id)
        if found is None:
            problems.add(mapping.place("id"), f"{name!r} is no id of a base practice. Write it as MLE.5.BP1")
            continue
        if practice_id in official_base_practices()[0]:
            problems.add(mapping.place("id"), f"{practice_id} is in Automotive SPICE 4.0 and cannot be redefined")
            continue
        process = str(good.get("process", found["process"]))
        is_official = good.get("official", False)
        if is_official and (process in _COMPLETE or process.startswith("MLE.")):
            problems.add(
                mapping.place("official"),
                f"{practice_id} cannot be official: Automotive SPICE 4.0 has MLE.1 to MLE.4 and SUP.11 only, "
                "without this base practice. Leave out `official`",
            )
            is_official = False
        practices[practice_id] = BasePractice(practice_id, good.get("title", practice_id), process, is_official)
        titles.setdefault(process, good.get("process_title", process))
    return practices, titles
