"""Layers: a spec on top of the specs and checklists that it extends, merged by item id.

Mappings merge, lists replace, ``accept_more`` appends; every key keeps the place where it was set.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import Location, SpecError, closest
from pytest_mle.spec.fields import read_fields
from pytest_mle.spec.source_files import CHECKLISTS, SourceFiles, display_path
from pytest_mle.yaml_with_lines import LocatedList, LocatedMapping, kind_of, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_mle.spec.interpolation import Interpolation
    from pytest_mle.spec.problems import Problems

INDEX = "_index.yaml"
OF_THE_CHECK = ("with", "using", "parametrize", "accept", "accept_more", "advise")
REMOVABLE = ("with", "using", "where")
MERGED_SECTIONS = ("project", "inputs", "defaults", "policy")


@dataclass(slots=True)
class ItemSource:
    """One item after merging: ``checklist`` where it comes from one, ``is_addressed`` if a spec mentions it."""

    mapping: LocatedMapping
    checklist: str | None = None
    is_addressed: bool = True


@dataclass(frozen=True, slots=True)
class Adoption:
    """One entry of ``adopt``: ``all``, an item, or one quantity of an item."""

    text: str
    location: Location
    items: frozenset[str]


@dataclass(slots=True)
class Effective:
    """The merged spec, not yet validated."""

    sections: LocatedMapping
    items: dict[str, ItemSource] = field(default_factory=dict)
    requirements: dict[str, LocatedMapping] = field(default_factory=dict)
    base_practices: dict[str, LocatedMapping] = field(default_factory=dict)
    processes: dict[str, LocatedMapping] = field(default_factory=dict)
    adoptions: list[Adoption] = field(default_factory=list)
    checklist_files: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)


def merge(base: LocatedMapping, top: LocatedMapping) -> LocatedMapping:
    """Lay one mapping over another; nested mappings merge, everything else of ``top`` replaces."""
    merged = base.copy()
    merged.location = top.location
    for key, value in top.items():
        below = merged.get(key)
        both = isinstance(below, LocatedMapping) and isinstance(value, LocatedMapping)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
        merged.places[key] = top.place(key)
        merged.spelled.pop(key, None)
        if key in top.spelled:
            merged.spelled[key] = top.spelled[key]
    return merged


def merge_item(base: LocatedMapping, top: LocatedMapping) -> LocatedMapping:
    """Lay one item over another, and append ``accept_more`` to ``accept``.

    Parameters, inputs and criteria belong to a check: an item that names another one leaves them behind.
    """
    for section in REMOVABLE:
        base, top = _remove_nulls(base, top, section)
    if "check" in base and top.get("check", base["check"]) != base["check"]:
        base = without(base, OF_THE_CHECK)
    below = base.get("accept")
    merged = merge(base, top)
    more = top.get("accept_more")
    if isinstance(below, LocatedList) and isinstance(more, LocatedList) and "accept" not in top:
        merged["accept"] = appended(below, more)
        del merged["accept_more"]
    return merged


def _remove_nulls(base: LocatedMapping, top: LocatedMapping, section: str) -> tuple[LocatedMapping, LocatedMapping]:
    """Let ``with: {name: null}`` remove what lies below, as JSON merge patches do (RFC 7396)."""
    below, above = base.get(section), top.get(section)
    if not (isinstance(below, LocatedMapping) and isinstance(above, LocatedMapping)):
        return base, top
    removed = [key for key, value in above.items() if value is None and key in below]
    if not removed:
        return base, top
    base, top = base.copy(), top.copy()
    base[section], top[section] = without(below, removed), without(above, removed)
    return base, top


def without(mapping: LocatedMapping, keys: Iterable[str]) -> LocatedMapping:
    """Return a copy that lacks some keys."""
    kept = mapping.copy()
    for key in keys:
        kept.pop(key, None)
        kept.places.pop(key, None)
    return kept


def appended(first: LocatedList, second: LocatedList) -> LocatedList:
    """Return both lists as one; each entry keeps its place."""
    joined = LocatedList(first.location)
    joined.extend([*first, *second])
    joined.places.extend([*first.places, *second.places])
    return joined


class Layers:
    """Reads a spec with everything that it extends, base first."""

    def __init__(self, files: SourceFiles, interpolation: Interpolation, problems: Problems) -> None:
        self.files = files
        self.interpolation = interpolation
        self.problems = problems
        self.root = Path()
        self._done: dict[Path, frozenset[str]] = {}
        self._open: list[Path] = []
        self._requirement_files: set[Path] = set()

    def read(self, path: Path) -> Effective:
        """Read the spec at ``path``.

        Raises
        ------
        SpecError
            If that file itself cannot be read; what is wrong with others is noted in ``problems``.
        """
        self.root = _real(path.parent)
        tree = self.files.read(path)
        shown = display_path(path)
        if tree is None:
            raise SpecError("the spec is empty. Begin with `mle_spec: 1` and a list of `items`", Location(shown))
        if not isinstance(tree, LocatedMapping):
            raise SpecError(
                f"a spec must be a mapping that begins with `mle_spec: 1`, got {kind_of(tree)}", Location(shown, 1)
            )
        effective = Effective(LocatedMapping(tree.location))
        self._add_spec(effective, tree, path)
        return effective

    def _add_spec(self, effective: Effective, tree: LocatedMapping, path: Path) -> frozenset[str]:
        self._open.append(_real(path))
        good = read_fields(tree, "spec", "the spec", tree.location, self.problems)
        ids = frozenset[str]()
        if "extends" in good:
            ids |= self._extend(effective, good["extends"], tree.place("extends"), path)
        for key in ("processes", *MERGED_SECTIONS):
            if key in good:
                self._lay(effective.sections, key, good[key], tree.place(key))
        self._gather(effective.base_practices, good.get("base_practices"), "base practice")
        for entry in self._requirements(good.get("requirements", ()), path):
            self._collect(effective.requirements, entry, "requirement")
        ids |= self._add_items(effective, good.get("items"), checklist=None)
        self._open.pop()
        return ids

    @staticmethod
    def _lay(sections: LocatedMapping, key: str, value: Any, location: Location) -> None:
        below = sections.get(key)
        both = isinstance(below, LocatedMapping) and isinstance(value, LocatedMapping)
        sections[key] = merge(below, value) if both else value  # type: ignore[arg-type]
        sections.places[key] = location

    def _add_items(self, effective: Effective, items: LocatedList | None, checklist: str | None) -> frozenset[str]:
        seen: dict[str, Location] = {}
        for location, entry in _entries(items):
            item_id = self._id_of(entry, location, "item")
            if item_id is None:
                continue
            if item_id in seen:
                self.problems.add(
                    entry.place("id"), f"duplicate item id {item_id!r}; it stands at {seen[item_id]} already"
                )
                continue
            seen[item_id] = entry.place("id")
            below = effective.items.get(item_id)
            if below is None:
                effective.items[item_id] = ItemSource(entry, checklist, checklist is None)
            else:
                is_addressed = below.is_addressed or checklist is None
                effective.items[item_id] = ItemSource(merge_item(below.mapping, entry), below.checklist, is_addressed)
        return frozenset(seen)

    def _gather(self, into: dict[str, LocatedMapping], entries: LocatedList | None, called: str) -> None:
        seen: set[str] = set()
        for location, entry in _entries(entries):
            name = self._id_of(entry, location, called)
            if name is not None and name in seen:
                self.problems.add(entry.place("id"), f"duplicate {called} id {name!r}")
            elif name is not None:
                seen.add(name)
                into[name] = merge(into[name], entry) if name in into else entry

    def _collect(self, into: dict[str, LocatedMapping], entry: LocatedMapping, called: str) -> None:
        name = self._id_of(entry, entry.location, called)
        if name is None:
            return
        if name in into and into[name].place("id").path == entry.place("id").path:
            self.problems.add(
                entry.place("id"), f"duplicate {called} id {name!r}; it stands at {into[name].place('id')} already"
            )
            return
        into[name] = merge(into[name], entry) if name in into else entry

    def _id_of(self, entry: Any, location: Location, called: str) -> str | None:
        if not isinstance(entry, LocatedMapping):
            self.problems.add(location, f"{_a(called)} must be a mapping with an id, got {kind_of(entry)}")
            return None
        name = entry.get("id")
        if isinstance(name, str) and name.strip():
            return name
        if "id" not in entry:
            title = entry.get("title")
            self.problems.add(entry.location, f"{_a(called)} has no id" + (f" (title: {title})" if title else ""))
        else:
            written = entry.spelled.get("id", plain(name))
            self.problems.add(
                entry.place("id"), f"the id of {_a(called)} must be text, got {written}. Put it into quotes"
            )
        return None

    def _requirements(self, entries: Iterable[Any], path: Path) -> Iterator[LocatedMapping]:
        for location, entry in _entries(entries if isinstance(entries, LocatedList) else None):
            if not (isinstance(entry, LocatedMapping) and "from" in entry):
                if isinstance(entry, LocatedMapping):
                    yield entry
                else:
                    self.problems.add(location, f"a requirement must be a mapping with an id, got {kind_of(entry)}")
                continue
            good = read_fields(entry, "requirement_file", "an entry of requirements", location, self.problems)
            if "from" in good:
                yield from self._requirement_file(good["from"], entry.place("from"), path)

    def _requirement_file(self, name: str, location: Location, path: Path) -> Iterator[LocatedMapping]:
        target = self._beside(name, location, path, "requirements.from")
        if target is None:
            return
        if target.suffix.lower() not in (".yaml", ".yml", ".json"):
            self.problems.add(location, f"requirements are read from .yaml, .yml and .json files, got {name!r}")
            return
        # Each file once: files that name each other end, and naming one in two layers is no duplicate.
        if _real(target) in self._requirement_files:
            return
        self._requirement_files.add(_real(target))
        tree = self._read(target, location)
        if isinstance(tree, LocatedMapping) and "requirements" in tree:
            tree = tree["requirements"]
        if isinstance(tree, LocatedList):
            yield from self._requirements(tree, target)
        elif tree is not _UNREAD:
            self.problems.add(
                Location(display_path(target), 1), "must hold a list of requirements, or a mapping with `requirements`"
            )

    def _beside(self, name: str, location: Location, path: Path, key: str) -> Path | None:
        before = len(self.problems)
        filled = self.interpolation.text(name, key, location)
        if len(self.problems) > before:
            return None
        if not filled.strip() or "\0" in filled:
            self.problems.add(location, f"{name!r} names no file")
            return None
        target = path.parent / filled
        inside = _real(target)
        if not (inside.is_relative_to(self.root) or inside.is_relative_to(Path.cwd())):
            self.problems.add(
                location,
                f"{filled!r} lies outside the spec's folder and outside the folder pytest runs in. "
                "Copy it below one of them, or run pytest from a folder above both",
            )
            return None
        return target

    def _read(self, path: Path, location: Location) -> Any:
        try:
            return self.files.read(path, location)
        except SpecError as error:
            self.problems.take(error)
            return _UNREAD

    # extends

    def _extend(self, effective: Effective, value: Any, location: Location, path: Path) -> frozenset[str]:
        loaded_ids, kept_ids = frozenset[str](), frozenset[str]()
        entries = value if isinstance(value, LocatedList) else [value]
        for index, entry in enumerate(entries):
            place = value.place(index) if isinstance(value, LocatedList) else location
            name, good = self._extends_entry(entry, place)
            if name is None:
                continue
            loaded = self._load_extended(effective, name, place, path)
            kept = loaded if "only" not in good else self._chosen(loaded, good["only"])
            loaded_ids |= loaded
            kept_ids |= kept
            adopt = good.get("adopt")
            if isinstance(adopt, LocatedList):
                effective.adoptions += [Adoption(one, adopt.place(i), kept) for i, one in enumerate(adopt)]
        for item_id in loaded_ids - kept_ids:
            effective.items.pop(item_id, None)
        effective.left_out |= loaded_ids - kept_ids
        return kept_ids

    def _chosen(self, ids: frozenset[str], patterns: LocatedList) -> frozenset[str]:
        """Return the ids that a pattern of ``only`` matches; one that matches none is a slip."""
        chosen = frozenset[str]()
        for index, pattern in enumerate(patterns):
            found = frozenset(item_id for item_id in ids if fnmatchcase(item_id, str(pattern)))
            if ids and not found:
                self.problems.add(
                    patterns.place(index), f"only: no item is called {pattern!r}. {closest(str(pattern), sorted(ids))}"
                )
            chosen |= found
        return chosen

    def _extends_entry(self, entry: Any, place: Location) -> tuple[str | None, dict[str, Any]]:
        if isinstance(entry, str) and entry.strip():
            return entry, {}
        if not isinstance(entry, LocatedMapping):
            self.problems.add(
                place,
                f"extends takes names of checklists and paths of specs, or {{checklist: name}}, got {plain(entry)!r}",
            )
            return None, {}
        good = read_fields(entry, "extends", "an entry of extends", place, self.problems)
        names = [good[key] for key in ("checklist", "path") if key in good]
        if len(names) == 1:
            return names[0], good
        if not any(key in entry for key in ("checklist", "path")) or len(names) > 1:
            self.problems.add(entry.location, "an entry of extends needs either checklist or path")
        return None, {}

    def _load_extended(self, effective: Effective, name: str, location: Location, path: Path) -> frozenset[str]:
        target = self._find_extended(name, location, path)
        if target is None:
            return frozenset()
        real = _real(target)
        if real in self._open:
            chain = " -> ".join(display_path(one) for one in [*self._open[self._open.index(real) :], real])
            self.problems.add(location, f"extends goes in a circle: {chain}")
            return frozenset()
        if real not in self._done:
            self._done[real] = self._load_layer(effective, target, location)
        return self._done[real]

    def _find_extended(self, name: str, location: Location, path: Path) -> Path | None:
        bundled = {folder.name: folder for folder in CHECKLISTS.iterdir() if folder.is_dir()}
        if name in bundled:
            return bundled[name]
        if "/" in name or name.endswith((".yaml", ".yml")) or "${" in name:
            return self._beside(name, location, path, "extends")
        if _is_folder(path.parent / name):
            return self._beside(name, location, path, "extends")
        self.problems.add(
            location, f"unknown checklist {name!r}. {closest(name, list(bundled))} A path ends in .yaml or contains a /"
        )
        return None

    def _load_layer(self, effective: Effective, target: Path, location: Location) -> frozenset[str]:
        if _is_folder(target):
            return self._add_checklist(effective, target, location)
        tree = self._read(target, location)
        if tree is _UNREAD:
            return frozenset()
        if isinstance(tree, LocatedMapping) and "mle_checklist" in tree:
            return self._add_checklist_file(effective, tree, target, target.stem)
        if not isinstance(tree, LocatedMapping):
            self.problems.add(
                Location(display_path(target), 1), "an extended spec must be a mapping with `mle_spec: 1`"
            )
            return frozenset()
        return self._add_spec(effective, tree, target)

    def _add_checklist(self, effective: Effective, folder: Path, location: Location) -> frozenset[str]:
        index = folder / INDEX
        names = sorted(path.name for path in folder.glob("*.yaml") if path.name != INDEX)
        ids = frozenset[str]()
        if index.is_file():
            tree = self._read(index, location)
            ids |= self._add_checklist_tree(effective, tree, index, folder.name)
            listed = tree.get("files") if isinstance(tree, LocatedMapping) else None
            if isinstance(listed, LocatedList):
                names = [Path(str(name)).name for name in listed]
        elif not names:
            self.problems.add(location, f"the folder {display_path(folder)} holds no checklist (*.yaml)")
        for name in names:
            tree = self._read(folder / name, location)
            ids |= self._add_checklist_tree(effective, tree, folder / name, folder.name)
        return ids

    def _add_checklist_tree(self, effective: Effective, tree: Any, path: Path, name: str) -> frozenset[str]:
        if isinstance(tree, LocatedMapping):
            return self._add_checklist_file(effective, tree, path, name)
        if tree is not _UNREAD:
            self.problems.add(
                Location(display_path(path), 1), "a checklist must be a mapping that begins with `mle_checklist: 1`"
            )
        return frozenset()

    def _add_checklist_file(self, effective: Effective, tree: LocatedMapping, path: Path, name: str) -> frozenset[str]:
        effective.checklist_files.add(display_path(path))
        good = read_fields(tree, "checklist", "the checklist", tree.location, self.problems)
        self._gather(effective.base_practices, good.get("base_practices"), "base practice")
        self._gather(effective.processes, good.get("processes"), "process")
        return self._add_items(effective, good.get("items"), good.get("name", name))


class _Unread:
    """What a file that could not be read gives."""


_UNREAD = _Unread()


def _real(path: Path) -> Path:
    # pathlib raises on circles of links and on names that are too long; the reader explains them instead.
    return Path(os.path.realpath(path))


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  as above


def _entries(entries: LocatedList | None) -> Iterator[tuple[Location, Any]]:
    if entries is not None:
        for index, entry in enumerate(entries):
            yield entries.place(index), entry


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
