"""What can be done among the backups."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action

BACKUPS: Final = (
    Action(
        "source.backup", "sources", ("b",), "back up now", hint="backup", verbs=("backup",), is_changing=True
    ),
    Action(
        "source.drill",
        "sources",
        ("D",),
        "rehearse a restore of the newest backup",
        hint="drill",
        verbs=("drill",),
        is_changing=True,
    ),
)
