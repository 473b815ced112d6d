"""Every verb of the command line against the table of actions: nothing can be done in a shell that is forgotten here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.cli.verbs import VERBS
from tui.actions import ACTIONS
from tui.actions.verbs import WITHOUT_ACTION


def _of_actions() -> Iterator[str]:
    for action in ACTIONS.values():
        yield from action.verbs


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_an_action_or_the_reason_why_it_has_none(verb: str) -> None:
    """What the shell can do and the console cannot is said, and why."""
    has_action, has_reason = verb in set(_of_actions()), verb in WITHOUT_ACTION
    assert has_action != has_reason


def test_an_action_stands_for_verbs_that_there_are() -> None:
    """A verb that was renamed is renamed here too: guard and log bear its name."""
    assert {*_of_actions(), *WITHOUT_ACTION} - set(VERBS) == set()


@pytest.mark.parametrize("verb", WITHOUT_ACTION)
def test_a_reason_is_one_sentence(verb: str) -> None:
    """It stands in a table."""
    reason = WITHOUT_ACTION[verb]
    assert reason[0].islower()
    assert not reason.endswith(".")
    assert len(reason) > 20
