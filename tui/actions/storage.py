"""What can be done in the pane storage."""

from __future__ import annotations

from typing import Final

from tui.actions.base import Action

STORAGE: Final[tuple[Action, ...]] = ()
