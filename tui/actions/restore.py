"""What can be done in the pane restore."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action

RESTORE: Final[tuple[Action, ...]] = ()
