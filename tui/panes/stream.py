"""Views whose rows come one by one from a repository or a host: shown as they come, stopped by a key, bounded in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from textual.widget import Widget
from textual.worker import Worker

from engine.errors import HoldfastError
from engine.model.job import Change
from tui import bridge
from tui.panes.base import View
from tui.text import columns, fit_end, printable
from tui.widgets.line import Line
from tui.widgets.row_source import Row
from tui.widgets.rows import RowTable

MOST_ROWS: Final = 50_000
"""That are kept; a person reads no more, and filters what is meant."""
_BEAT_S: Final = 0.3
_ROWS_A_SECOND: Final = 50_000
"""That can be laid out anew while more come, without being felt."""


class StreamView(View):
    """A subclass gives `table`, and `read`, which calls `add`. It is read once: what a backup holds never changes."""

    DEFAULT_CSS = "StreamView > Line { height: 1; }"

    def __init__(self, table: RowTable) -> None:
        super().__init__()
        self.table = table
        self.said = Line("…")
        self.said.add_class("aside")
        self.rows: list[Row] = []
        self.count = 0
        """All that came, also those that are not kept."""
        self._work: Worker[None] | None = None
        self._shown_at = 0.0
        self.is_over = False
        """Whether all of it was read."""
        self._failure = ""
        self._said_of_none = table.empty

    def compose(self) -> Iterator[Widget]:
        """How far it is, and the rows."""
        yield self.said
        yield self.table

    def on_mount(self) -> None:
        """Begins."""
        self.begin()

    def wants(self, change: Change) -> bool:
        """It is read once."""
        return False

    def begin(self) -> None:
        """Reads, from the beginning."""
        self.rows, self.count, self.is_over, self._failure = [], 0, False, ""
        self._work = self.run_worker(self._run, exit_on_error=False, exclusive=True)

    @property
    def is_reading(self) -> bool:
        """Whether more is to come."""
        return self._work is not None and not self._work.is_finished

    def stop(self) -> None:
        """Reads no further; what came stays."""
        if self._work is not None:
            self._work.cancel()

    async def _run(self) -> None:
        try:
            await bridge.guarded(self.console, self._read())
        finally:
            if self.is_attached:
                self.table.empty = (
                    self._said_of_none if self.is_over else "nobody knows: it was not read to its end"
                )
                self.flush()
                self.say(self._end())

    async def _read(self) -> None:
        self.say("reading…")
        try:
            await self.read()
        except HoldfastError as error:
            self._failure = error.message
            raise
        self.is_over = True
        self.say(self.summary())

    @property
    def outcome(self) -> str:
        """What came of it so far."""
        return f"reading… {self.count:,}" if self.is_reading else self._end()

    def _end(self) -> str:
        """Of what was not read to its end nothing else can be said."""
        if self.is_over:
            return self.summary()
        return f"{self.count:,} until it {f'failed: {printable(self._failure)}' if self._failure else 'was stopped'}"

    async def read(self) -> None:
        """Calls `add` for each row. May raise errors of the engine."""

    def summary(self) -> str:
        """What to say at its end."""
        return f"{self.count:,}"

    def add(self, row: Row) -> None:
        """One more; shown a little later, with others."""
        self.count += 1
        if len(self.rows) < MOST_ROWS:
            self.rows.append(row)
        now = asyncio.get_running_loop().time()
        if now - self._shown_at > _BEAT_S + len(self.rows) / _ROWS_A_SECOND:
            self.flush()
            self.say(f"reading… {self.count:,}")

    def flush(self) -> None:
        """Shows what came, and with the first of it what can be done with it."""
        self._shown_at = asyncio.get_running_loop().time()
        was_empty = not len(self.table.list.source)
        self.table.show_rows(list(self.rows))
        if was_empty and self.rows and self is self.console.main.pane.view:
            self.console.main.show_hints()

    @property
    def where(self) -> tuple[str, str]:
        """What it is that is read: some words, and a path, of which the end is kept where there is little room. Printable."""
        return "", ""

    def say(self, text: str) -> None:
        """In the topmost row of the view."""
        text += f"; the first {MOST_ROWS:,} are shown" if self.count > MOST_ROWS else ""
        words, path = self.where
        if not words:
            self.said.show(text)
            return
        room = (self.size.width or 80) - columns(words) - columns(text) - 3
        self.said.show(f"{words} {fit_end(path, max(1, min(room, columns(path))))}", text)
