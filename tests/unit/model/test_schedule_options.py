"""The options of schedules: what an action takes, a schedule keeps."""

from __future__ import annotations

import pytest

from engine.model import schedule_options
from engine.model.schedules import Action, Schedule


@pytest.mark.parametrize("action", Action)
def test_a_schedule_keeps_each_option_that_its_action_takes(action: Action) -> None:
    """One that is passed over in silence is found when the schedule does what nobody asked for."""
    given = dict.fromkeys(schedule_options.TAKEN[action], 7)
    kept = schedule_options.applied(given, Schedule("it", action))
    assert dict(kept.options) == given
