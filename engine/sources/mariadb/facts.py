"""What a database holds, as its manifest tells it: from information_schema, rows counted where that does not take for ever."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engine.errors import SourceError, UnknownNameError
from engine.model.manifest import EXACT_ROWS_LIMIT, DatabaseFacts, SequenceFacts, TableFacts
from engine.sources.mariadb.answers import ResultSet, texts
from engine.sources.mariadb.connection import Connection, quote_name, quote_text

COUNT_TIMEOUT_S = 3600.0
COUNTED_ESTIMATE = 3 * EXACT_ROWS_LIMIT
"""InnoDB's estimate may be off by half; a table that has at most EXACT_ROWS_LIMIT rows must be counted all the same."""

SERVERS_OWN = ("information_schema", "mysql", "ndbinfo", "performance_schema", "sys")
TRANSACTIONAL = frozenset({"InnoDB", "ROCKSDB", "TokuDB", "ndbcluster"})
"""Engines whose tables a transaction sees as they were at its beginning."""


@dataclass(frozen=True, slots=True)
class Look:
    """A database as information_schema shows it."""

    facts: DatabaseFacts
    """Rows are the server's estimates; sequences have no value."""
    engines: Mapping[str, str]
    """Of each table."""
    has_newlines: bool
    """Whether a table or column has a newline in its name, so that lines of its dump are no rows."""
    server_version: str
    at: datetime.datetime
    """The server's clock."""

    @property
    def not_transactional(self) -> list[str]:
        """Tables of which a dump may hold a mixture of instants."""
        return sorted(name for name, engine in self.engines.items() if engine not in TRANSACTIONAL)


def is_name(column: str, name: str) -> str:
    """The condition that a column of information_schema holds just that name: by itself the server compares without case."""
    return f"{column} = {quote_text(name)} AND BINARY {column} = BINARY {quote_text(name)}"


async def database_names(connection: Connection) -> list[str]:
    """The databases that the account sees, but for the server's own. Raises: SourceError, HostError."""
    (rows,) = await connection.results("SELECT schema_name FROM information_schema.schemata")
    return sorted(name for (name,) in map(texts, rows) if name.lower() not in SERVERS_OWN)


async def look(connection: Connection, name: str) -> Look:
    """One run of the client, and no row is counted. Raises: UnknownNameError, SourceError, HostError."""
    results = await connection.results(_look_statements(name))
    schema, tables, indexes, constraints, routines, triggers, events, newlines, server = results
    if not schema:
        raise UnknownNameError(f"{connection.place} shows no database named {name!a} to this account")
    encoding, collation = texts(schema[0])
    version, instant = texts(server[0])
    plain = [row for row in map(texts, tables) if row[1] not in ("VIEW", "SEQUENCE", "SYSTEM VIEW")]
    facts = DatabaseFacts(
        name,
        encoding=encoding,
        collation=collation,
        size_bytes=sum(int(size or 0) for _, _, _, _, size in map(texts, tables)),
        tables=sorted(
            (TableFacts(table, int(rows or 0), True, int(size or 0)) for table, _, _, rows, size in plain),
            key=lambda table: table.name,
        ),
        indexes=_dotted(indexes),
        constraints=_dotted(constraints),
        sequences=[SequenceFacts(each, None) for each in _of_type(tables, "SEQUENCE")],
        views=_of_type(tables, "VIEW"),
        routines=sorted(f"{kind.lower()} {each}" for kind, each in map(texts, routines)),
        triggers=sorted(each for (each,) in map(texts, triggers)),
        events=sorted(each for (each,) in map(texts, events)),
    )
    return Look(
        facts,
        {table: engine for table, _, engine, _, _ in plain},
        texts(newlines[0]) != ["0"],
        version,
        datetime.datetime.fromisoformat(instant).replace(tzinfo=datetime.UTC),
    )


async def counted(connection: Connection, name: str) -> DatabaseFacts:
    """What a database holds now, its rows counted, all at one instant where its tables are transactional.

    Raises: UnknownNameError, SourceError, HostError.
    """
    facts = (await look(connection, name)).facts
    return with_values(facts, *await _values(connection, facts))


async def row_counts(connection: Connection, facts: DatabaseFacts) -> dict[str, int]:
    """The rows of those tables that are not too long to be counted. Raises: SourceError, HostError."""
    return (await _values(connection, replace(facts, sequences=())))[0]


def with_values(facts: DatabaseFacts, rows: Mapping[str, int], sequences: Mapping[str, int]) -> DatabaseFacts:
    """The facts with rows that were counted; more than EXACT_ROWS_LIMIT of them, or none counted, are marked as an estimate."""
    return replace(
        facts,
        tables=[
            replace(table, rows=rows[table.name], is_estimated=rows[table.name] > EXACT_ROWS_LIMIT)
            if table.name in rows
            else table
            for table in facts.tables
        ],
        sequences=[SequenceFacts(each.name, sequences.get(each.name)) for each in facts.sequences],
    )


def stored_names(facts: DatabaseFacts) -> list[str]:
    """Tables and sequences: what holds data."""
    return [table.name for table in facts.tables] + [sequence.name for sequence in facts.sequences]


async def _values(connection: Connection, facts: DatabaseFacts) -> tuple[dict[str, int], dict[str, int]]:
    tables = [table.name for table in facts.tables if table.rows <= COUNTED_ESTIMATE]
    sequences = [sequence.name for sequence in facts.sequences]
    if not tables and not sequences:
        return {}, {}
    database = quote_name(facts.name)
    statements = ["START TRANSACTION WITH CONSISTENT SNAPSHOT"]
    statements += [f"SELECT COUNT(*) FROM {database}.{quote_name(each)}" for each in tables]
    statements += [f"SELECT next_not_cached_value FROM {database}.{quote_name(each)}" for each in sequences]
    results = await connection.results(";\n".join(statements), timeout_s=COUNT_TIMEOUT_S)
    if len(results) != len(tables) + len(sequences):
        raise SourceError(f"{connection.place} gave {len(results)} answers where another number was due")
    values = [int(texts(rows[0])[0]) for rows in results]
    return (
        dict(zip(tables, values, strict=False)),
        dict(zip(sequences, values[len(tables) :], strict=True)),
    )


def _look_statements(name: str) -> str:
    """Result sets in the order in which `look` takes them."""
    in_tables = is_name("table_schema", name)
    newlines = "INSTR(table_name, CHAR(10)) OR INSTR(column_name, CHAR(10))"
    return f"""
/*!80000 SET SESSION information_schema_stats_expiry = 0 */;
SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE {is_name("schema_name", name)};
SELECT table_name, table_type, engine, table_rows, data_length + index_length FROM information_schema.tables WHERE {in_tables};
SELECT DISTINCT table_name, index_name FROM information_schema.statistics WHERE {in_tables};
SELECT DISTINCT table_name, constraint_name FROM information_schema.table_constraints WHERE {in_tables};
SELECT routine_type, routine_name FROM information_schema.routines WHERE {is_name("routine_schema", name)};
SELECT trigger_name FROM information_schema.triggers WHERE {is_name("trigger_schema", name)};
SELECT event_name FROM information_schema.events WHERE {is_name("event_schema", name)};
SELECT COUNT(*) FROM information_schema.columns WHERE {in_tables} AND ({newlines});
SELECT VERSION(), UTC_TIMESTAMP(6);
"""


def _dotted(rows: ResultSet) -> list[str]:
    return sorted(f"{table}.{name}" for table, name in map(texts, rows))


def _of_type(rows: ResultSet, kind: str) -> Sequence[str]:
    return sorted(name for name, its_kind, *_ in map(texts, rows) if its_kind == kind)
