"""What can be done among the sources."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action, Danger

SOURCES: Final = (
    Action("source.mend", "sources", ("m",), "do what mends this", hint="mend", is_changing=True),
    Action("source.alert", "sources", ("A",), "the alert behind this: since when, on what evidence, who sees to it", verbs=("alerts list",)),
    Action("source.backup", "sources", ("b",), "back up now", hint="backup", verbs=("backup",), is_changing=True),
    Action("source.backup_as", "sources", ("B",), "back up: which type, which part, where to", is_changing=True),
    Action("source.drill", "sources", ("D",), "rehearse a restore of the newest backup", hint="drill", verbs=("drill",), is_changing=True),
    Action("source.restore", "sources", ("R",), "restore from it", hint="restore", verbs=("restore",), is_changing=True),
    Action("source.verify", "sources", ("V",), "verify the newest backup", verbs=("verify",), is_changing=True),
    Action("source.download", "sources", ("o",), "download the newest backup into a file here", verbs=("download",), is_changing=True),
    Action("source.all", "sources", ("a",), "all backups of all sources", verbs=("backups",)),
    Action("source.find", "sources", ("F",), "find a file in all backups of this source", verbs=("find",)),
    Action("source.live", "sources", ("C",), "compare the newest backup with what is live"),
    Action("source.trends", "sources", ("T",), "how duration, throughput, size and recovery time develop", verbs=("report trends",)),
    Action("source.details", "sources", ("d",), "all that is known of this source", verbs=("source show", "status")),
    Action("source.log", "sources", ("L",), "the log of the last job of this source", verbs=("job log",)),
    Action("source.rules", "sources", ("K",), "type keep rules, and see what of its backups they keep and let go", verbs=("forget",)),
    Action("source.shares", "sources", ("u",), "what is shared by link", verbs=("shares",)),
    Action("source.ship", "sources", ("s",), "ship its log now", verbs=("logs ship",), is_changing=True),
    Action("source.reach", "sources", ("i",), "its log: to which instants it reaches, gaps, how far behind, what waits", verbs=("logs show", "logs list")),
    Action("source.log_setup", "sources", (), "what its server lacks before its log can be shipped", verbs=("logs setup",)),
    Action(
        "source.log_drop", "sources", (), "have its server keep no more log for us", verbs=("logs drop",), is_changing=True,
        danger=Danger.DESTROYING,
    ),
    Action("source.test", "sources", ("t",), "prove that it can be read now", verbs=("source test",)),
    Action("source.new", "sources", ("n",), "define a source", verbs=("source add", "source list"), is_changing=True),
    Action("source.edit", "sources", ("e",), "change this source", verbs=("source edit",), is_changing=True),
    Action(
        "source.remove", "sources", ("X",), "forget this source; its backups stay", verbs=("source remove",), is_changing=True,
        danger=Danger.DESTROYING,
    ),
)  # fmt: skip
