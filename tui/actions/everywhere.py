"""What can be done everywhere."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action

EVERYWHERE: Final = (
    Action("tab.backups", "everywhere", ("1",), "go to the backups"),
    Action("tab.schedules", "everywhere", ("2",), "go to the schedules"),
    Action("tab.restore", "everywhere", ("3",), "go to restores and drills"),
    Action("tab.storage", "everywhere", ("4",), "go to the storages"),
    Action("attention.go", "everywhere", ("0",), "go to what is at risk"),
    Action("tab.previous", "everywhere", ("left_square_bracket",), "go to the tab on the left"),
    Action("tab.next", "everywhere", ("right_square_bracket",), "go to the tab on the right"),
    Action(
        "drawer.jobs",
        "everywhere",
        ("9",),
        "open and close the drawer of jobs",
        verbs=("jobs", "job show", "job follow"),
    ),
    Action("hosts.open", "everywhere", ("H",), "show the hosts", verbs=("host list",)),
    Action("vault.open", "everywhere", (), "show the secrets of the vault", verbs=("vault list",)),
    Action(
        "guide.open",
        "everywhere",
        (),
        "step by step from a host to its first backup",
        verbs=("host add", "source add", "storage add", "backup"),
        is_changing=True,
    ),
    Action(
        "recover.open",
        "everywhere",
        (),
        "bring a lost home back from one of its storages",
        verbs=("recover",),
        is_changing=True,
    ),
    Action("nav.back", "everywhere", ("escape", "minus"), "go back"),
    Action("palette.open", "everywhere", ("colon", "ctrl+p"), "find any action by its name", hint="command"),
    Action("help.open", "everywhere", ("question_mark",), "show the keys of this place", hint="keys"),
    Action("copy.menu", "everywhere", ("y",), "copy an id, a path or the command line of this"),
    Action(
        "preferences.open", "everywhere", (), "what console.toml and the themes say, and what is wrong there"
    ),
    Action("view.freeze", "everywhere", ("z",), "stop live updates, or let them go on"),
    Action("view.refresh", "everywhere", ("ctrl+r",), "read everything again"),
    Action("view.redraw", "everywhere", ("ctrl+l",), "draw the whole screen again"),
    Action("view.mouse", "everywhere", ("M",), "let the mouse work here, or leave it to the terminal"),
    Action("app.suspend", "everywhere", ("ctrl+z",), "go back to the shell for a while"),
    Action("app.quit", "everywhere", ("q",), "leave; jobs go on"),
)
