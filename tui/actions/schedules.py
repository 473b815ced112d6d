"""What can be done among the schedules, with the runs of one, and with what its rules keep."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action, Danger

SCHEDULES: Final[tuple[Action, ...]] = (
    Action("schedule.run", "schedules", ("t",), "run it now", hint="run now", verbs=("schedule run",), is_changing=True),
    Action(
        "schedule.resume", "schedules", ("u",), "end its pause", hint="resume", verbs=("schedule resume",), is_changing=True
    ),
    Action(
        "everything.resume", "schedules", ("U",), "end the pause of everything", hint="resume all", verbs=("resume",), is_changing=True,
    ),
    Action(
        "schedule.pause", "schedules", ("P",), "let nothing of it start, for a reason", hint="pause", verbs=("schedule pause",), is_changing=True,
    ),
    Action(
        "schedule.keep", "schedules", ("K",), "what its rules keep and let go, and why; of a prune: what it would free", hint="keep",
    ),
    Action("schedule.ahead", "schedules", ("f",), "its next runs, and what overlaps them", hint="next runs", verbs=("schedule preview",)),
    Action("schedule.details", "schedules", ("d",), "all that it says", verbs=("schedule show", "schedule list")),
    Action("schedule.log", "schedules", ("L",), "the log of its last job"),
    Action("schedule.missed", "schedules", ("m",), "what did not run in the last 24 hours, and why"),
    Action(
        "everything.pause", "schedules", ("H",), "hold everything: let nothing start by itself, for a reason", verbs=("pause",), is_changing=True,
    ),
    Action("schedule.tick", "schedules", ("T",), "look at once, and start what is due", verbs=("tick",), is_changing=True),
    Action("instant.cancel", "instants", ("x",), "ask its job to end", hint="cancel", is_changing=True, danger=Danger.COSTLY),
    Action("instant.run", "instants", ("t",), "run the schedule now", hint="run now", is_changing=True),
    Action(
        "keep.forget", "keep", ("F",), "forget now by these rules: the plan is shown, then the name is typed", hint="forget now",
        verbs=("forget",), is_changing=True, danger=Danger.DESTROYING,
    ),
    Action("keep.now", "keep", ("a",), "judge as things are now, or as they are after the next run", hint="now, after next"),
    Action("keep.going", "keep", ("o",), "show only those that go, or all", hint="only those that go"),
    Action("keep.edit", "keep", ("e",), "change the rules", hint="edit", is_changing=True),
)  # fmt: skip
