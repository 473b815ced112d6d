"""Rows, their columns, and where they come from: all at once, or in pages as they are seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

PAGE_ROWS = 256
_MOST_PAGES = 16
"""Kept of a source that is read in pages."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    title: str
    width: int
    """Columns of the terminal, at least."""
    is_flexible: bool = False
    """Whether it takes what is left."""
    is_right: bool = False
    keeps_end: bool = False
    """Whether what does not fit is cut at its beginning: of a path the end tells more."""
    rank: int = 0
    """Where the terminal is narrow, columns of the highest rank go first; 0 stays."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row; cells are printable."""

    key: str
    cells: tuple[str, ...]
    tone: str = ""
    """good, warning, risk, dim or none."""
    order: tuple[object, ...] = ()
    """What each column is sorted by; empty: its text."""


class RowSource(Protocol):
    """Where rows come from."""

    def __len__(self) -> int: ...

    def row(self, index: int) -> Row | None:
        """That row; None where it is still being read: the list draws it when it is there."""

    def index_of(self, key: str) -> int | None:
        """Where a row stands, where that is known."""

    def between(self, first: int, last: int) -> Iterator[Row]:
        """The rows from place `first` to `last`, of those that were read: asks for none."""


class FixedRows:
    """Rows that are all there."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self._places = {row.key: index for index, row in enumerate(rows)}

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, index: int) -> Row | None:
        """That row."""
        return self.rows[index]

    def index_of(self, key: str) -> int | None:
        """Where it stands."""
        return self._places.get(key)

    def between(self, first: int, last: int) -> Iterator[Row]:
        """Those rows."""
        yield from self.rows[max(0, first) : last + 1]


class PagedRows:
    """Rows of which there are too many: read in pages of PAGE_ROWS when they are seen, a few pages kept.

    `load(first, count)` reads; `begin` starts a coroutine without waiting for it; `loaded` is called when there is more to draw.
    """

    def __init__(
        self,
        count: int,
        load: Callable[[int, int], Awaitable[Sequence[Row]]],
        begin: Callable[[Awaitable[None]], None],
        loaded: Callable[[], None],
    ) -> None:
        self._count = count
        self._load, self._begin, self._loaded = load, begin, loaded
        self._pages: dict[int, Sequence[Row]] = {}
        self._asked: set[int] = set()

    def __len__(self) -> int:
        return self._count

    def row(self, index: int) -> Row | None:
        """That row, where its page was read; else the page is asked for."""
        number, place = divmod(index, PAGE_ROWS)
        page = self._pages.get(number)
        if page is None:
            if number not in self._asked:
                self._asked.add(number)
                self._begin(self._read(number))
            return None
        return page[place] if place < len(page) else None

    def index_of(self, key: str) -> int | None:
        """Where it stands, in the pages that are there."""
        for number, page in self._pages.items():
            for place, row in enumerate(page):
                if row.key == key:
                    return number * PAGE_ROWS + place
        return None

    def between(self, first: int, last: int) -> Iterator[Row]:
        """Those of them in the pages that are there."""
        for number in sorted(self._pages):
            for place, row in enumerate(self._pages[number]):
                if first <= number * PAGE_ROWS + place <= last:
                    yield row

    def grow(self, count: int) -> None:
        """There are more of them than was known."""
        self._count = count

    def put(self, number: int, page: Sequence[Row]) -> None:
        """Adds a page that was read otherwise: the first one, so that the list is never empty."""
        self._pages.pop(number, None)
        self._pages[number] = page
        while len(self._pages) > _MOST_PAGES:
            del self._pages[next(iter(self._pages))]

    async def _read(self, number: int) -> None:
        try:
            self.put(number, await self._load(number * PAGE_ROWS, PAGE_ROWS))
        finally:
            self._asked.discard(number)
        self._loaded()
