"""What can be done in a backup, with what differs, with what was found, and with what is shared."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action, Danger

CONTENTS: Final = (
    Action("contents.more", "contents", ("n",), "the next part of a large folder"),
    Action("contents.restore", "contents", ("R",), "restore what is marked", hint="restore", verbs=("restore",), is_changing=True),
    Action("contents.download", "contents", ("o",), "download it as an archive", hint="download", verbs=("download",), is_changing=True),
    Action("contents.dump", "contents", ("O",), "write this file, as it is, to a file here", hint="write out", verbs=("dump", "ls")),
    Action("contents.share", "contents", ("s",), "share it by a link", verbs=("share",), is_changing=True),
    Action("contents.find", "contents", ("F",), "find a file in all backups of this source", hint="find", verbs=("find",)),
    Action(
        "contents.erase", "contents", ("X",), "erase this path from all backups of the source", verbs=("erase",), is_changing=True,
        danger=Danger.DESTROYING,
    ),
    Action("compare.stop", "compare", ("x",), "stop comparing", hint="stop"),
    Action("compare.checksum", "compare", ("K",), "read every live file, and not a sample", verbs=("diff",)),
    Action("compare.details", "compare", ("d",), "this difference whole, and how far the comparison looked", hint="details"),
    Action("found.stop", "found", ("x",), "stop looking", hint="stop"),
    Action("shares.link", "shares", ("s",), "show its link again", hint="link", is_changing=True),
    Action(
        "shares.unshare", "shares", ("X",), "end what the link leads to", hint="unshare", verbs=("unshare",), is_changing=True,
        danger=Danger.COSTLY,
    ),
)  # fmt: skip
