"""What differs between two states of a database."""

from __future__ import annotations

import dataclasses

import pytest

from engine.format.tree import Node
from engine.jobs.diff_facts import compare_contents, compare_facts, whole_database
from engine.jobs.diff_tree import differing
from engine.model.contents import DumpContents, TableContent
from engine.model.entry import Entry
from engine.model.manifest import DatabaseFacts, SequenceFacts, TableFacts

SHOP = DatabaseFacts(
    "shop/1",
    owner="anna",
    size_bytes=100,
    tables=(TableFacts("public.orders", 10, size_bytes=7), TableFacts("public.huge", 20, is_estimated=True)),
    indexes=("public.by_name",),
    sequences=(SequenceFacts("public.numbers", None),),
    settings=("user_version=1",),
)
ENTRY = Entry(b"a", "f", 0o644, 1, 2, b"", b"", 5, b"1700000000.25", b"", 1, 1, 1, b"")
NODE = Node(b"a", "file", 0o644, "2023-11-14T22:13:20.25Z", uid=1, gid=2, size=5)


def test_a_database_is_like_itself_and_estimates_are_not_compared() -> None:
    """What is not known is no difference."""
    other = dataclasses.replace(
        SHOP, tables=(SHOP.tables[0], TableFacts("public.huge", 21, is_estimated=True))
    )
    assert compare_facts(SHOP, SHOP, has_rows=True) == []
    assert compare_facts(SHOP, other, has_rows=True) == []


def test_each_kind_of_difference_has_its_path() -> None:
    """Scripts look for them by their names; a slash in a name makes no other path."""
    other = DatabaseFacts(
        "shop/1",
        owner="otto",
        tables=(TableFacts("public.orders", 12, size_bytes=9), TableFacts("public.new", 3)),
        sequences=(SequenceFacts("public.numbers", 5),),
        settings=("user_version=2",),
    )
    told = {
        (each.path, each.change, each.what, each.rows_before, each.rows_after)
        for each in compare_facts(SHOP, other, has_rows=True)
    }
    begin = "databases/shop%2F1"
    assert told == {
        (f"{begin}/tables/public.orders", "modified", "content", 10, 12),
        (f"{begin}/tables/public.new", "added", "schema", None, 3),
        (f"{begin}/tables/public.huge", "removed", "schema", 20, None),
        (f"{begin}/indexes/public.by_name", "removed", "schema", None, None),
        (f"{begin}/sequences/public.numbers", "modified", "content", None, None),
        (f"{begin}/settings/user_version", "modified", "schema", None, None),
        (f"{begin}/owner", "modified", "schema", None, None),
    }
    assert whole_database(SHOP, "removed").rows_before == 30


def test_contents_tell_what_facts_cannot_and_nothing_twice() -> None:
    """As many rows as before, and others; a view of the same name, and another."""
    old = DumpContents(
        {"views/v": b"1", "tables/gone": b"1", "grants/g": b"1"}, {"public.orders": TableContent(10, 1)}
    )
    new = DumpContents(
        {"views/v": b"2", "policies/p": b"1", "grants/g": b"1"}, {"public.orders": TableContent(10, 2)}
    )
    told = compare_contents(SHOP, SHOP, (old, new), ())
    assert [(each.path.removeprefix("databases/shop%2F1/"), each.change, each.what) for each in told] == [
        ("policies/p", "added", "schema"),
        ("views/v", "modified", "schema"),
        ("tables/public.orders", "modified", "content"),
    ]
    assert [each for each in compare_contents(SHOP, SHOP, (old, new), told) if each.what == "content"] == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, []),
        ({"type": "l"}, ["type"]),
        ({"size": 6, "mtime": b"1700000000.5"}, ["size", "time"]),
        ({"mode": 0o600}, ["mode"]),
        ({"gid": 3}, ["owner"]),
    ],
)
def test_an_entry_is_compared_by_all_that_a_listing_tells(
    changed: dict[str, object], found: list[str]
) -> None:
    """And by nothing that changes by itself."""
    assert differing(NODE, ENTRY._replace(**changed)) == found  # type: ignore[arg-type]


def test_times_of_a_host_that_tells_seconds_are_compared_by_seconds() -> None:
    """Without GNU find nothing finer is told; and other programs write times with another offset."""
    whole = ENTRY._replace(mtime=b"1700000000")
    assert differing(NODE, whole) == ["time"]
    assert differing(NODE, whole, is_coarse=True) == []
    assert differing(dataclasses.replace(NODE, mtime="2023-11-14T23:13:20.25+01:00"), ENTRY) == []
