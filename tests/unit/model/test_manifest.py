"""What a restored database is compared with."""

from __future__ import annotations

import dataclasses
from typing import Any

import hypothesis
from hypothesis import strategies as st

from engine.model.manifest import CheckResult, DatabaseFacts, SequenceFacts, TableFacts, compare

NAMES = st.text(min_size=1, max_size=12)
FACTS = st.builds(
    DatabaseFacts,
    name=NAMES,
    tables=st.lists(
        st.builds(TableFacts, name=NAMES, rows=st.integers(0, 9)),
        unique_by=lambda each: each.name,
        max_size=5,
    ),
    indexes=st.lists(NAMES, unique=True, max_size=4),
    triggers=st.lists(NAMES, unique=True, max_size=4),
    sequences=st.lists(
        st.builds(SequenceFacts, name=NAMES, last_value=st.none() | st.integers(0, 9)),
        unique_by=lambda each: each.name,
        max_size=3,
    ),
)
SHOP = DatabaseFacts(
    "shop",
    tables=(TableFacts("public.orders", 10), TableFacts("public.huge", 20_000_000, is_estimated=True)),
    indexes=("public.orders_pkey",),
    sequences=(SequenceFacts("public.orders_id_seq", 10),),
)


def _wrong(checks: list[CheckResult]) -> list[str]:
    return [each.check for each in checks if not each.passed]


@hypothesis.given(FACTS)
def test_a_database_is_like_itself(facts: DatabaseFacts) -> None:
    """A drill that fails a good backup is switched off by the third week."""
    assert _wrong(compare(facts, facts)) == []


@hypothesis.given(FACTS, st.data())
def test_whatever_is_missing_is_found(facts: DatabaseFacts, data: st.DataObject) -> None:
    """A table, an index, a trigger or a sequence: each has been forgotten by some restore."""
    kinds = [kind for kind in ("tables", "indexes", "triggers", "sequences") if getattr(facts, kind)]
    hypothesis.assume(kinds)
    kind = data.draw(st.sampled_from(kinds))
    have = list(getattr(facts, kind))
    have.pop(data.draw(st.integers(0, len(have) - 1)))
    less: dict[str, Any] = {kind: have}
    assert kind in _wrong(compare(facts, dataclasses.replace(facts, **less)))


@hypothesis.given(FACTS)
def test_an_empty_database_is_never_one_that_had_tables(facts: DatabaseFacts) -> None:
    """A health check stays green on an empty database; a drill must not."""
    hypothesis.assume(facts.tables)
    assert "tables" in _wrong(compare(facts, DatabaseFacts(facts.name)))


def test_rows_that_are_missing_are_found_and_estimates_are_not_compared() -> None:
    """A dump cut at a statement boundary loads without an error."""
    found = dataclasses.replace(
        SHOP, tables=(TableFacts("public.orders", 9), TableFacts("public.huge", 1, is_estimated=True))
    )
    assert _wrong(compare(SHOP, found)) == ["rows of public.orders"]


def test_of_chosen_tables_nothing_else_is_asked() -> None:
    """One table beside the live data has no other's indexes."""
    found = DatabaseFacts("scratch", tables=(TableFacts("public.orders", 10),))
    assert _wrong(compare(SHOP, found, ["public.orders"])) == []
    assert _wrong(compare(SHOP, DatabaseFacts("scratch"), ["public.orders"])) == [
        "tables",
        "rows of public.orders",
    ]


def test_a_sequence_that_starts_anew_is_found() -> None:
    """The next order would get the number of an old one."""
    found = dataclasses.replace(SHOP, sequences=(SequenceFacts("public.orders_id_seq", 1),))
    assert _wrong(compare(SHOP, found)) == ["last value of public.orders_id_seq"]
