"""Keys in their order: each is given to what the one before brought into sight.

Textual gives a key to whatever has the keys at that instant, and does by bubbling to the app what is bound to it: of `ctrl+u` and letters
that come in one packet, as they do over a slow line, the letters are typed first and then deleted; and of `4` and `n` the second is done
on the tab that was left. So a key that was typed ahead waits until the one before was handled, and what it began is over or asks something.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from textual import events
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input
from textual.worker import NoActiveWorker, Worker, get_current_worker

if TYPE_CHECKING:
    from tui.app import ConsoleApp

LONGEST_S: Final = 0.6
"""So long a key waits at most: what takes longer goes on while others are given."""
_OPENING_S: Final = 5.0
"""So long the first one waits for what is to be seen first."""


class Handled(Message, bubble=True):
    """Follows a key through the widgets, and comes to the app behind it."""

    def __init__(self, look: int) -> None:
        super().__init__()
        self.look = look


class Typed:
    """What was typed, and not given to anybody yet."""

    longest_s = LONGEST_S
    """So long a key waits here."""

    def __init__(self, app: ConsoleApp) -> None:
        self._app = app
        self._waiting: deque[events.Event] = deque()
        self._given: events.Event | None = None
        """The one on its way, or the answer that an action goes on with."""
        self._begun: set[Worker[Any]] = set()
        """What that one began, and neither ended nor asks."""
        self._timer: Timer | None = None
        self._turn = 0
        """Of the one on its way: what comes late for an earlier one counts for nothing."""
        self._rounds = 0
        """So often something must still go through the widgets."""
        self._look = 0
        """What was sent through the widgets last: what was sent before what the key began was over says nothing of what that sent."""
        self._is_letter = False
        """Whether it went into a field: the next letter waits for nothing that this one begins, as a filter that is read."""

    def opens(self) -> None:
        """The console opens: what was typed meanwhile is for what comes into sight first, as if a key had led there."""
        self._turn += 1
        self._given, self._is_letter = events.Event(), False
        self._watch(_OPENING_S)

    def must_wait(self, event: events.Event) -> bool:
        """Whether an event waits for its turn: then it comes again. Else it is on its way, and `follow` is to be called."""
        if event is self._given:
            return False
        if self._given is not None:
            self._waiting.append(event)
            return True
        self._turn += 1
        self._given = event
        return False

    def follow(self) -> None:
        """The event was given."""
        self._begun.clear()
        self._is_letter = (
            isinstance(self._given, events.Key)
            and self._given.is_printable
            and isinstance(self._app.focused, Input)
        )
        self._rounds = 1 if self._is_letter else 2  # what a field says of enter comes behind the enter
        self._watch()
        self.look()

    def _watch(self, longest_s: float = 0.0) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._app.set_timer(longest_s or self.longest_s, partial(self.next, self._turn))

    def look(self) -> None:
        """Sends something through the widgets behind all that was sent before."""
        if self._given is None or not self._app.is_running:
            return
        self._look += 1
        handled = Handled(self._look)
        handled.set_sender(self._app)  # what a dialog sends stops at that dialog
        if not (self._app.focused or self._app.screen).post_message(handled):
            self.next(self._turn)

    def handled(self, look: int) -> None:
        """It came back."""
        if self._given is None or look != self._look:
            return
        self._rounds -= 1
        self._begun = {each for each in self._begun if not each.is_finished}
        if self._rounds > 0:
            self.look()
        elif not self._begun:
            # What has the keys from now on was said by a callback that is before this one.
            self._app.call_later(self.next, self._turn)

    def next(self, turn: int) -> None:
        """Gives the next one."""
        if turn != self._turn:
            return
        self._turn += 1
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._given = self._waiting.popleft() if self._waiting else None
        if self._given is not None:
            self._app.post_message(self._given)
        else:
            self._app.rests()

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is on its way."""
        return self._given is None

    # What a key began.

    def begins(self, worker: Worker[Any]) -> None:
        """The key that is on its way began something, or it goes on."""
        if self._given is not None and not self._is_letter:
            self._begun.add(worker)

    def rests(self, worker: Worker[Any] | None = None) -> None:
        """What was begun is over, or asks something: without an argument, what this is called from."""
        try:
            worker = worker or get_current_worker()
        except NoActiveWorker:
            return
        if worker in self._begun:
            self._begun.discard(worker)
            self._rounds = 1
            self.look()

    def goes_on(self) -> None:
        """What this is called from asked something, and was answered."""
        try:
            worker = get_current_worker()
        except NoActiveWorker:
            return
        if self._given is None:
            self._turn += 1
            self._given, self._is_letter = events.Event(), False
            self._watch()
        self.begins(worker)
