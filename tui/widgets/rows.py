"""A list of any length, drawn line by line: one style a row, and only what changed.

Textual's DataTable needs seconds for 100,000 rows and 11 KB for one row scrolled; this asks its source for the rows that are seen alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from rich.segment import Segment
from textual import events
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui import keys
from tui.actions import Action
from tui.place import Place, bindings
from tui.text import fit
from tui.widgets import row_layout
from tui.widgets.line import Line
from tui.widgets.row_source import Column, FixedRows, Row, RowSource

if TYPE_CHECKING:
    from tui.app import ConsoleApp


class RowList(ScrollView, Place, can_focus=True, inherit_bindings=False):
    """The rows; the cursor is on one of them where there is any."""

    PLACE = "list"
    BINDINGS = bindings("list")
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--good", "rows--warning", "rows--risk", "rows--dim", "rows--cursor", "rows--marked",
    }  # fmt: skip
    DEFAULT_CSS = """
    RowList { height: 1fr; scrollbar-size: 0 0; overflow-x: hidden; }
    RowList .rows--good { color: $text-success; }
    RowList .rows--warning { color: $text-warning; }
    RowList .rows--risk { color: $text-error; }
    RowList .rows--dim { text-style: dim; }
    RowList .rows--marked { text-style: bold; }
    RowList .rows--cursor { text-style: reverse; }
    """

    cursor = reactive(0, repaint=False, always_update=False)

    class Opened(Message):
        """Enter on a row."""

        def __init__(self, table: RowTable, row: Row) -> None:
            super().__init__()
            self.table, self.row = table, row

    class Moved(Message, bubble=True):
        """The cursor came to another row, or to none."""

        def __init__(self, table: RowTable, row: Row | None) -> None:
            super().__init__()
            self.table, self.row = table, row

        def can_replace(self, message: Message) -> bool:
            """Ten moves in a row are one for whoever shows what is under the cursor."""
            return isinstance(message, RowList.Moved) and message.table is self.table

    class Marked(Message):
        """Marks changed."""

        def __init__(self, table: RowTable) -> None:
            super().__init__()
            self.table = table

    def __init__(self, table: RowTable) -> None:
        super().__init__()
        self._table = table
        self.source: RowSource = FixedRows(())
        self.marked: dict[str, None] = {}
        self.last_mark: int | None = None
        self.widths: Sequence[int] = ()

    # What is under the cursor.

    @property
    def current(self) -> Row | None:
        """The row under the cursor, where there is one and it was read."""
        return self.source.row(self.cursor) if 0 <= self.cursor < len(self.source) else None

    def show(self, source: RowSource, key: str = "") -> None:
        """Shows other rows; the cursor stays on the row of that key, or of the one it was on, or else where it was. Only rows that differ
        are drawn.
        """
        before, was, top = self.current, (self.source, self.cursor), self.scroll_y
        wanted = key or (before.key if before is not None else "")
        self.source = source
        place = source.index_of(wanted) if wanted else None
        self.virtual_size = Size(self.size.width, len(source))
        self.set_reactive(
            RowList.cursor, max(0, min(self.cursor if place is None else place, len(source) - 1))
        )
        self.last_mark = None
        self._keep_in_sight()
        if (differing := _differing(*was, source, self.cursor)) is None or self.scroll_y != top:
            self.refresh()
        else:
            for line in differing:
                self.refresh_line(line)
        self._moved()

    def redraw(self) -> None:
        """Rows came that were asked for."""
        self.refresh()
        self._moved()

    def validate_cursor(self, cursor: int) -> int:
        """Within the rows."""
        return max(0, min(cursor, len(self.source) - 1))

    def watch_cursor(self, before: int, now: int) -> None:
        """Draws two lines."""
        self.refresh_line(before)
        self.refresh_line(now)
        self._keep_in_sight()
        self._moved()

    def _moved(self) -> None:
        self._table.tell_place()
        self.post_message(self.Moved(self._table, self.current))

    def _keep_in_sight(self) -> None:
        top = round(self.scroll_y)
        if (wanted := row_layout.top_for(self.cursor, top, self.size.height)) != top:
            self.scroll_to(y=wanted, animate=False)

    def on_resize(self, _event: events.Resize) -> None:
        """Columns are laid out anew."""
        self.virtual_size = Size(self.size.width, len(self.source))
        self._table.lay_out()
        self._keep_in_sight()

    def on_click(self, event: events.Click) -> None:
        """The row that was clicked."""
        self.cursor = event.y + round(self.scroll_y)

    # Drawing.

    def render_line(self, y: int) -> Strip:
        """Textual asks for it."""
        index = y + round(self.scroll_y)
        width = self.size.width
        plain = self.rich_style
        if index >= len(self.source):
            text = self._table.said_of_none if index == 0 else ""
            return Strip([Segment(fit(f"  {text}", width), plain)])
        row = self.source.row(index)
        if row is None:
            return Strip([Segment(fit("  …", width), plain)])
        is_current = index == self.cursor
        is_marked = row.key in self.marked
        has_cursor = is_current and (self.has_focus or not self._table.is_quiet)
        text = self._table.lay_row(row.cells, has_cursor=has_cursor, is_marked=is_marked)
        style = plain
        if row.tone:
            style += self.get_component_rich_style(f"rows--{row.tone}", partial=True)
        if is_marked:
            style += self.get_component_rich_style("rows--marked", partial=True)
        if is_current and self.has_focus:
            style += self.get_component_rich_style("rows--cursor", partial=True)
        return Strip([Segment(text, style)])

    def on_focus(self) -> None:
        """The cursor is shown."""
        self.refresh_line(self.cursor)

    def on_blur(self) -> None:
        """The cursor is shown less."""
        self.refresh_line(self.cursor)

    # Actions.

    def action_perform(self, action_id: str) -> None:
        """Moves are done at once, without a worker: keys that repeat must not overtake one another."""
        moves: dict[str, int] = {
            "list.up": -1,
            "list.down": 1,
            "list.first": -len(self.source),
            "list.last": len(self.source),
            "list.half_up": -max(1, self.size.height // 2),
            "list.half_down": max(1, self.size.height // 2),
            "list.page_up": -max(1, self.size.height - 1),
            "list.page_down": max(1, self.size.height - 1),
        }
        if action_id in moves:
            self.cursor += moves[action_id]
        else:
            super().action_perform(action_id)

    def why_off(self, action: Action) -> str:
        """Nothing to open or mark in an empty list."""
        if not len(self.source) and action.action_id in ("list.open", "mark.row", "mark.range"):
            return "there is nothing in this list"
        return ""

    async def do_list_open(self) -> None:
        """Enter."""
        if self.current is not None:
            self.post_message(self.Opened(self._table, self.current))

    async def do_list_filter(self) -> None:
        """Asks for a text below, and shows what holds it while it is typed."""
        await self._table.ask_filter()

    async def do_list_sort(self) -> None:
        """Asks by which column."""
        await self._table.ask_sort()

    async def do_list_wide(self) -> None:
        """All columns, though they may be cut."""
        self._table.is_wide = not self._table.is_wide
        self._table.lay_out()

    async def do_mark_row(self) -> None:
        """Marks or unmarks the current row, and goes to the next."""
        row = self.current
        if row is None:
            return
        if row.key in self.marked:
            del self.marked[row.key]
        else:
            self.marked[row.key] = None
        self.last_mark = self.cursor
        self.refresh_line(self.cursor)
        self.cursor += 1
        self.post_message(self.Marked(self._table))

    async def do_mark_range(self) -> None:
        """Marks from the last mark to the cursor."""
        first, last = sorted((self.cursor if self.last_mark is None else self.last_mark, self.cursor))
        for row in self.source.between(first, last):
            self.marked[row.key] = None
        self.last_mark = self.cursor
        self.refresh()
        self.post_message(self.Marked(self._table))

    async def do_mark_all(self) -> None:
        """Marks all rows that are shown, and that were read."""
        for row in self.source.between(0, len(self.source) - 1):
            self.marked[row.key] = None
        self.refresh()
        self.post_message(self.Marked(self._table))
        if len(self.marked) < len(self.source):
            self.console.tell(f"{len(self.marked)} are marked, those that were read; a filter brings fewer")

    async def do_mark_none(self) -> None:
        """Takes all marks away."""
        self.marked.clear()
        self.refresh()
        self.post_message(self.Marked(self._table))


class RowTable(Vertical):
    """Rows with their titles above them. `empty` is what is said where there is none: it names the way to the first one."""

    DEFAULT_CSS = """
    RowTable { height: 1fr; }
    RowTable > Line { text-style: bold; }
    """

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        empty: str,
        is_quiet: bool = False,
        id: str | None = None,  # noqa: A002 -- Textual's own name
    ) -> None:
        super().__init__(id=id)
        self.is_quiet = is_quiet
        """Whether it shows a cursor only while it has the keys."""
        self.columns = columns
        self.empty = empty
        self.is_wide = False
        self.filter = ""
        self.sorted_by: tuple[int, bool] | None = None
        """The column, and whether the largest comes first."""
        self.list = RowList(self)
        self.head = Line()
        self._rows: Sequence[Row] = ()
        self._is_read = False
        self._laid_out, self._laid_out_for = row_layout.as_they_are(columns), -1

    def compose(self) -> Iterator[Line | RowList]:
        """Titles, rows."""
        yield self.head
        yield self.list

    def focus(self, scroll_visible: bool = True) -> RowTable:
        """The rows get the keys."""
        self.list.focus(scroll_visible)
        return self

    # Rows.

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.list.current

    @property
    def said_of_none(self) -> str:
        """What stands in place of the first row: nothing was read yet, nothing holds the filter's text, or there is nothing."""
        if not self._is_read:
            return "…"
        return (
            f"no row holds {self.filter}: {keys.of('list.filter')} and an empty text show all"
            if self.filter
            else keys.said(self.empty)
        )

    def go_to(self, key: str) -> None:
        """Puts the cursor on the row of that key, where it is known."""
        place = self.list.source.index_of(key)
        if place is not None:
            self.list.cursor = place

    def chosen(self) -> Sequence[str]:
        """The keys of the marked rows; where none is, of the current one."""
        if self.list.marked:
            return list(self.list.marked)
        return [self.current.key] if self.current is not None else []

    def show_rows(self, rows: Sequence[Row], key: str = "") -> None:
        """Shows rows that are all there, by the filter and the order that a person chose."""
        self._rows, self._is_read = rows, True
        self._show(key)

    def show_source(self, source: RowSource, key: str = "") -> None:
        """Shows rows of another source, which does its own filtering and sorting."""
        self._rows, self._is_read = (), True
        self.list.show(source, key)

    def _show(self, key: str = "") -> None:
        wanted = self.filter.casefold()
        rows = [each for each in self._rows if not wanted or wanted in " ".join(each.cells).casefold()]
        if self.sorted_by is not None:
            column, is_falling = self.sorted_by
            rows.sort(key=lambda row: _order(row, column), reverse=is_falling)
        known = {each.key for each in self._rows}
        self.list.marked = {each: None for each in self.list.marked if each in known}
        self.list.show(FixedRows(rows), key)

    async def ask_filter(self) -> None:
        """Asks for a text, and filters while it is typed; an empty one shows all again."""
        from tui.app import ConsoleApp

        app = self.app
        assert isinstance(app, ConsoleApp)
        await app.ask_line("/", self.filter, self.set_filter)
        self.focus()

    def set_filter(self, text: str) -> None:
        """Shows only rows that hold the text."""
        self.filter = text
        self._show()

    async def ask_sort(self) -> None:
        """Asks by which column; the same one again turns the order round."""
        from tui.app import ConsoleApp
        from tui.dialogs.menu import Menu

        app = self.app
        assert isinstance(app, ConsoleApp)
        titles = [each.title for each in self.columns]
        chosen = await app.ask(
            Menu("Sort by", [(str(index), title) for index, title in enumerate(titles) if title])
        )
        if chosen is not None:
            column = int(chosen)
            was = self.sorted_by
            self.sorted_by = (column, not was[1]) if was is not None and was[0] == column else (column, False)
            self._show()

    # Lay-out.

    def lay_out(self) -> None:
        """Decides which columns fit, and how wide each is."""
        self._laid_out = self._lay_out(self.list.size.width)
        self.tell_place()
        self.list.refresh()

    def _lay_out(self, width: int) -> row_layout.RowLayout:
        self._laid_out_for = width
        return row_layout.lay_out(self.columns, width, is_wide=self.is_wide)

    def lay_row(self, cells: Sequence[str], *, has_cursor: bool, is_marked: bool) -> str:
        """The cells of a row in their columns, and its marks before them."""
        width = self.list.size.width
        if width != self._laid_out_for:  # it may be drawn in its new size before it is told of that
            self._laid_out = self._lay_out(width)
        return self._laid_out.row(cells, width, has_cursor=has_cursor, is_marked=is_marked)

    def tell_place(self) -> None:
        """Titles, and which row of how many the cursor is on where not all of them are seen."""
        place = row_layout.place_of(self.list.cursor, len(self.list.source), self.list.size.height)
        self.head.show(*self._laid_out.head(self.list.size.width, place, self.filter))


class AskingTable(RowTable):
    """Rows that whoever shows them filters and sorts: it hears when a person asks for others."""

    class Asked(Message):
        """There is another filter, or another order."""

        def __init__(self, table: AskingTable) -> None:
            super().__init__()
            self.table = table

    filter_help = ""
    """What may be typed, said while a filter is asked for."""

    async def ask_filter(self) -> None:
        """As any list does, and says what may be typed."""
        cast("ConsoleApp", self.app).tell(self.filter_help)
        await super().ask_filter()

    def _show(self, key: str = "") -> None:
        self.tell_place()
        self.post_message(self.Asked(self))


def _differing(was: RowSource, cursor_was: int, now: RowSource, cursor: int) -> Sequence[int] | None:
    """Which rows are to be drawn; None: all of them."""
    if not (isinstance(was, FixedRows) and isinstance(now, FixedRows) and len(was) == len(now) > 0):
        return None
    moved = {cursor_was, cursor} if cursor_was != cursor else set()
    return [
        index
        for index, (one, other) in enumerate(zip(was.rows, now.rows, strict=True))
        if one != other or index in moved
    ]


def _order(row: Row, column: int) -> tuple[bool, object]:
    value: object = row.order[column] if column < len(row.order) else row.cells[column].casefold()
    return (value is None, value if value is not None else 0)
