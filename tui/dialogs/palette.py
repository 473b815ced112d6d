"""Any action, found by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.actions import of_place
from tui.dialogs.menu import Menu

if TYPE_CHECKING:
    from tui.app import ConsoleApp
    from tui.place import Place


class Palette(Menu):
    """All actions of the places that take keys now; those that are off are dim and say why. The answer is an action's id."""

    def __init__(self, console: ConsoleApp, places: Sequence[Place]) -> None:
        entries, tones = [], []
        for place in places:
            for action in of_place(place.PLACE):
                reason = console.why_off(action) or place.why_off(action)
                entries.append(
                    (
                        action.action_id,
                        f"{console.key_of(action):<9} {action.title}{f'  ({reason})' if reason else ''}",
                    )
                )
                tones.append("dim" if reason else "")
        super().__init__("Commands", entries, tones=tones)

    def on_mount(self) -> None:
        """Typing filters at once."""
        super().on_mount()
        self.call_after_refresh(self.table.list.action_perform, "list.filter")
