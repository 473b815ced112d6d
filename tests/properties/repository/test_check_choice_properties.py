"""A slice a night: never more than was allowed, always the longest unproved, and after enough nights everything."""

from __future__ import annotations

import datetime

from hypothesis import given
from hypothesis import strategies as st

from engine.repository.check_choice import Slice, longest_unproved
from engine.repository.check_packs import Expected
from tests.fakes.clock import START

packs = st.lists(st.integers(1, 1000), max_size=30).map(
    lambda sizes: [Expected(number.to_bytes(32), size, 1) for number, size in enumerate(sizes)]
)
percents = st.floats(0.1, 100)


@given(packs, percents)
def test_nightly_slices_prove_everything_and_begin_anew_with_the_oldest(
    given_packs: list[Expected], percent: float
) -> None:
    """Whoever reads a tenth each night must be able to say: all of it was read not long ago."""
    total_bytes = sum(each.size_bytes for each in given_packs)
    proved: dict[bytes, datetime.datetime] = {}
    for night in range(len(given_packs)):
        chosen = longest_unproved(given_packs, proved, Slice(percent).limit_bytes(total_bytes))
        left = [each for each in given_packs if each not in chosen]
        ages = [proved.get(each.id, START) for each in left]
        assert all(proved.get(each.id, START) <= age for each in chosen for age in ages)
        proved |= {each.id: START + datetime.timedelta(days=night + 1) for each in chosen}
    assert proved.keys() == {each.id for each in given_packs}


@given(packs, st.integers(0, 30_000))
def test_a_slice_is_no_longer_than_it_may_be(given_packs: list[Expected], limit_bytes: int) -> None:
    """A night has an end. One pack is read in any case, or nothing ever would be."""
    chosen = longest_unproved(given_packs, {}, limit_bytes)
    assert sum(each.size_bytes for each in chosen) <= limit_bytes or len(chosen) == 1
    assert bool(chosen) == bool(given_packs)
