"""From the start of the app until its first screen is seen: it is drawn once, whole, and what was read before there was an app is not read again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from engine.model.job import Mark
    from tui.app import ConsoleApp
    from tui.panes.source_look import FirstLook, SourceLook
    from tui.picture.standing import Standing

_LONGEST_S: Final = 0.3
"""So long the first screen waits for its rows."""
_STANDING_S: Final = 3.0
"""So long where the same stands there already."""


class Opening:
    """Of one app."""

    def __init__(self, app: ConsoleApp) -> None:
        self._app = app
        self._held = contextlib.ExitStack()
        self._look: FirstLook | None = None
        self._is_read = False
        self._is_over = False
        self.standing: Standing | None = None
        """The first picture, where there is one; the driver takes its place."""

    def begin_with(self, look: FirstLook, standing: Standing | None) -> None:
        """What was read, and drawn, already; before the app runs."""
        self._look, self.standing = look, standing

    def take_look(self) -> SourceLook | None:
        """What was read of the sources already, once."""
        look, self._look = self._look, None
        return look.sources if look is not None else None

    @property
    def mark(self) -> Mark | None:
        """What changed since was not seen; until the look is taken."""
        return self._look.mark if self._look is not None else None

    def hold(self) -> None:
        """Nothing is drawn before the first view was read, or that takes too long."""
        self._held.enter_context(self._app.batch_update())
        self._app.set_timer(_LONGEST_S if self.standing is None else _STANDING_S, self._held.close)

    def read(self) -> None:
        """A view was read. Where it was the first, the screen is drawn once it is whole."""
        if not self._is_read:
            self._is_read = True
            self._app.call_later(self._let_focus)

    def ends(self) -> bool:
        """Nothing that was typed is on its way: whether it is over now, and was not before."""
        if self._is_over or not self._is_read:
            return False
        self._is_over = True
        return True

    def _let_focus(self) -> None:
        """What has the keys was said by a callback before this one; it knows of it when all before this was told to it."""
        (self._app.focused or self._app).call_later(self._draw)

    def _draw(self) -> None:
        self._app.show_frame()
        self._held.close()
