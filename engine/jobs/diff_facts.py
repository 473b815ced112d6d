"""What differs between two states of a database, as their facts and the contents of their dumps tell it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from engine.format.layout import encode_name
from engine.model.contents import FOLDERS, DumpContents
from engine.model.manifest import DatabaseFacts, TableFacts
from engine.model.results import Difference

_NAMED: Final = ("indexes", "constraints", "views", "routines", "triggers", "events", "extensions")
_OWN: Final = ("owner", "encoding", "collation")


def database_path(name: str) -> str:
    """Where a database's objects stand."""
    return f"databases/{encode_name(name)}"


def object_path(database: str, path: str) -> str:
    """Of an object, `path` being its folder and name."""
    folder, slash, name = path.partition("/")
    return f"{database_path(database)}/{folder}" + (f"/{encode_name(name)}" if slash else "")


def whole_database(facts: DatabaseFacts, change: str) -> Difference:
    """One that is on one side alone."""
    size, rows = facts.size_bytes, sum(table.rows for table in facts.tables)
    if change == "added":
        return Difference(database_path(facts.name), change, None, size, "schema", None, rows)
    return Difference(database_path(facts.name), change, size, None, "schema", rows, None)


def compare_facts(
    before: DatabaseFacts,
    after: DatabaseFacts,
    *,
    has_rows: bool,
    has_values: bool = True,
    only_tables: bool = False,
) -> list[Difference]:
    """By their facts alone. Without `has_rows` one side was not counted, without `has_values` it may lack those of its sequences; with
    `only_tables` it knows nothing but its tables.

    Two numbers of rows of which one is an estimate are not compared.
    """
    found = list(_tables(before, after, has_rows=has_rows))
    if only_tables:
        return found
    for kind in _NAMED:
        found += _names(before.name, kind, getattr(before, kind), getattr(after, kind))
    found += _settings(before, after)
    found += _sequences(before, after, has_values=has_rows and has_values)
    for name in _OWN:
        old, new = getattr(before, name), getattr(after, name)
        if old != new and old and new:
            path = f"{database_path(before.name)}/{name}"
            found.append(Difference(path, "modified", what="schema", detail=f"{old} -> {new}"))
    return found


def compare_contents(
    before: DatabaseFacts,
    after: DatabaseFacts,
    contents: tuple[DumpContents, DumpContents],
    told: Collection[Difference],
    *,
    has_definitions: bool = True,
) -> list[Difference]:
    """What the dumps tell besides: definitions that changed, and tables whose rows are others though they are as many.

    Without `has_definitions` one of them holds rows alone.
    """
    old, new = contents
    found: list[Difference] = []
    for path in sorted(old.definitions.keys() | new.definitions.keys()) if has_definitions else ():
        change = _change(old.definitions.get(path), new.definitions.get(path))
        # Whether one of these is there at all is told by the facts.
        if change and (change == "modified" or path.partition("/")[0] not in FOLDERS):
            found.append(Difference(object_path(before.name, path), change, what="schema"))
    known = {each.path for each in told if each.what == "content" or each.change != "modified"}
    sizes = [{table.name: table.size_bytes for table in facts.tables} for facts in (before, after)]
    for name in sorted(old.tables.keys() & new.tables.keys()):
        path = object_path(before.name, f"tables/{name}")
        first, second = old.tables[name], new.tables[name]
        if path not in known and (first.rows, first.digest) != (second.rows, second.digest):
            found.append(
                Difference(
                    path,
                    "modified",
                    sizes[0].get(name),
                    sizes[1].get(name),
                    "content",
                    first.rows,
                    second.rows,
                )
            )
    return found


def unread_tables(*contents: DumpContents) -> dict[str, str]:
    """Tables of which at least one side's rows could not be told apart, and why."""
    found: dict[str, str] = {}
    for each in contents:
        found |= each.unread
    return found


def _tables(before: DatabaseFacts, after: DatabaseFacts, *, has_rows: bool) -> Iterator[Difference]:
    old = {table.name: table for table in before.tables}
    new = {table.name: table for table in after.tables}
    for name in sorted(old.keys() | new.keys()):
        first, second = old.get(name), new.get(name)
        path = object_path(before.name, f"tables/{name}")
        if first is None or second is None:
            change = "added" if first is None else "removed"
            yield Difference(path, change, _size(first), _size(second), "schema", _rows(first), _rows(second))
        elif has_rows and first.rows != second.rows and not (first.is_estimated or second.is_estimated):
            yield Difference(
                path,
                "modified",
                first.size_bytes,
                second.size_bytes,
                "content",
                first.rows,
                second.rows,
            )


def _names(database: str, kind: str, old: Sequence[str], new: Sequence[str]) -> Iterator[Difference]:
    for name in sorted(set(old) ^ set(new)):
        change = "removed" if name in old else "added"
        yield Difference(object_path(database, f"{kind}/{name}"), change, what="schema")


def _settings(before: DatabaseFacts, after: DatabaseFacts) -> Iterator[Difference]:
    old, new = (dict(each.partition("=")[::2] for each in facts.settings) for facts in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if change := _change(old.get(name), new.get(name)):
            path = object_path(before.name, f"settings/{name}")
            yield Difference(path, change, what="schema", detail=_arrow(old.get(name), new.get(name)))


def _sequences(before: DatabaseFacts, after: DatabaseFacts, *, has_values: bool) -> Iterator[Difference]:
    old = {each.name: each.last_value for each in before.sequences}
    new = {each.name: each.last_value for each in after.sequences}
    yield from _names(before.name, "sequences", list(old), list(new))
    for name in sorted(old.keys() & new.keys()):
        if has_values and old[name] != new[name]:
            path = object_path(before.name, f"sequences/{name}")
            yield Difference(path, "modified", what="content", detail=_arrow(old[name], new[name]))


def _change(old: object, new: object) -> str:
    if old == new:
        return ""
    return "added" if old is None else "removed" if new is None else "modified"


def _arrow(old: object, new: object) -> str:
    return f"{'none' if old is None else old} -> {'none' if new is None else new}"


def _size(table: TableFacts | None) -> int | None:
    return None if table is None else table.size_bytes


def _rows(table: TableFacts | None) -> int | None:
    return None if table is None else table.rows
