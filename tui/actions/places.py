"""The places of the screen: what each is called, and how the palette comes to do something there from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tui.actions.base import Action


@dataclass(frozen=True, slots=True)
class About:
    """A place."""

    title: str
    """What it is called."""
    way: str
    """How one comes there, for the page of keys."""
    noun: str = ""
    """What must be named before something is done there from elsewhere: a row of it, or what it is a view of."""
    alone: frozenset[str] = frozenset()
    """The actions that need no name."""
    several: frozenset[str] = frozenset()
    """The actions that take more than one."""
    by_hand: frozenset[str] = frozenset()
    """The actions that a person does when the place was gone to: on a row that the palette has no name for. "" is all that are not alone."""
    here_alone: Mapping[str, str] = field(default_factory=dict)
    """Actions that make no sense from elsewhere, and what to do first; "" stands for all that are not named."""

    def needs_name(self, action: Action) -> bool:
        """Whether it must be said of what."""
        return bool(self.noun) and action.action_id not in self.alone

    def is_by_hand(self, action: Action) -> bool:
        """Whether it is for whoever came there to do."""
        return action.action_id in self.by_hand or ("" in self.by_hand and action.action_id not in self.alone)

    def why_not_from_afar(self, action: Action) -> str:
        """Why it cannot be gone to; empty where it can."""
        return self.here_alone.get(action.action_id, self.here_alone.get("", ""))


NOUNS: Final[Mapping[str, str]] = {
    "source": "sources", "backup": "history", "schedule": "schedules", "storage": "storage", "host": "hosts", "job": "jobs",
    "plan": "plans", "secret": "vault", "destination": "destinations",
}  # fmt: skip
"""What has names that the palette knows, and the place that lists them."""

PLACES: Final[Mapping[str, About]] = {
    "everywhere": About("everywhere", "these keys work wherever one is"),
    "sources": About(
        "backups", "1", "source", frozenset({"source.all", "source.new", "source.shares"}),
        frozenset({"source.backup", "source.backup_as", "source.drill", "source.verify"}),
    ),
    "history": About(
        "history", "1, enter on a source; a for all backups", "backup", frozenset({"history.find", "history.shares"}),
        frozenset({"history.verify", "history.compare", "history.protect", "history.unprotect", "history.hold", "history.expire", "history.delete"}),
    ),
    "contents": About("contents", "enter on a backup", "backup", by_hand=frozenset({""}), here_alone={"contents.more": "open a backup first: there is no folder here"}),
    "compare": About("compare", "c or C on a backup", "backup", here_alone={
        "compare.stop": "nothing is compared here", "compare.details": "compare two backups first: nothing is compared here",
    }),
    "found": About("found", "F on a backup or a source", here_alone={"": "nothing is looked for here"}),
    "shares": About("shares", "u in the backups", by_hand=frozenset({""})),
    "schedules": About(
        "schedules", "2", "schedule",
        frozenset({"schedule.new", "schedule.missed", "schedule.tick", "everything.pause", "everything.resume"}),
        frozenset({"schedule.run", "schedule.pause", "schedule.resume"}),
    ),
    "instants": About("runs", "enter on a schedule", "schedule"),
    "keep": About("keep", "K on a schedule", "schedule"),
    "restore": About(
        "restore", "3", "source",
        frozenset({"restore.running", "restore.plans", "restore.evidence", "restore.undo", "restore.end_kept"}),
        frozenset({"restore.drill"}),
    ),
    "point": About("restore point", "enter on a source in 3", "source", by_hand=frozenset({"point.start"}), here_alone={
        "point.up": "choose a source to restore first: {tab.restore}, {list.open}", "point.down": "choose a source to restore first: {tab.restore}, {list.open}",
    }),
    "running": About("running", "J in 3, or by itself when something was started", "job", here_alone={"running.leave": "nothing that runs is shown here"}),
    "evidence": About("evidence", "E in 3", alone=frozenset({"evidence.key"}), by_hand=frozenset({""})),
    "plans": About("plans", "P in 3", "plan", frozenset({"plans.new"})),
    "pick": About("pick", "p at a restore point", here_alone={"": "it is for the tree that {point.pick} opens at a restore point"}),
    "storage": About("storage", "4", "storage", frozenset({"storage.new", "catalog.copy", "catalog.publish"})),
    "hosts": About("hosts", "H", "host", frozenset({"host.new"})),
    "vault": About("vault", "the palette: show the secrets of the vault", "secret", frozenset({"secret.set", "secret.rotate"})),
    "alerts": About("alerts", "ctrl+e", alone=frozenset({"alert.evaluate", "alert.past"}), by_hand=frozenset({""})),
    "destinations": About(
        "who is told", "the palette: who is told of alerts and jobs", "destination", frozenset({"destination.new", "destination.flush"})
    ),
    "jobs": About("jobs", "9", "job", frozenset({"job.narrow", "job.older", "job.newest"})),
    "log": About("log", "enter on a job", "job"),
    "list": About("any list", "these keys work in every list of rows", here_alone={"": "no list has the keys here"}),
    "text": About("any text", "these keys work in every page of text", here_alone={"": "no page of text has the keys here"}),
}  # fmt: skip
"""By the name that a `Place` has, in the order in which help and the page of keys show them."""
