"""What can be done among the storages."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action, Danger

STORAGE: Final[tuple[Action, ...]] = (
    Action(
        "storage.new",
        "storage",
        ("n",),
        "define a storage: its repository is made, or opened",
        hint="new",
        verbs=("storage add", "storage list"),
        is_changing=True,
    ),
    Action(
        "storage.edit", "storage", ("e",), "change this storage", verbs=("storage edit",), is_changing=True
    ),
    Action(
        "storage.verify",
        "storage",
        ("c", "V"),
        "check it: its structure, a slice of its data, or all of it",
        hint="check",
        verbs=("verify",),
        is_changing=True,
    ),
    Action(
        "storage.prune",
        "storage",
        ("p",),
        "plan a prune: what it would free, then do it",
        hint="prune plan",
        verbs=("prune",),
        is_changing=True,
        danger=Danger.COSTLY,
    ),
    Action(
        "storage.rules",
        "storage",
        ("K",),
        "type keep rules, and see what of it they keep and let go",
        hint="keep rules",
        verbs=("forget",),
    ),
    Action(
        "storage.copy",
        "storage",
        ("m",),
        "copy backups to it: what it missed, or all of another one",
        hint="copy to",
        verbs=("copy",),
        is_changing=True,
    ),
    Action(
        "storage.kit", "storage", ("E",), "show the recovery kit", hint="kit", verbs=("storage recovery-kit",)
    ),
    Action(
        "storage.test",
        "storage",
        ("T",),
        "write, read back and delete something; measure both ways",
        hint="test",
        verbs=("storage test",),
        is_changing=True,
    ),
    Action("storage.measure", "storage", ("u",), "measure what it holds", verbs=("storage usage",)),
    Action("storage.log", "storage", ("L",), "the log of the last job at it", verbs=("job log",)),
    Action("storage.locks", "storage", ("W",), "show who locks it", verbs=("storage show",)),
    Action(
        "storage.unlock",
        "storage",
        ("U",),
        "remove locks whose holder is proved dead",
        verbs=("storage unlock",),
        is_changing=True,
        danger=Danger.COSTLY,
    ),
    Action(
        "storage.switch",
        "storage",
        ("o",),
        "switch it on or off",
        verbs=("storage enable", "storage disable"),
        is_changing=True,
    ),
    Action(
        "storage.default",
        "storage",
        ("asterisk",),
        "use it where no storage is named",
        verbs=("storage make-default",),
        is_changing=True,
    ),
    Action(
        "storage.rotate",
        "storage",
        ("P",),
        "change the repository's password",
        verbs=("storage rotate-password",),
        is_changing=True,
        danger=Danger.DESTROYING,
    ),
    Action(
        "storage.move",
        "storage",
        ("R",),
        "move it, with all that it holds, to another place",
        verbs=("storage move",),
        is_changing=True,
    ),
    Action(
        "storage.remove",
        "storage",
        ("X",),
        "forget the storage; its repository stays",
        verbs=("storage remove",),
        is_changing=True,
        danger=Danger.DESTROYING,
    ),
    Action(
        "catalog.copy",
        "storage",
        ("C",),
        "seal a copy of all that is defined into the storages",
        verbs=("catalog copy",),
        is_changing=True,
    ),
    Action(
        "catalog.publish",
        "storage",
        (),
        "renew the copy of the catalog for the group that may look",
        verbs=("catalog publish",),
        is_changing=True,
    ),
)
