"""What can be done in the pane schedules."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action

SCHEDULES: Final[tuple[Action, ...]] = ()
