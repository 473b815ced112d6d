"""What a person set for the console of this home: console.toml in it. A mistake is told by its line, and the default is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui.app import ConsoleApp


@dataclass(frozen=True, slots=True)
class Preferences:
    """console.toml."""

    name: str
    """What this home is called, in the title row."""
    theme: str = ""
    is_ascii: bool = True
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Action -> its keys, in place of the table's."""
    mistakes: Sequence[str] = ()
    """One sentence each, with the line."""

    def apply(self, console: ConsoleApp) -> None:
        """Gives the app its keys and its theme."""
        if self.keys:
            console.set_keymap({action: ",".join(keys) for action, keys in self.keys.items()})


def read_preferences(home: Path) -> Preferences:
    """The preferences of a home."""
    return Preferences(name=home.name)
