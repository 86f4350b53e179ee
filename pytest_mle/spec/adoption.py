"""``adopt``: which proposed criteria of a checklist gate in this project."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_mle.errors import closest
from pytest_mle.spec.criteria import CriterionError, read_criterion
from pytest_mle.yaml_with_lines import LocatedList, LocatedMapping

if TYPE_CHECKING:
    from pytest_mle.spec.overlay import Adoption, Effective
    from pytest_mle.spec.problems import Problems


@dataclass(slots=True)
class Adopted:
    """Items whose proposed criteria gate, and single quantities of items."""

    items: set[str] = field(default_factory=set)
    quantities: set[tuple[str, str]] = field(default_factory=set)


def read_adoptions(effective: Effective, problems: Problems) -> Adopted:
    """Resolve ``adopt`` entries; one that adopts nothing is a problem."""
    adopted = Adopted()
    for adoption in effective.adoptions:
        message = _adopt(adoption, effective, adopted)
        if message is not None:
            problems.add(adoption.location, message)
    return adopted


def _adopt(adoption: Adoption, effective: Effective, adopted: Adopted) -> str | None:
    text = adoption.text.strip()
    if text == "all":
        adopted.items |= adoption.items
        return None
    name, quantity = text, ""
    while name and name not in adoption.items:
        name, _, last = name.rpartition(".")
        quantity = f"{last}.{quantity}" if quantity else last
    if not name:
        return f"adopt: the extended checklist has no item {text!r}. {closest(text, sorted(adoption.items))}"
    known = quantities_of(effective.items[name].mapping)
    if not known:
        return f"adopt: {name} has no criteria that could be adopted"
    if quantity and quantity not in known:
        return f"adopt: {name} has no criterion on {quantity!r}. {closest(quantity, known)}"
    if quantity:
        adopted.quantities.add((name, quantity))
    else:
        adopted.items.add(name)
    return None


def quantities_of(mapping: LocatedMapping) -> list[str]:
    """Return the quantities that an item's criteria name, unreadable ones left out."""
    names: list[str] = []
    for key in ("accept", "accept_more", "advise"):
        entries = mapping.get(key)
        for entry in entries if isinstance(entries, LocatedList) else ():
            text = entry.get("criterion") if isinstance(entry, LocatedMapping) else entry
            try:
                names.append(read_criterion(str(text)).quantity)
            except CriterionError:
                continue
    return list(dict.fromkeys(names))
