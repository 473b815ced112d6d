"""A page of text: moved through, searched, wrapped or cut; drawn line by line."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.model.text import printable
from tui import keys
from tui.actions import Action
from tui.files import write_new
from tui.place import Place, bindings
from tui.text import differing, fit

MOST_LINES = 100_000
"""Of a page: older ones are dropped from its top."""


class Page(ScrollView, Place, can_focus=True, inherit_bindings=False):
    """Lines; what is not printable in them is escaped, and of other lines only those that differ are drawn. With `is_growing` it is as high as its text, up to half the screen."""

    PLACE = "text"
    BINDINGS = bindings("text")
    COMPONENT_CLASSES: ClassVar[set[str]] = {"page--found"}
    DEFAULT_CSS = """
    Page { height: 1fr; scrollbar-size: 0 0; overflow-x: hidden; }
    Page.growing { height: auto; max-height: 50vh; }
    Page .page--found { text-style: reverse; }
    """

    def __init__(self, lines: Sequence[str] = (), *, is_growing: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.set_class(is_growing, "growing")
        self._lines = [printable(each) for each in lines]
        self._laid: list[str] = []
        self._starts: list[int] = []
        self.is_wrapped = True
        self.is_following = False
        """Whether it stays at its end while lines are added."""
        self._sought = ""
        self._found = -1
        self._width = 76

    @property
    def lines(self) -> Sequence[str]:
        """What it holds."""
        return self._lines

    def show(self, lines: Sequence[str]) -> None:
        """Shows other lines."""
        before = self._laid
        self._lines = [printable(each) for each in lines]
        self._found = -1
        self._width = max(10, self.size.width or self._width)
        self._laid, self._starts = [], []
        self._place(self._lines, is_drawn=False)
        if not self.is_on_screen:
            self.refresh()  # what is drawn of it, once it is seen again, is none of what was
            return
        for row in range(self.size.height):
            index = round(self.scroll_y) + row
            was, now = (each[index] if index < len(each) else "" for each in (before, self._laid))
            if was == now:
                continue
            first, last = (0, self.size.width) if self._sought else differing(was, now, self.size.width)
            if last > first:
                self.refresh(Region(first, row, last - first, 1))

    def add(self, lines: Sequence[str]) -> None:
        """Adds lines at the end; only they are laid out."""
        added = [printable(each) for each in lines]
        self._lines += added
        if len(self._lines) > MOST_LINES:
            del self._lines[:-MOST_LINES]
            self._lay_out()
        else:
            self._place(added)

    def _lay_out(self) -> None:
        self._width = max(10, self.size.width or self._width)
        self._laid, self._starts = [], []
        self._place(self._lines, is_drawn=False)
        self.refresh()

    def _place(self, lines: Sequence[str], *, is_drawn: bool = True) -> None:
        """Puts lines below those that are laid out; nothing is drawn that is not seen."""
        before = len(self._laid)
        for line in lines:
            self._starts.append(len(self._laid))
            self._laid += _wrapped(line, self._width) if self.is_wrapped else [line]
        self._measure()
        if self.has_class("growing"):
            self.styles.height = max(1, len(self._laid))
        if self.is_following:
            self.scroll_to(y=max(0, len(self._laid) - self.size.height), animate=False)
        if is_drawn:
            first = round(self.scroll_y)
            for index in range(max(first, before), min(first + self.size.height, len(self._laid))):
                self.refresh_line(index)

    def _measure(self) -> None:
        # Never less high than what is seen of it: of another height all of it is drawn anew.
        self.virtual_size = Size(self._width, max(len(self._laid), self.size.height))

    def on_mount(self) -> None:
        """Lays its text out."""
        self._lay_out()

    def on_resize(self, _event: events.Resize) -> None:
        """Lays its text out anew."""
        self._measure()
        if self.size.width != self._width:
            self._lay_out()

    def render_line(self, y: int) -> Strip:
        """Textual asks for it."""
        index = y + round(self.scroll_y)
        text = self._laid[index] if index < len(self._laid) else ""
        style = self.rich_style
        if self._sought and self._sought in text.casefold():
            style += self.get_component_rich_style("page--found", partial=True)
        return Strip([Segment(fit(text, self.size.width), style)])

    def action_perform(self, action_id: str) -> None:
        """Moves are done at once."""
        page = max(1, self.size.height - 1)
        moves = {
            "text.up": -1, "text.down": 1, "text.page_up": -page, "text.page_down": page,
            "text.first": -len(self._laid), "text.last": len(self._laid),
        }  # fmt: skip
        if action_id in moves:
            self.is_following = action_id == "text.last" and self.is_following
            self.scroll_to(y=round(self.scroll_y) + moves[action_id], animate=False)
        else:
            super().action_perform(action_id)

    def why_off(self, action: Action) -> str:
        """Nothing was searched for yet."""
        if action.action_id in ("text.next", "text.previous") and not self._sought:
            return f"search for something first: {keys.of('text.search')}"
        return ""

    async def do_text_search(self) -> None:
        """Asks for a text, and goes to the first line that holds it."""
        await self.console.ask_line("/", self._sought, self._seek)
        self.focus()

    def _seek(self, text: str) -> None:
        self._sought = text.casefold()
        self._found = round(self.scroll_y) - 1
        self._go(1)

    async def do_text_next(self) -> None:
        """The next line that holds it."""
        self._go(1)

    async def do_text_previous(self) -> None:
        """The line before."""
        self._go(-1)

    def _go(self, step: int) -> None:
        index = self._found + step
        while self._sought and 0 <= index < len(self._laid):
            if self._sought in self._laid[index].casefold():
                self._found = index
                self.scroll_to(y=index, animate=False)
                break
            index += step
        else:
            if self._sought:
                self.console.tell(f"{self._sought}: no further line holds it")
        self.refresh()

    async def do_text_wrap(self) -> None:
        """Wraps, or cuts."""
        self.is_wrapped = not self.is_wrapped
        self._lay_out()

    async def do_text_save(self) -> None:
        """Asks for a file, and writes the text there. Raises: UsageError where that cannot be."""
        name = await self.console.ask_line("write to file: ", "")
        if not name:
            return
        text = "".join(f"{each}\n" for each in self._lines)
        self.console.tell(f"written to {await asyncio.to_thread(write_new, name, text.encode())}")
        self.focus()


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(
        line, width, subsequent_indent="    ", drop_whitespace=True, replace_whitespace=False
    ) or [""]
