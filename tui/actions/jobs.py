"""What can be done in the drawer of jobs."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action, Danger

JOBS: Final = (
    Action(
        "job.cancel",
        "jobs",
        ("x",),
        "ask the job to end",
        hint="cancel",
        verbs=("job cancel",),
        is_changing=True,
        danger=Danger.COSTLY,
    ),
)
