"""What can be done among the hosts, and among the secrets of the vault."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action, Danger

HOSTS: Final = (
    Action("host.new", "hosts", ("n",), "define a host", hint="new", verbs=("host add", "host list"), is_changing=True),
    Action("host.edit", "hosts", ("e",), "change this host", hint="edit", verbs=("host edit", "host show"), is_changing=True),
    Action("host.test", "hosts", ("t",), "log in, and say what is there and what no source takes", hint="test", verbs=("host test",), is_changing=True),
    Action("host.cover", "hosts", ("c",), "back up what was found there and no source takes", hint="cover", verbs=("source add",), is_changing=True),
    Action("host.grants", "hosts", ("p",), "the least privilege that its sources need, ready to paste", hint="grants", verbs=("host grants",)),
    Action("host.log", "hosts", ("L",), "the log of the last job of its sources", verbs=("job log",)),
    Action("host.retire", "hosts", ("r",), "take it out of use, for a reason; its backups stay", verbs=("host retire", "host unretire"), is_changing=True),
    Action(
        "host.remove", "hosts", ("X",), "forget this host", verbs=("host remove",), is_changing=True, danger=Danger.DESTROYING,
    ),
)  # fmt: skip
VAULT: Final = (
    Action("secret.set", "vault", ("n",), "seal a secret under a name", hint="new", verbs=("vault set", "vault list"), is_changing=True),
    Action("secret.replace", "vault", ("e",), "put another secret in its place", hint="replace", verbs=("vault set",), is_changing=True),
    Action(
        "secret.remove", "vault", ("X",), "forget this secret for good", verbs=("vault remove",), is_changing=True, danger=Danger.DESTROYING,
    ),
    Action(
        "secret.rotate", "vault", ("R",), "seal all secrets anew under a fresh key", verbs=("vault rotate",), is_changing=True,
        danger=Danger.COSTLY,
    ),
)  # fmt: skip
