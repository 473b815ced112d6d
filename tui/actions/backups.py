"""What can be done in the pane of the backups: one table a view."""

from __future__ import annotations

from typing import Final

from tui.actions.contents import CONTENTS
from tui.actions.history import HISTORY
from tui.actions.sources import SOURCES

BACKUPS: Final = (*SOURCES, *HISTORY, *CONTENTS)
