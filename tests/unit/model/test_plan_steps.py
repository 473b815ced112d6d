"""Restores and drills as a person types them."""

from __future__ import annotations

import datetime

from hypothesis import given
from hypothesis import strategies as st

from engine.model import plan_steps, when
from engine.model.requests import DrillRequest, RestoreRequest


@given(st.integers(0, 4 * 10**15))
def test_an_instant_is_written_as_the_command_line_reads_it(microseconds: int) -> None:
    """What is copied from the console goes to the same microsecond."""
    at = datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(microseconds=microseconds)
    word = plan_steps.instant_word(at)
    assert when.parse(word, at, lambda _at: datetime.UTC) == at
    assert plan_steps.drill_words(DrillRequest("shop", at=at)) == ["shop", "--at", word]


def test_a_restore_to_an_instant_names_its_source_and_what_it_ends_at() -> None:
    """In place of a backup."""
    request = RestoreRequest("", source="shop", at_transaction="742", is_before=True, into="then")
    said = ["--source", "shop", "--at-transaction", "742", "--just-before", "--into", "then"]
    assert plan_steps.restored_words(request) == said
    assert plan_steps.restored_words(RestoreRequest("1abc", into="then")) == ["1abc", "--into", "then"]
    drilled = DrillRequest("shop", at_point="before deploying", is_before=True)
    assert plan_steps.drill_words(drilled) == ["shop", "--at-point", "before deploying", "--just-before"]
