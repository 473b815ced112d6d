"""SQLite's own statements count every table, whatever it is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from engine.sources.sqlite.facts import GENERATE, instant, parse, without_facts

NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
).filter(lambda name: not name.lower().startswith("sqlite_"))


def answer(database: sqlite3.Connection) -> list[bytes]:
    """What sqlite3 prints for the statements that GENERATE prints."""
    statements = [row[0] for select in GENERATE.split("; ") if select for row in database.execute(select)]
    return [str(database.execute(each).fetchone()[0]).encode() for each in statements]


@given(
    st.dictionaries(NAMES, st.integers(0, 3), max_size=4), st.sampled_from(["UTF-8", "UTF-16le", "UTF-16be"])
)
def test_each_table_is_counted_under_its_own_name(tables: dict[str, int], encoding: str) -> None:
    """Quotes, newlines and semicolons in a name are part of the name."""
    tables = {
        name: rows for name, rows in tables.items() if name == name.lower()
    }  # SQLite folds the case of names
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute(f"PRAGMA encoding = '{encoding}'")
        database.execute("PRAGMA user_version = 7")
        for name, rows in tables.items():
            quoted = name.replace('"', '""')
            database.execute(f'CREATE TABLE "{quoted}" (x)')
            for row in range(rows):
                database.execute(f'INSERT INTO "{quoted}" VALUES (?)', (row,))
        facts = parse("shop", answer(database))
    assert {each.name: each.rows for each in facts.tables} == tables
    assert not any(each.is_estimated for each in facts.tables)
    assert facts.settings == ["application_id=0", "user_version=7"]


@given(st.lists(st.binary(max_size=60).map(lambda each: each.replace(b"\n", b""))))
def test_no_line_breaks_the_reader(lines: list[bytes]) -> None:
    """A host may say anything, also what begins as a fact does."""
    spoiled = lines + [b"holdfast " + each for each in lines] + [b"holdfast rows zz x", b"holdfast size x"]
    parse("shop", spoiled)
    instant(spoiled)
    assert "holdfast size" not in without_facts(b"\n".join(spoiled))


def test_a_table_that_could_not_be_counted_is_marked_so() -> None:
    """Its module is not there: a restore is not compared with a number that nobody counted."""
    (table,) = parse("shop", [b"holdfast table 74"]).tables
    assert (table.name, table.is_estimated) == ("t", True)
