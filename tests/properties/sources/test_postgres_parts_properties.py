"""Which dump takes which table, and the word that names it: true for every name and every size."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sources.postgres import dealing, dumping, quoting, selection
from engine.sources.postgres.archive import DATA, NO_SECTION, POST_DATA, PRE_DATA, Entry
from engine.sources.postgres.dealing import SizedTable
from engine.sources.postgres.facts import TableName

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
SIZES = st.lists(st.integers(0, 1 << 42), max_size=40)
_SPECIAL = "|*+?()[]{}.^$\\"


def _expressions(pattern: str) -> list[str]:
    """As processSQLNamePattern of PostgreSQL (src/fe_utils/string_utils.c) takes a pattern apart: schema and name as regular expressions."""
    found, is_quoted, position = [""], False, 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == '"' and is_quoted and pattern[position : position + 1] == '"':
            found[-1] += '"'
            position += 1
        elif character == '"':
            is_quoted = not is_quoted
        elif character == "." and not is_quoted:
            found.append("")
        else:
            found[-1] += ("\\" if is_quoted and character in _SPECIAL else "") + character
    return found


def _tables(sizes: Sequence[int], names: Sequence[str] = ()) -> list[SizedTable]:
    return [
        SizedTable(TableName(number, "public", names[number] if names else f"t{number}"), size)
        for number, size in enumerate(sizes)
    ]


@given(NAMES, NAMES, NAMES)
def test_a_pattern_fits_its_own_table_and_no_other(schema: str, name: str, other: str) -> None:
    """It is one line that a tab can end, besides: many of them come on standard input."""
    pattern = quoting.pattern(schema, name)
    assert not re.search(r"[\x00-\x1f\x7f]", pattern)
    expressions = _expressions(pattern)
    assert len(expressions) == 2
    for expression, own in zip(expressions, (schema, name), strict=True):
        assert re.fullmatch(expression, own)
        assert bool(re.fullmatch(expression, other)) == (own == other)


@given(SIZES, st.integers(0, 1 << 42), st.integers(1, 16))
def test_tables_are_dealt_once_and_evenly(sizes: list[int], rest_bytes: int, jobs: int) -> None:
    """The dump is over when its longest part is."""
    tables = _tables(sizes)
    parts = dealing.deal(tables, rest_bytes, jobs)
    dealt = [each for part in parts for each in part]
    size_of = {each.name: each.size_bytes for each in tables}
    assert len(parts) < jobs
    assert all(parts)
    assert len(set(dealt)) == len(dealt)
    assert all(size_of[each] >= dealing.LEAST_BYTES for each in dealt)
    total = rest_bytes + sum(sizes)
    fixed = rest_bytes + sum(size for size in sizes if size < dealing.LEAST_BYTES)
    loads = [sum(size_of[each] for each in part) for part in parts]
    longest = max([total - sum(loads), *loads])
    assert longest <= max(fixed, total / jobs) + max(sizes, default=0) + fixed


@settings(max_examples=15)
@given(st.lists(NAMES, min_size=30, max_size=40, unique=True), st.integers(2, 4))
def test_the_names_of_dealt_tables_fit_where_they_must(names: list[str], jobs: int) -> None:
    """A database of a million tables is dumped, too."""
    long = [f"{name}{'x' * 5000}" for name in names]
    parts = dealing.deal(_tables([dealing.LEAST_BYTES] * len(long), long), 0, jobs)
    words = [dumping.without_rows(each) for part in parts for each in part]
    assert len("\t".join(words).encode()) <= dealing.MOST_LIST_BYTES


def test_grants_come_with_the_section_that_they_stand_in() -> None:
    """pg_restore counts what has no section to the one before it."""
    kinds = [
        ("TABLE", PRE_DATA), ("ACL", NO_SECTION), ("COMMENT", NO_SECTION), ("SCHEMA", PRE_DATA), ("ACL", NO_SECTION),
        ("TABLE DATA", DATA), ("INDEX", POST_DATA), ("ACL", NO_SECTION),
    ]  # fmt: skip
    entries = [
        Entry(number, kind, "public", "t", "owner", has_data=False, dependencies=(), section=section)
        for number, (kind, section) in enumerate(kinds)
    ]
    assert selection.early_grants(entries, None) == [1, 4]
    assert selection.early_grants(entries, [4, 5, 7]) == [4]


def test_indexes_of_two_tables_can_be_made_at_once_and_what_needs_more_waits() -> None:
    """A view whose rows are grouped by a key needs the key first, and so does its own index."""
    made = [
        ("TABLE", "a", PRE_DATA, ()), ("TABLE", "b", PRE_DATA, ()), ("FUNCTION", "f", PRE_DATA, ()), ("CONSTRAINT", "a a_pkey", POST_DATA, (0,)),
        ("INDEX", "by_f", POST_DATA, (1, 2)), ("MATERIALIZED VIEW", "late", POST_DATA, (0, 3)), ("INDEX", "of_late", POST_DATA, (5,)),
        ("FK CONSTRAINT", "b b_fkey", POST_DATA, (1, 3)), ("INDEX", "more", POST_DATA, (0,)), ("INDEX ATTACH", "more", POST_DATA, (8, 4)),
    ]  # fmt: skip
    entries = [
        Entry(number, kind, "public", name, "owner", has_data=False, dependencies=needed, section=section)
        for number, (kind, name, section, needed) in enumerate(made)
    ]
    assert selection.standing_alone(entries, None) == {("public", "a"): [3, 8], ("public", "b"): [4]}
    assert selection.standing_alone(entries, [0, 3, 6]) == {("public", "a"): [3]}
