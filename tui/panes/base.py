"""Panes and the views in them: a pane is a stack of views, of which the topmost is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical
from textual.widget import Widget

from tui.place import Place

if TYPE_CHECKING:
    from engine.model.job import Change


class View(Vertical, Place):
    """What a pane shows: a list of sources, the history of one, the files of a backup. Loads itself when it is shown, and when the catalog
    changed while it is.
    """

    DEFAULT_CSS = "View { height: 1fr; }"

    @property
    def crumb(self) -> str:
        """What it adds to the path in the title row; empty: nothing."""
        return ""

    @property
    def note(self) -> str:
        """What the title row says of it, on the right; empty: nothing."""
        return ""

    async def load(self) -> None:
        """Reads what it shows. Called in a worker of its own, never twice at once; may raise errors of the engine."""

    def wants(self, change: Change) -> bool:
        """Whether it has to be read again for such a change."""
        return change.value == "state"

    def focus_default(self) -> None:
        """Gives the keys to what is worked with most."""
        for each in self.query("RowList, Page"):
            each.focus()
            return

    def reload(self) -> None:
        """Reads again, after what this console itself changed."""
        self.console.load(self)

    def renew(self) -> None:
        """Reads everything again, also what else is taken for known."""
        self.reload()


class Pane(Vertical):
    """A tab's content."""

    TITLE: ClassVar[str]
    DEFAULT_CSS = "Pane { height: 1fr; }"

    def __init__(self, first: View, *, id: str) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(id=id)
        self.views: list[View] = [first]

    def compose(self) -> list[Widget]:
        """The first view; others come as they are opened."""
        return [self.views[0]]

    @property
    def view(self) -> View:
        """The one that is seen."""
        return self.views[-1]

    async def push(self, view: View) -> None:
        """Shows a view over the present one."""
        self.view.display = False
        self.views.append(view)
        await self.mount(view)
        self.view.console.shown(view)

    async def pop(self) -> bool:
        """Goes back to the view below; False where there is none."""
        if len(self.views) == 1:
            return False
        await self.views.pop().remove()
        self.view.display = True
        self.view.console.shown(self.view)
        return True

    @property
    def path(self) -> str:
        """For the title row."""
        return " > ".join([self.TITLE, *(each.crumb for each in self.views if each.crumb)])
