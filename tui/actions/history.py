"""What can be done among the backups of a source, or of all."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action, Danger

HISTORY: Final = (
    Action("history.details", "history", ("d",), "all that is known of it", hint="details", verbs=("show",)),
    Action("history.verify", "history", ("V",), "verify", verbs=("verify",), is_changing=True),
    Action("history.drill", "history", ("D",), "rehearse a restore of it", hint="drill", verbs=("drill",), is_changing=True),
    Action("history.restore", "history", ("R",), "restore from it", verbs=("restore",), is_changing=True),
    Action("history.compare", "history", ("c",), "compare the two that are marked, or this one with the one before", hint="compare", verbs=("diff",)),
    Action("history.live", "history", ("C",), "compare it with what is live", verbs=("diff",)),
    Action("history.download", "history", ("o",), "download it into a file here", verbs=("download",), is_changing=True),
    Action("history.share", "history", ("s",), "share it by a link", verbs=("share",), is_changing=True),
    Action("history.shares", "history", ("u",), "what is shared by link", verbs=("shares",)),
    Action("history.protect", "history", ("p",), "protect it from forget and delete", verbs=("protect",), is_changing=True),
    Action("history.unprotect", "history", ("P",), "end its protection and its hold", verbs=("unprotect",), is_changing=True, danger=Danger.COSTLY),
    Action("history.hold", "history", ("H",), "hold it, and say why", verbs=("hold",), is_changing=True),
    Action("history.expire", "history", ("E",), "say from when on it may go", is_changing=True),
    Action("history.find", "history", ("F",), "find a file in all backups", verbs=("find",)),
    Action("history.log", "history", ("L",), "the log of the job that made it", verbs=("job log",)),
    Action(
        "history.delete", "history", ("X",), "delete it in every storage", verbs=("delete",), is_changing=True, danger=Danger.DESTROYING
    ),
)  # fmt: skip
