"""Which entries of an archive make a table, with all that hangs on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.errors import SourceError
from engine.sources.postgres.archive import Entry

_TABLES = frozenset(("TABLE", "FOREIGN TABLE"))
_ATTACHED = frozenset((
    "TABLE DATA", "CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT", "INDEX", "INDEX ATTACH", "DEFAULT", "SEQUENCE", "SEQUENCE OWNED BY",
    "SEQUENCE SET", "TRIGGER", "RULE", "POLICY", "ROW SECURITY", "ACL", "COMMENT", "STATISTICS", "STATISTICS DATA", "SECURITY LABEL", "TABLE ATTACH",
    "DEFAULT ACL",
))  # fmt: skip
"""What comes with the object that it depends on."""
_NEEDED = frozenset((
    "SCHEMA", "EXTENSION", "TYPE", "SHELL TYPE", "DOMAIN", "FUNCTION", "PROCEDURE", "AGGREGATE", "OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY",
    "COLLATION", "SEQUENCE", "CAST", "TEXT SEARCH CONFIGURATION", "TEXT SEARCH DICTIONARY", "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE",
    "ACCESS METHOD", "FOREIGN SERVER", "FOREIGN DATA WRAPPER",
))  # fmt: skip
"""What a table may need before it can be made; its rows are not among it."""


def pick(entries: Sequence[Entry], tables: Iterable[str]) -> list[int]:
    """The ids of all entries that the tables need, in the archive's own order. Partitions come with their table.

    A foreign key comes only where both of its tables do. Raises: SourceError where the archive has no such table.
    """
    by_id = {entry.id: entry for entry in entries}
    chosen = _with_partitions(entries, _find(entries, tables))
    picked = set(chosen)
    while True:
        before = len(picked)
        _add_needed(by_id, picked)
        for entry in entries:
            if entry.kind in _ATTACHED and entry.id not in picked and _hangs_on(entry, by_id, picked):
                picked.add(entry.id)
        if len(picked) == before:
            return [entry.id for entry in entries if entry.id in picked]


def missing_schemas(entries: Sequence[Entry], picked: Iterable[int] | None = None) -> list[str]:
    """Schemas that entries lie in and the archive does not make: a dump of chosen tables holds none."""
    among = None if picked is None else set(picked)
    used = {entry.namespace for entry in entries if among is None or entry.id in among}
    made = {entry.name for entry in entries if entry.kind == "SCHEMA"}
    return sorted(used - made - {"", "public", "pg_catalog"})


def _find(entries: Sequence[Entry], tables: Iterable[str]) -> set[int]:
    known = {f"{entry.namespace}.{entry.name}": entry.id for entry in entries if entry.kind in _TABLES}
    found = set()
    for name in tables:
        number = known.get(name) or known.get(f"public.{name}")
        if number is None:
            raise SourceError(f"the dump holds no table {name!a}")
        found.add(number)
    return found


def _with_partitions(entries: Sequence[Entry], chosen: set[int]) -> set[int]:
    """A TABLE ATTACH depends on the parent first, then on the partition."""
    tables = {entry.id for entry in entries if entry.kind in _TABLES}
    found = set(chosen)
    attached = [
        [each for each in entry.dependencies if each in tables]
        for entry in entries
        if entry.kind == "TABLE ATTACH"
    ]
    while True:
        before = len(found)
        for pair in attached:
            if len(pair) == 2 and pair[0] in found:
                found.add(pair[1])
        if len(found) == before:
            return found


def _add_needed(by_id: dict[int, Entry], picked: set[int]) -> None:
    """What the picked ones depend on; a table that another is made from (a parent) comes without its rows."""
    waiting = list(picked)
    while waiting:
        entry = by_id[waiting.pop()]
        for number in entry.dependencies:
            needed = by_id.get(number)
            if needed is None or number in picked:
                continue
            is_parent = needed.kind in _TABLES and entry.kind in _TABLES
            if needed.kind in _NEEDED or is_parent:
                picked.add(number)
                waiting.append(number)


def _hangs_on(entry: Entry, by_id: dict[int, Entry], picked: set[int]) -> bool:
    """Whether it belongs to something that is picked, and needs no table that is not."""
    known = [by_id[number] for number in entry.dependencies if number in by_id]
    tables = [each for each in known if each.kind in _TABLES]
    if any(each.id not in picked for each in tables):
        return False
    if tables:
        return True
    return any(each.id in picked for each in known)
