"""Tab 1, Backups: the sources, and over them the history of one or all, what is in a backup, what differs, what was found, what is shared."""

from __future__ import annotations

from tui.panes.base import Pane
from tui.panes.sources import SourcesView


class BackupsPane(Pane):
    """Tab 1."""

    TITLE = "backups"

    def __init__(self, *, id: str) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(SourcesView(), id=id)
