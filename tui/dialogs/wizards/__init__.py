"""Forms that define something: hosts, sources, storages, schedules, destinations, recovery plans; and the way from an empty home to a backup.

`add_NOUN(console)` and `edit_NOUN(console, name)` are called by any pane within an action, and give what was defined; None where a person
left by escape. The fields are made from the tables of options in engine/model, which the verbs of the command line are made from too.
Each is loaded when it is asked for: all of them are 40 ms of a console's first frame.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tui.dialogs.wizards.destination import add_destination, edit_destination
    from tui.dialogs.wizards.guide import define, find_sources, first_backup
    from tui.dialogs.wizards.host import add_host, edit_host
    from tui.dialogs.wizards.places import move_storage, recover_home
    from tui.dialogs.wizards.plan import add_plan, edit_plan
    from tui.dialogs.wizards.schedule import add_schedule, edit_schedule
    from tui.dialogs.wizards.source import add_source, edit_source
    from tui.dialogs.wizards.storage import add_storage, edit_storage

__all__ = [
    "add_destination", "add_host", "add_plan", "add_schedule", "add_source", "add_storage", "define", "edit_destination", "edit_host", "edit_plan",
    "edit_schedule", "edit_source", "edit_storage", "find_sources", "first_backup", "move_storage", "recover_home",
]  # fmt: skip

_ELSEWHERE: Final = {
    "define": "guide", "find_sources": "guide", "first_backup": "guide", "move_storage": "places", "recover_home": "places",
}  # fmt: skip
"""Where those lie that are not in the module of their noun."""


def __getattr__(name: str) -> Any:
    """Python asks for what is not here yet."""
    if name not in __all__:
        raise AttributeError(name)
    module = _ELSEWHERE.get(name) or name.partition("_")[2]
    return getattr(import_module(f"{__name__}.{module}"), name)
