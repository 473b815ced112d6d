"""What a restore of databases would do, before it does it."""

from __future__ import annotations

import datetime

import hypothesis
import pytest
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.jobs.restore_database import NAME_LIMIT_BYTES, Planned, aside_name, plan
from engine.model.manifest import DatabaseFacts
from engine.model.requests import RestoreRequest

NOW = datetime.datetime(2026, 11, 20, 14, 5, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
SHOP, BLOG = DatabaseFacts("shop"), DatabaseFacts("blog")


def _plan(
    chosen: list[DatabaseFacts], present: list[str], *, into: str = "", in_place: bool = False
) -> list[Planned]:
    return plan(
        RestoreRequest("latest:db", into=into, is_in_place=in_place), chosen, present, NOW, "0a1b2c3d"
    )


def test_beside_makes_a_database_of_that_name_and_touches_no_other() -> None:
    """Live data stays as it is."""
    assert _plan([SHOP], ["shop"], into="shop_yesterday") == [Planned(SHOP, "shop_yesterday")]


def test_several_beside_are_told_apart() -> None:
    """One name cannot serve two."""
    planned = _plan([SHOP, BLOG], ["shop", "blog"], into="old")
    assert [each.final for each in planned] == ["old_shop", "old_blog"]


def test_a_database_that_is_there_is_never_loaded_into() -> None:
    """A typing mistake must not cost a database."""
    with pytest.raises(UsageError, match="there already"):
        _plan([SHOP], ["shop", "copy"], into="copy")


def test_in_place_loads_under_a_name_of_its_own_and_keeps_what_is_live() -> None:
    """The old one is the rollback."""
    (planned,) = _plan([SHOP], ["shop"], in_place=True)
    assert planned == Planned(SHOP, "holdfast_restore_0a1b2c3d_0", "shop", "shop_before_20261120_120530")
    assert planned.final == "shop"


def test_in_place_of_nothing_is_just_made() -> None:
    """After a disaster there is nothing to keep aside."""
    assert _plan([SHOP], [], in_place=True) == [Planned(SHOP, "shop")]


@hypothesis.given(st.text(min_size=1, max_size=100))
def test_no_name_is_longer_than_a_database_takes(name: str) -> None:
    """PostgreSQL cuts longer ones in silence, and two become one."""
    hypothesis.assume(all(not 0xD800 <= ord(character) <= 0xDFFF for character in name))
    made = aside_name(name, NOW)
    assert len(made.encode()) <= NAME_LIMIT_BYTES
    assert made.endswith("_before_20261120_120530")
