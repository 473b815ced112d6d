"""What can be done about alerts, and about who is told."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action, Danger

ALERTS: Final = (
    Action(
        "alert.show", "alerts", (), "all that is known of it: since when, why, on what evidence, what to do"
    ),
    Action("alert.mend", "alerts", ("m",), "do what mends it", hint="mend", is_changing=True),
    Action("alert.log", "alerts", ("L",), "the log of the job that showed it", verbs=("job log",)),
    Action(
        "alert.acknowledge",
        "alerts",
        ("a",),
        "say that you see to it: nobody is told of it again",
        hint="acknowledge",
        verbs=("alerts acknowledge",),
        is_changing=True,
    ),
    Action(
        "alert.silence",
        "alerts",
        ("s",),
        "tell nobody of it for a while, and say why",
        hint="silence",
        verbs=("alerts silence",),
        is_changing=True,
    ),
    Action(
        "alert.unsilence",
        "alerts",
        ("u",),
        "end a silence, or a maintenance window",
        hint="unsilence",
        verbs=("alerts unsilence",),
        is_changing=True,
    ),
    Action(
        "alert.evaluate",
        "alerts",
        ("E",),
        "look at everything now",
        hint="evaluate",
        verbs=("alerts evaluate",),
        is_changing=True,
    ),
    Action("alert.past", "alerts", ("p",), "show also those that are over, or leave them out"),
)
DESTINATIONS: Final = (
    Action(
        "destination.new",
        "destinations",
        ("n",),
        "define where people are told",
        hint="new",
        verbs=("notify add",),
        is_changing=True,
    ),
    Action(
        "destination.edit",
        "destinations",
        ("e",),
        "change it",
        hint="edit",
        verbs=("notify edit",),
        is_changing=True,
    ),
    Action(
        "destination.test",
        "destinations",
        ("T",),
        "send a message there at once",
        hint="test",
        verbs=("notify test",),
        is_changing=True,
    ),
    Action(
        "destination.flush",
        "destinations",
        ("f",),
        "send what waits to be told",
        verbs=("notify flush",),
        is_changing=True,
    ),
    Action(
        "destination.remove",
        "destinations",
        ("X",),
        "tell nobody there any more",
        verbs=("notify remove",),
        is_changing=True,
        danger=Danger.DESTROYING,
    ),
)
