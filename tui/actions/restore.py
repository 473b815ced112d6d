"""What can be done where things are brought back: among the sources, at one of them, and while something runs."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action, Danger

RESTORE: Final[tuple[Action, ...]] = (
    Action("restore.drill", "restore", ("D",), "drill this source, or those that are marked, one after the other", hint="drill", verbs=("drill",), is_changing=True),
    Action("restore.newest", "restore", ("r",), "restore its newest backup into a folder of this machine", hint="newest here", verbs=("restore",), is_changing=True),
    Action("restore.archive", "restore", ("o",), "download its newest backup as an archive", hint="download", verbs=("download",), is_changing=True),
    Action("restore.running", "restore", ("J",), "show the drill or restore that runs", hint="what runs"),
    Action("restore.log", "restore", ("L",), "the log of its last drill", verbs=("job log",)),
    Action("restore.plans", "restore", ("P",), "recovery plans: several sources in their order", hint="plans", verbs=("plan list",)),
    Action("restore.evidence", "restore", ("E",), "the evidence that drills left", hint="evidence", verbs=("evidence list",)),
    Action("restore.undo", "restore", ("u",), "restores in place that can be rolled back or discarded", hint="undo"),
    Action("restore.end_kept", "restore", ("x",), "throw away now what a drill kept", verbs=("job cancel",), is_changing=True, danger=Danger.COSTLY),
    Action("point.start", "point", ("enter",), "start what is chosen: a drill at once, all else after its plan was shown", hint="start", verbs=("restore", "drill"), is_changing=True),
    Action("point.older", "point", ("less_than_sign", "comma", "left", "h"), "an older restore point; on a timeline the base before", hint="older"),
    Action("point.newer", "point", ("greater_than_sign", "full_stop", "right"), "a newer one; on a timeline the next base, or the end of the log"),
    Action("point.minute_back", "point", ("left_parenthesis",), "on a timeline: a minute earlier"),
    Action("point.minute_on", "point", ("right_parenthesis",), "on a timeline: a minute later"),
    Action("point.second_back", "point", ("left_curly_bracket",), "on a timeline: a second earlier"),
    Action("point.second_on", "point", ("right_curly_bracket",), "on a timeline: a second later"),
    Action("point.before", "point", ("b",), "on a timeline: just before the chosen instant, or at it"),
    Action("point.newest", "point", ("G", "end"), "the newest one; on a timeline the end of the log"),
    Action("point.time", "point", ("T",), "a time that is typed: the newest one before it; on a timeline that instant, a transaction, a named point", hint="time"),
    Action("point.drill", "point", ("d", "D"), "drill: into a scratch target that is thrown away"),
    Action("point.beside", "point", ("s",), "restore beside what is live, under a new name"),
    Action("point.live", "point", ("l",), "restore in place of what is live", danger=Danger.DESTROYING),
    Action("point.files", "point", ("f",), "restore files into a folder, of this machine or of a host"),
    Action("point.export", "point", ("x",), "download an archive", verbs=("download",)),
    Action("point.down", "point", ("down", "j"), "the next target"),
    Action("point.up", "point", ("up", "k"), "the target above"),
    Action("point.options", "point", ("e",), "options of what is chosen", hint="options"),
    Action("point.pick", "point", ("p",), "pick databases and tables, or files, in a tree", hint="pick"),
    Action("point.dry", "point", ("n",), "have a worker say what it would do, and do nothing", hint="dry run", verbs=("restore",), is_changing=True),
    Action("point.here", "point", ("r",), "restore this backup into a folder of this machine", verbs=("restore",), is_changing=True),
    Action("point.find", "point", ("F",), "on a timeline: find what dropped or emptied a table, and go to just before it", verbs=("logs find",)),
    Action("point.evidence", "point", ("E",), "the evidence of its drills", verbs=("evidence list",)),
    Action("point.running", "point", ("J",), "show the drill or restore of it that runs"),
    Action("running.evidence", "running", ("o",), "write the signed evidence into a folder", hint="evidence out"),
    Action("running.show", "running", ("enter",), "show the evidence, or what the job said", hint="show", verbs=("evidence show",)),
    Action("running.rollback", "running", ("u",), "bring back what this restore replaced", hint="roll back", verbs=("rollback",), is_changing=True, danger=Danger.DESTROYING),
    Action("running.discard", "running", ("X",), "let go what this restore put aside", hint="discard", verbs=("discard",), is_changing=True, danger=Danger.DESTROYING),
    Action("running.end", "running", ("x",), "end it; of a drill that kept something: throw that away now", hint="end it", verbs=("job cancel",), is_changing=True, danger=Danger.COSTLY),
    Action("running.leave", "running", ("q",), "leave it running and go back", hint="leave"),
)  # fmt: skip

EVIDENCE: Final[tuple[Action, ...]] = (
    Action("evidence.show", "evidence", (), "show it whole", verbs=("evidence show",)),
    Action("evidence.sign_off", "evidence", ("s",), "sign it off: stand by it, with your name", hint="sign off", verbs=("evidence sign-off",), is_changing=True),
    Action("evidence.verify", "evidence", ("V",), "hold evidence against the key that signed it", hint="check", verbs=("evidence verify",)),
    Action("evidence.key", "evidence", ("K",), "show the public key that others check it with", hint="public key", verbs=("evidence public-key",)),
    Action("evidence.log", "evidence", ("L",), "the log of its drill", verbs=("job log",)),
    Action("evidence.out", "evidence", ("o",), "write it, as JSON and PDF with signatures, into a folder", hint="write out"),
)  # fmt: skip

PLANS: Final[tuple[Action, ...]] = (
    Action("plans.show", "plans", (), "show its steps", verbs=("plan show",)),
    Action("plans.drill", "plans", ("D",), "rehearse it with the newest backups", hint="drill", verbs=("plan drill",), is_changing=True),
    Action("plans.drill_as", "plans", ("e",), "rehearse it: as of when, by whom, in what time", hint="drill as", is_changing=True),
    Action("plans.run", "plans", ("R",), "run it: what each step would do is shown first", hint="run", verbs=("plan run",), is_changing=True, danger=Danger.DESTROYING),
    Action("plans.new", "plans", ("n",), "write a plan down", hint="new", verbs=("plan add",), is_changing=True),
    Action("plans.edit", "plans", ("c",), "change it", verbs=("plan edit",), is_changing=True),
    Action("plans.remove", "plans", ("X",), "forget it", verbs=("plan remove",), is_changing=True, danger=Danger.DESTROYING),
)  # fmt: skip

PICK: Final[tuple[Action, ...]] = (
    Action("pick.mark", "pick", (), "mark this, or take its mark away"),
    Action("pick.up", "pick", ("backspace",), "the folder above"),
    Action("pick.take", "pick", ("t",), "take what is marked", hint="take"),
    Action("pick.none", "pick", ("A",), "take the marks of all folders away: all of it"),
)  # fmt: skip
