"""What defines schedules, changes and removes them; see tui/panes/defining.py."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action, Danger

DEFINING: Final = (
    Action("schedule.new", "schedules", ("n",), "define a schedule", hint="new", verbs=("schedule add",), is_changing=True),
    Action("schedule.edit", "schedules", ("e",), "change this schedule", hint="edit", verbs=("schedule edit",), is_changing=True),
    Action(
        "schedule.remove", "schedules", ("X",), "forget this schedule; its jobs and backups stay", verbs=("schedule remove",), is_changing=True,
        danger=Danger.DESTROYING,
    ),
)  # fmt: skip
