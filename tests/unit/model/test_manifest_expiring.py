"""Comparing what may end by a time of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.manifest import DatabaseFacts, TableFacts, compare


def is_well(expected: TableFacts, actual: int | None) -> bool:
    """Whether a restore with so many rows passes; None where the table is missing."""
    tables = [] if actual is None else [TableFacts(expected.name, actual)]
    checks = compare(DatabaseFacts("d", tables=[expected]), DatabaseFacts("d", tables=tables))
    return all(each.passed for each in checks)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 30))
def test_a_restore_may_lack_what_expired_and_nothing_else(lasting: int, expiring: int, actual: int) -> None:
    """Keys end by themselves between a dump and its restore; others do not, and none come."""
    expected = TableFacts("db0", lasting + expiring, expiring=expiring)
    assert is_well(expected, actual) == (lasting <= actual <= lasting + expiring)


@pytest.mark.parametrize(
    ("rows", "expiring", "passes"), [(3, 3, True), (3, 2, False), (0, 0, False), (3, 0, False)]
)
def test_a_table_may_be_missing_only_where_all_of_it_may_expire(
    rows: int, expiring: int, passes: bool
) -> None:
    """Redis does not list an empty database."""
    assert is_well(TableFacts("db0", rows, expiring=expiring), None) is passes
