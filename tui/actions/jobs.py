"""What can be done in the drawer of jobs, and in the page of one job."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action, Danger

JOBS: Final = (
    Action("job.open", "jobs", ("L",), "its whole log, its steps and its result", verbs=("job show", "job log", "job follow")),
    Action(
        "job.cancel", "jobs", ("x",), "ask the job to end", hint="cancel", verbs=("job cancel",), is_changing=True, danger=Danger.COSTLY,
    ),
    Action(
        "job.cancel_all", "jobs", ("X",), "ask all to end that were asked for with it, and run one after the other", is_changing=True,
        danger=Danger.COSTLY,
    ),
    Action("job.again", "jobs", ("r",), "do it again, where that does only what was left undone", hint="again", is_changing=True),
    Action("job.narrow", "jobs", ("f",), "only jobs of one state, or of one verb", hint="narrow"),
    Action("job.older", "jobs", ("o",), "older jobs", hint="older"),
    Action("job.newest", "jobs", ("O",), "back to the newest jobs"),
    Action("log.follow", "log", ("f",), "stay at the end of the log, or stop that", hint="follow"),
    Action("log.times", "log", ("t",), "show when each line was written, or not", hint="times"),
)  # fmt: skip
