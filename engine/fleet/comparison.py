"""A document held against what is defined: read whole, then compared. Nothing is changed here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.fleet import expansion
from engine.fleet.codecs import CODECS
from engine.fleet.document import Document
from engine.fleet.expansion import Entry
from engine.model.definitions import LOCAL_HOST
from engine.model.fleet import Change, FieldChange
from engine.model.names import nearest

Fleet = Mapping[str, Mapping[str, Any]]
"""Definitions by table and name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a document says."""

    document: Document
    definitions: Fleet
    """Of those tables that the document has."""
    entries: Mapping[tuple[str, str], Entry]
    """Where each definition stands, by table and name."""

    @property
    def is_settled(self) -> bool:
        """Whether no mistake leaves open what is defined."""
        return not self.document.unsettled and all(
            name in self.definitions[table] for table, name in self.entries
        )

    def left_out(self, current: Fleet) -> list[tuple[str, str]]:
        """Table and name of what is defined and stands in none of the document's tables; what it has no table for is none of its business."""
        return [
            (table, name)
            for table, found in self.definitions.items()
            for name in current.get(table, {})
            if name not in found
        ]


def read(document: Document, current: Fleet, *, is_pruning: bool = False) -> Wanted:
    """Reads all of it. Raises: ConfigurationError for the mistakes, each with file and line."""
    found = look(document, current, is_pruning=is_pruning)
    document.require_none()
    return found


def look(document: Document, current: Fleet, *, is_pruning: bool = False) -> Wanted:
    """Reads what is sound of it; mistakes are noted in the document."""
    tables = ["groups", *(codec.table for codec in CODECS)]
    for name, value in document.tables.items():
        with document.noting(name):
            if name not in tables:
                raise document.unknown((name,), "table", tables)
            document.table((name,), value)
    hosts = _names(document, "hosts", {}, current, is_pruning=is_pruning)
    groups: dict[str, list[str]] = {}
    with document.noting("groups"):
        groups = expansion.groups(document, hosts)
    definitions: dict[str, dict[str, Any]] = {}
    entries: dict[tuple[str, str], Entry] = {}
    for codec in CODECS:
        if codec.table not in document.tables:
            continue
        known = definitions.setdefault(codec.table, {})
        for entry in _entries(document, codec.table, groups):
            old = current.get(codec.table, {}).get(entry.name)
            entries[codec.table, entry.name] = entry
            with document.noting():
                known[entry.name] = codec.settle(codec.read(document, entry), old)
    if "storages" in definitions:
        with document.noting():
            definitions["storages"] = _with_one_default(document, definitions["storages"], entries)
    wanted = Wanted(document, definitions, entries)
    _require_needs(wanted, current, is_pruning=is_pruning)
    return wanted


def _entries(document: Document, table: str, groups: Mapping[str, Sequence[str]]) -> list[Entry]:
    """None where it is no table, which is noted."""
    found: list[Entry] = []
    with document.noting(table):
        found = expansion.entries(document, table, groups)
    return found


def _names(
    document: Document, table: str, groups: Mapping[str, Sequence[str]], current: Fleet, *, is_pruning: bool
) -> list[str]:
    """All names of a table that there will be."""
    found = [LOCAL_HOST] if table == "hosts" else []
    found += [each.name for each in _entries(document, table, groups)]
    if not is_pruning or table not in document.tables:
        found += current.get(table, {})
    return list(dict.fromkeys(found))


def _with_one_default(
    document: Document, storages: Mapping[str, Any], entries: Mapping[tuple[str, str], Entry]
) -> dict[str, Any]:
    named = [name for name in storages if entries["storages", name].values.get("default") is True]
    if len(named) > 1:
        path = (*entries["storages", named[1]].path, "default")
        raise document.mistake(path, f"there is one default storage, not {' and '.join(named)}")
    if not named:
        return dict(storages)
    return {
        name: dataclasses.replace(each, is_default=name in named) if each.is_default else each
        for name, each in storages.items()
    }


def _require_needs(wanted: Wanted, current: Fleet, *, is_pruning: bool) -> None:
    """Notes where a definition names what there will not be; of what a mistake leaves open nobody knows."""
    known: dict[str, set[str]] = {codec.table: {LOCAL_HOST} for codec in CODECS}
    for table in known:
        known[table].update(wanted.definitions.get(table, ()))
        if not is_pruning or table not in wanted.definitions:
            known[table].update(current.get(table, ()))
    nouns = {codec.table: codec.noun for codec in CODECS}
    for codec in CODECS:
        for name, definition in wanted.definitions.get(codec.table, {}).items():
            for key, table, needed in codec.needs(definition):
                if needed in known[table] or (table, needed) in wanted.entries:
                    continue
                near = nearest(needed, known[table] - {LOCAL_HOST})
                if table in wanted.document.unsettled and not near:
                    continue
                with wanted.document.noting():
                    raise wanted.document.mistake(
                        (*wanted.entries[codec.table, name].path, key),
                        f"there is no {nouns[table]} named {needed}, which {codec.noun} {name} needs",
                        f"did you mean {near}?" if near else None,
                    )


def changes(wanted: Wanted, current: Fleet, *, is_pruning: bool = False) -> list[Change]:
    """What has to change, in the order in which it can be done."""
    found: list[Change] = []
    for codec in CODECS:
        for name, new in wanted.definitions.get(codec.table, {}).items():
            old = current.get(codec.table, {}).get(name)
            differing = _fields(codec.write(old) if old is not None else {}, codec.write(new))
            if old is None or differing:
                found.append(Change(codec.noun, name, "add" if old is None else "change", differing))
    if is_pruning:
        left_out = wanted.left_out(current)
        for codec in reversed(CODECS):
            gone = [name for table, name in left_out if table == codec.table]
            found += [Change(codec.noun, name, "remove") for name in gone]
    return found


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    return tuple(
        FieldChange(key, old.get(key), new.get(key))
        for key in dict.fromkeys([*new, *old])
        if old.get(key) != new.get(key)
    )
