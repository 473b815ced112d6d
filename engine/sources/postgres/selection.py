"""Which entries of an archive make a table, with all that hangs on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.errors import SourceError
from engine.sources.postgres import archive
from engine.sources.postgres.archive import Entry

_ON_ROWS = frozenset(("INDEX", "CONSTRAINT"))
_GRANTS = frozenset(("ACL", "ACL LANGUAGE", "DEFAULT ACL"))
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

    A foreign key comes only where both of its tables do. A table that a chosen one is made from (a parent) comes bare: without rows and
    indexes. Raises: SourceError where the archive has no such table.
    """
    by_id = {entry.id: entry for entry in entries}
    picked = _with_partitions(entries, _find(entries, tables))
    bare: set[int] = set()
    while True:
        before = len(picked)
        _add_needed(by_id, picked, bare)
        for entry in entries:
            if entry.kind in _ATTACHED and entry.id not in picked and _hangs_on(entry, by_id, picked, bare):
                picked.add(entry.id)
        if len(picked) == before:
            return [entry.id for entry in entries if entry.id in picked]


def with_rows(entries: Sequence[Entry], tables: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Schema and name of each table whose rows come when these are picked. Raises: as `pick`."""
    chosen = _with_partitions(entries, _find(entries, tables))
    return frozenset((entry.namespace, entry.name) for entry in entries if entry.id in chosen)


def early_grants(entries: Sequence[Entry], picked: Iterable[int] | None) -> list[int]:
    """The ids of grants that pg_restore counts among what comes before the rows. It gives them last, for a grant may take a right away that
    loading needs; so does whoever restores section by section."""
    among = None if picked is None else set(picked)
    section = archive.PRE_DATA
    found = []
    for entry in entries:
        section = entry.section if entry.section > archive.NO_SECTION else section
        if section == archive.PRE_DATA and entry.kind in _GRANTS and (among is None or entry.id in among):
            found.append(entry.id)
    return found


def standing_alone(
    entries: Sequence[Entry], picked: Iterable[int] | None
) -> dict[tuple[str, str], list[int]]:
    """The ids of indexes and keys that need nothing but what comes before the rows, by schema and name of their table: those of two tables can
    be made at once. In the archive's own order."""
    among = None if picked is None else set(picked)
    by_id = {entry.id: entry for entry in entries}
    found: dict[tuple[str, str], list[int]] = {}
    for entry in entries:
        if entry.kind not in _ON_ROWS or not (among is None or entry.id in among):
            continue
        needed = [by_id[number] for number in entry.dependencies if number in by_id]
        tables = [each for each in needed if each.kind in _TABLES]
        if len(tables) == 1 and all(each.section == archive.PRE_DATA for each in needed):
            found.setdefault((tables[0].namespace, tables[0].name), []).append(entry.id)
    return found


def missing_schemas(entries: Sequence[Entry], picked: Iterable[int] | None = None) -> list[str]:
    """Schemas that entries lie in and the archive does not make: a dump of chosen tables holds none."""
    among = None if picked is None else set(picked)
    used = {entry.namespace for entry in entries if among is None or entry.id in among}
    made = {entry.name for entry in entries if entry.kind == "SCHEMA"}
    return sorted(used - made - {"", "public", "pg_catalog"})


def without_loose_keys(entries: Sequence[Entry]) -> tuple[list[int], list[str]]:
    """The ids of all entries but foreign keys to a table that is not in the archive, and the names of those: a dump of chosen tables has them."""
    by_id = {entry.id: entry for entry in entries}
    loose = [
        entry
        for entry in entries
        if _leads_out(entry, [by_id[number] for number in entry.dependencies if number in by_id])
    ]
    left_out = {entry.id for entry in loose}
    names = [f"{entry.namespace}.{entry.name}" for entry in loose]
    return [entry.id for entry in entries if entry.id not in left_out], names


def _leads_out(entry: Entry, known: Sequence[Entry]) -> bool:
    """Whether it is a foreign key to a table that is not in the archive: it depends on no index there, as every other does."""
    return entry.kind == "FK CONSTRAINT" and not any(each.kind in ("CONSTRAINT", "INDEX") for each in known)


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
    """A TABLE ATTACH has the name of the partition, and depends on both tables."""
    tables = {entry.id: (entry.namespace, entry.name) for entry in entries if entry.kind in _TABLES}
    attached = [
        (each, entry)
        for entry in entries
        if entry.kind == "TABLE ATTACH"
        for each in entry.dependencies
        if each in tables and tables[each] != (entry.namespace, entry.name)
    ]
    found = set(chosen)
    while True:
        before = len(found)
        for parent, entry in attached:
            if parent in found:
                found |= {each for each in entry.dependencies if each in tables}
        if len(found) == before:
            return found


def _add_needed(by_id: dict[int, Entry], picked: set[int], bare: set[int]) -> None:
    """Adds what the picked ones depend on."""
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
            if is_parent:
                bare.add(number)


def _hangs_on(entry: Entry, by_id: dict[int, Entry], picked: set[int], bare: set[int]) -> bool:
    """Whether it belongs to something that is picked, and needs nothing else that is not."""
    known = [by_id[number] for number in entry.dependencies if number in by_id]
    if not all(each.id in picked or each.kind in _NEEDED for each in known) or _leads_out(entry, known):
        return False
    return any(each.id in picked and each.id not in bare for each in known)
