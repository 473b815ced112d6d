"""The keys of this place, each with what it does or why it is off; Enter does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.actions import of_place
from tui.dialogs.menu import Menu

if TYPE_CHECKING:
    from tui.app import ConsoleApp
    from tui.place import Place


class Help(Menu):
    """The answer is an action's id."""

    def __init__(self, console: ConsoleApp, places: Sequence[Place]) -> None:
        entries, tones = [], []
        for place in places:
            for action in of_place(place.PLACE):
                keys = console.preferences.keys_of(action.action_id)
                shown = " ".join(console.get_key_display_of(each) for each in keys)
                reason = console.why_off(action) or place.why_off(action)
                entries.append(
                    (action.action_id, f"{shown:<18} {action.title}{f'  ({reason})' if reason else ''}")
                )
                tones.append("dim" if reason else "")
        super().__init__("Keys of this place", entries, tones=tones)
