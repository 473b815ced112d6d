"""Checks as people type them."""

from __future__ import annotations

import pytest

from engine.cli.drill import parse_check
from engine.errors import UsageError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("SELECT 1=1", ("", "SELECT 1", "1")),
        ("SELECT count(*) FROM t WHERE a = 1=42", ("", "SELECT count(*) FROM t WHERE a = 1", "42")),
        ("shop: SELECT name FROM t=a b", ("shop", "SELECT name FROM t", "a b")),
        ("SELECT ': '=: ", ("", "SELECT ': '", ": ")),
        ("SELECT NULL=", ("", "SELECT NULL", "")),
    ],
    ids=["plain", "splits at the last", "one database", "a colon in the statement", "expects nothing"],
)
def test_a_check_is_split_where_the_contract_says(given: str, expected: tuple[str, str, str]) -> None:
    """A statement may hold the sign too."""
    assert parse_check(given) == expected


@pytest.mark.parametrize("given", ["SELECT 1", "=1", ""])
def test_what_is_no_check_is_refused(given: str) -> None:
    """A check that asserts nothing would always pass."""
    with pytest.raises(UsageError):
        parse_check(given)
