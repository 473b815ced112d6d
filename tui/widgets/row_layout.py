"""How rows stand in columns: which columns fit, how wide each is, what is above them, where a list begins. Pure: the list draws by it, and so
does the first picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.model.text import columns as columns_of
from engine.model.text import shortened
from tui.text import fit, fit_end, padded_ends
from tui.widgets.row_source import Column

MARKER: Final = 2
"""Columns on the left of each row: whether the cursor is on it, and whether it is marked."""
_LEAST_FILTER: Final = 6
"""Columns beside the place, for a filter's text that is shortened."""


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Columns that are shown, and how wide each is."""

    columns: Sequence[Column]
    shown: Sequence[int]
    """Which of them, from left to right."""
    widths: Sequence[int]
    """Of those that are shown."""

    def row(
        self, cells: Sequence[str], width: int, *, has_cursor: bool = False, is_marked: bool = False
    ) -> str:
        """A row of a list of that width."""
        marker = (">" if has_cursor else " ") + ("*" if is_marked else " ")
        return fit(marker + self._cells(cells), width)

    def _cells(self, cells: Sequence[str]) -> str:
        return " ".join(
            _cell(cells[index] if index < len(cells) else "", width, self.columns[index])
            for index, width in zip(self.shown, self.widths, strict=True)
        )

    def head(self, width: int, place: str, filtered: str = "") -> tuple[str, str]:
        """The titles, and the filter and the place beside them: after the title that leaves most room, or else over the end of the last ones.
        `width` is the whole list's.
        """
        titles = {index: self.columns[index].title for index in self.shown}
        spare, wide, roomy = max(
            ((size - columns_of(titles[index]) - 1, size, index) for index, size in zip(self.shown, self.widths, strict=True)),
            default=(0, 0, 0),
        )  # fmt: skip
        said = f"/{filtered} {place}".rstrip() if filtered else place
        if filtered and columns_of(said) > spare >= len(place) + _LEAST_FILTER:
            said = f"/{shortened(filtered, spare - len(place) - 2)} {place}".rstrip()
        if said and spare >= columns_of(said):
            is_right = self.columns[roomy].is_right
            titles[roomy] = padded_ends(*((said, titles[roomy]) if is_right else (titles[roomy], said)), wide)
            said = ""
        line = " " * MARKER + self._cells([titles.get(index, "") for index in range(len(self.columns))])
        room = max(0, width - columns_of(said) - 1)
        return line[:room] if said else line, said


def lay_out(columns: Sequence[Column], width: int, *, is_wide: bool = False) -> RowLayout:
    """The columns that fit into a list of that width, those of the highest rank left out first; all of them where `is_wide`."""
    room = width - MARKER
    shown = list(range(len(columns)))
    while not is_wide and _needed(columns, shown) > room:
        worst = max(shown, key=lambda index: (columns[index].rank, index))
        if columns[worst].rank == 0:
            break
        shown.remove(worst)
    spare = max(0, room - _needed(columns, shown))
    flexible = [index for index in shown if columns[index].is_flexible]
    widths = {index: columns[index].width for index in shown}
    for number, index in enumerate(flexible):
        widths[index] += spare // len(flexible) + (1 if number < spare % len(flexible) else 0)
    return RowLayout(columns, shown, [widths[index] for index in shown])


def as_they_are(columns: Sequence[Column]) -> RowLayout:
    """All columns, as wide as they are at least."""
    return RowLayout(columns, range(len(columns)), [each.width for each in columns])


def place_of(cursor: int, count: int, height: int) -> str:
    """Which row of how many the cursor is on, where not all of them are seen."""
    return f"{cursor + 1}/{count}" if count > max(1, height) else ""


def top_for(cursor: int, top: int, height: int) -> int:
    """The first row that is seen, such that the cursor is: where it was, if that will do."""
    if cursor < top:
        return cursor
    return cursor - height + 1 if height and cursor >= top + height else top


def _needed(columns: Sequence[Column], shown: Sequence[int]) -> int:
    return sum(columns[index].width + 1 for index in shown) - 1


def _cell(text: str, width: int, column: Column) -> str:
    return fit_end(text, width) if column.keeps_end else fit(text, width, is_right=column.is_right)
