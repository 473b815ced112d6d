"""Places: parts of the screen with actions of their own."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from textual.binding import Binding, BindingType
from textual.widget import Widget

from tui.actions import ACTIONS, Action, of_place

if TYPE_CHECKING:
    from tui.app import ConsoleApp


class Copyable(Protocol):
    """What `y` offers: a label and the text that is copied."""

    label: str
    text: str


def bindings(place: str) -> list[BindingType]:
    """The keys of a place, made from the table of actions; each binding has its action's id, so that keys can be given to it by it."""
    return [
        Binding(
            ",".join(each.keys), f"perform('{each.action_id}')", each.title, show=False, id=each.action_id
        )
        for each in of_place(place)
        if each.keys
    ]


class Place(Widget):
    """A part of the screen. A subclass names its PLACE, sets `BINDINGS = bindings(PLACE)`, and has an async method `do_NOUN_VERB` for each
    action of that place; errors of the engine may leave such a method: they become a sentence on the screen.
    """

    PLACE: ClassVar[str]

    @property
    def console(self) -> ConsoleApp:
        """The app."""
        return cast("ConsoleApp", self.app)

    def why_off(self, action: Action) -> str:
        """Why an action makes no sense here now, as one sentence; empty where it does. Cheap: it is asked for each line of the help."""
        return ""

    def copyables(self) -> Sequence[tuple[str, str]]:
        """What `y` offers here: labels and texts, ids and paths first, the command line that does the same last."""
        return ()

    def action_perform(self, action_id: str) -> None:
        """Called by Textual for a key."""
        self.perform(ACTIONS[action_id])

    def perform(self, action: Action) -> None:
        """Begins an action, or says why it is off."""
        self.console.begin_anew()
        reason = self.console.why_off(action) or self.why_off(action)
        if reason:
            self.console.tell(reason)
            return
        self.console.run_guarded(self.coroutine(action), name=action.action_id)

    def coroutine(self, action: Action) -> Coroutine[Any, Any, None]:
        """The coroutine that does an action."""
        return cast("Coroutine[Any, Any, None]", getattr(self, action.method)())
