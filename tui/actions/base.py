"""What an action is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Danger(StrEnum):
    """What an action asks before it begins."""

    NONE = "none"
    """Nothing: it can be taken back, or changes nothing."""
    COSTLY = "costly"
    """`y` or `n`; Enter does nothing."""
    DESTROYING = "destroying"
    """The plan is shown, and the name of what goes is typed."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a person can do at a place of the screen."""

    action_id: str
    """`noun.verb`; what [keys] in console.toml may give other keys."""
    place: str
    """Where its keys work: a `Place` has that name."""
    keys: tuple[str, ...]
    """As Textual calls them; the first is shown. Empty: by the palette alone."""
    title: str
    """What it does, for help and palette: begins in lower case."""
    hint: str = ""
    """In the row of hints; empty: not shown there."""
    verbs: tuple[str, ...] = ()
    """The verbs of the command line that it stands for."""
    is_changing: bool = False
    """Whether it changes anything outside of this console: off in a read-only one."""
    danger: Danger = Danger.NONE

    @property
    def method(self) -> str:
        """The name of the place's coroutine method that does it."""
        return "do_" + self.action_id.replace(".", "_")
