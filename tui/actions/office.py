"""What is done now and then, from anywhere, by the palette: reports, the audit log, the guard, the fleet in a file."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action, Danger

OFFICE: Final = (
    Action(
        "alerts.open",
        "everywhere",
        ("ctrl+e",),
        "alerts: what stands, and what is silenced",
        verbs=("alerts list",),
    ),
    Action("destinations.open", "everywhere", (), "who is told of alerts and jobs", verbs=("notify list",)),
    Action(
        "report.compliance",
        "everywhere",
        (),
        "report on compliance for a period",
        verbs=("report compliance",),
        is_changing=True,
    ),
    Action(
        "audit.open",
        "everywhere",
        (),
        "the audit log: who did what, and whether it is whole",
        verbs=("audit",),
    ),
    Action("doctor.open", "everywhere", (), "what a bug report needs, secrets left out", verbs=("doctor",)),
    Action(
        "guard.open",
        "everywhere",
        (),
        "the guard: whether there is one, and before what",
        verbs=("guard show",),
    ),
    Action(
        "guard.set",
        "everywhere",
        (),
        "set the passphrase of the guard",
        verbs=("guard set",),
        is_changing=True,
    ),
    Action(
        "guard.code",
        "everywhere",
        (),
        "make a code that passes the guard once",
        verbs=("guard code",),
        is_changing=True,
    ),
    Action(
        "guard.remove",
        "everywhere",
        (),
        "take the guard away",
        verbs=("guard remove",),
        is_changing=True,
        danger=Danger.COSTLY,
    ),
    Action(
        "service.open",
        "everywhere",
        (),
        "the workers that live, and the service of systemd",
        verbs=("service status",),
    ),
    Action(
        "config.export",
        "everywhere",
        (),
        "write all that is defined into a file, secrets by name",
        verbs=("config export",),
        is_changing=True,
    ),
    Action(
        "config.apply",
        "everywhere",
        (),
        "define what a file says, after its difference was seen",
        verbs=("config apply", "config check"),
        is_changing=True,
        danger=Danger.DESTROYING,
    ),
)
