"""What differs between two backups, or between a backup and what is live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from engine.model import described
from engine.model.results import Difference
from engine.model.text import printable
from tui import keys
from tui.actions import Action
from tui.dialogs.reader import Reader
from tui.panes.stream import StreamView
from tui.place import bindings
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowTable

_TONES: Final = {"added": "good", "removed": "risk", "modified": "warning", "metadata": "dim"}


class CompareView(StreamView):
    """`after` empty: with what is live."""

    PLACE = "compare"
    BINDINGS = bindings("compare")

    def __init__(self, before: str, after: str = "") -> None:
        super().__init__(
            RowTable(
                [Column("", 1), Column("PATH", 40, is_flexible=True, keeps_end=True), Column("WHAT", 24)],
                empty="nothing differs",
            )
        )
        self.before, self.after = before, after
        self.is_checksum = False
        self._counts: Counter[str] = Counter()
        self._compared: Sequence[str] = ()
        self._not_compared: Sequence[str] = ()

    @property
    def crumb(self) -> str:
        """What is compared."""
        return f"{self.before} : {self.after or 'live'}"

    async def read(self) -> None:
        """Everything that differs, as it is found."""
        self._counts.clear()
        engine = self.console.engine
        if self.after:
            done = await engine.diff(self.before, self.after, self._tell)
        else:
            done = await engine.diff_live(self.before, self._tell, is_checksum=self.is_checksum)
        self._compared, self._not_compared = done.compared, done.not_compared

    def _tell(self, found: Difference) -> None:
        self._counts[found.change] += 1
        key = f"{self.count} {found.path}"
        cells = (
            described.SIGNS.get(found.change, "?"),
            printable(found.path),
            printable(described.difference(found)),
        )
        self.add(Row(key, cells, _TONES.get(found.change, "")))

    def summary(self) -> str:
        """How many of each, and what nobody looked at."""
        counts = ", ".join(f"{self._counts[each]:,} {each}" for each in _TONES if self._counts[each])
        more = (
            f"; not compared: {len(self._not_compared)}, {keys.of('compare.details')} says what"
            if self._not_compared
            else ""
        )
        return (counts or "nothing differs") + more

    def why_off(self, action: Action) -> str:
        """A comparison that is over cannot be stopped."""
        if action.action_id == "compare.stop" and not self.is_reading:
            return "it is over"
        if action.action_id == "compare.checksum" and self.after:
            return "two backups are compared by their content anyway"
        return ""

    def copyables(self) -> Sequence[tuple[str, str]]:
        """The path, and the command line."""
        row = self.table.current
        paths = [("path", row.key.partition(" ")[2])] if row is not None else []
        other = self.after or f"--live{' --checksum' if self.is_checksum else ''}"
        return [*paths, ("command", f"holdfast diff {self.before} {other}")]

    async def do_compare_stop(self) -> None:
        """What came stays."""
        self.stop()

    async def do_compare_checksum(self) -> None:
        """From the beginning, and every file."""
        self.is_checksum = True
        self.begin()

    async def do_compare_details(self) -> None:
        """How far it looked."""
        lines = [f"compared: {each}" for each in self._compared]
        lines += [f"not compared: {each}" for each in self._not_compared]
        row = self.table.current
        cells = [" ".join(row.cells), ""] if row is not None else []
        await self.console.ask(Reader(self.crumb, [*cells, *(lines or [self.outcome])]))
