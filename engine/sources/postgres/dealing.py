"""Which tables' rows are dumped by which of several dumps at once, so that all take about as long."""

# Names and values become SQL by `quoting` alone.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.sources.postgres import dumping, facts
from engine.sources.postgres.facts import TableName
from engine.sources.postgres.instant import Instant

MOST_JOBS: Final = 16
"""Each takes a connection of the server, a channel of the host, and some 25 MiB here (measured: 110 MiB with 1, 185 with 4)."""
LEAST_BYTES: Final = 1 << 20
"""Smaller tables are read sooner than they are dealt."""
MOST_LIST_BYTES: Final = 64 << 10
"""Of the words that name dealt tables: Linux takes 128 KiB in one word of an environment. So the thousand largest are dealt, at most."""
_SIZES: Final = f"""
select c.oid::bigint as oid, n.nspname as schema, c.relname as name, coalesce(pg_table_size(c.oid), 0) as size, c.relpersistence = 'p' as lasts
from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and {facts.IS_OURS}"""
"""Of rows, without indexes. What is not logged is not there on a standby. Tables of an extension are dumped by rules of its own."""
_REST: Final = "select pg_table_size('pg_catalog.pg_largeobject') as size, getdatabaseencoding() as encoding"


@dataclass(frozen=True, slots=True)
class SizedTable:
    """A table whose rows any dump may take."""

    name: TableName
    size_bytes: int


async def dealt(instant: Instant, jobs: int) -> list[list[TableName]]:
    """The tables for each dump beside the main one. Raises: SourceError."""
    rest = await instant.asked.row(_REST)
    chosen = {each.oid for each in instant.tables}
    found, rest_bytes = [], 0 if chosen else rest["size"]
    for row in await instant.asked.rows(_SIZES):
        if chosen and row["oid"] not in chosen:
            continue
        # A pattern in another encoding than the database's fits nothing.
        is_plain = rest["encoding"] == "UTF8" or (row["schema"] + row["name"]).isascii()
        if row["lasts"] and is_plain:
            found.append(SizedTable(TableName(row["oid"], row["schema"], row["name"]), row["size"]))
        else:
            rest_bytes += row["size"]
    return deal(found, rest_bytes, jobs)


def deal(tables: Sequence[SizedTable], rest_bytes: int, jobs: int) -> list[list[TableName]]:
    """Pure: the largest first, each to whoever has least. The main dump has `rest_bytes` to begin with, and all that is not dealt; no part is empty."""
    loads = [rest_bytes] + [0] * (jobs - 1)
    parts: list[list[TableName]] = [[] for _ in loads]
    room = MOST_LIST_BYTES
    for each in sorted(tables, key=lambda table: (-table.size_bytes, table.name.oid)):
        cost = len(dumping.without_rows(each.name).encode()) + 1
        if each.size_bytes < LEAST_BYTES or cost > room:
            loads[0] += each.size_bytes
            continue
        lightest = loads.index(min(loads))
        loads[lightest] += each.size_bytes
        if lightest:
            parts[lightest].append(each.name)
            room -= cost
    return [part for part in parts[1:] if part]
