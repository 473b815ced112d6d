"""The table of actions: what can be done, where, by which keys, and for which verbs of the command line it stands.

Bindings, help, palette, hints and the page of keys are made from it, one file a place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tui.actions.alerts import ALERTS, DESTINATIONS
from tui.actions.backups import BACKUPS
from tui.actions.base import Action, Danger
from tui.actions.defining import DEFINING
from tui.actions.everywhere import EVERYWHERE
from tui.actions.hosts import HOSTS, VAULT
from tui.actions.jobs import JOBS
from tui.actions.lists import LISTS
from tui.actions.office import OFFICE
from tui.actions.restore import EVIDENCE, PICK, PLANS, RESTORE
from tui.actions.schedules import SCHEDULES
from tui.actions.storage import STORAGE
from tui.actions.texts import TEXTS

__all__ = ["ACTIONS", "Action", "Danger", "of_place"]

ACTIONS: Final[Mapping[str, Action]] = {
    each.action_id: each
    for each in (
        *EVERYWHERE,
        *OFFICE,
        *ALERTS,
        *DESTINATIONS,
        *LISTS,
        *TEXTS,
        *BACKUPS,
        *SCHEDULES,
        *DEFINING,
        *RESTORE,
        *EVIDENCE,
        *PLANS,
        *PICK,
        *STORAGE,
        *HOSTS,
        *VAULT,
        *JOBS,
    )
}
"""By id."""


def of_place(place: str) -> Sequence[Action]:
    """The actions of a place, in the order of the table."""
    return [each for each in ACTIONS.values() if each.place == place]
