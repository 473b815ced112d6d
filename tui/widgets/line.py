"""One line of text in few styles, drawn again only where it changed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.text import parts_in


class Line(Widget):
    """A line: what is on the left is shortened where the terminal is narrow, what is on the right is not. Both must be printable."""

    COMPONENT_CLASSES = {"line--strong", "line--good", "line--warning", "line--risk", "line--dim"}  # noqa: RUF012 -- Textual's own way
    DEFAULT_CSS = """
    Line { height: 1; width: 1fr; }
    Line .line--strong { text-style: bold; }
    Line .line--good { color: $text-success; }
    Line .line--warning { color: $text-warning; }
    Line .line--risk { color: $text-error; }
    Line .line--dim { text-style: dim; }
    """

    def __init__(self, left: str = "", right: str = "", *, tone: str = "", id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._left: Sequence[tuple[str, str]] = [(left, tone)]
        self._right = right

    def show(self, left: str | Sequence[tuple[str, str]], right: str = "", *, tone: str = "") -> None:
        """Shows other text: a whole line in one tone, or parts with a tone each (strong, good, warning, risk, dim, or none)."""
        parts = [(left, tone)] if isinstance(left, str) else list(left)
        if (parts, right) == (list(self._left), self._right):
            return
        before = _cells(self._parts(self.size.width))
        self._left, self._right = parts, right
        now = _cells(self._parts(self.size.width))
        places = [place for place, (one, other) in enumerate(zip(before, now, strict=False)) if one != other]
        if len(before) != len(now) or not all(letter.isascii() for letter, _ in (*before, *now)):
            self.refresh()  # letters that are more than one column wide
        elif places:
            self.refresh(Region(places[0], 0, places[-1] + 1 - places[0], 1))

    @property
    def shown(self) -> str:
        """What stands there, unshortened."""
        return "".join(text for text, _ in self._left) + (f"  {self._right}" if self._right else "")

    def _parts(self, width: int) -> list[tuple[str, str]]:
        """Texts with their tones, in exactly so many columns."""
        return parts_in(self._left, self._right, width)

    def render_line(self, y: int) -> Strip:
        """Textual asks for it."""
        width, plain = self.size.width, self.rich_style
        segments = [
            Segment(
                text,
                plain + self.get_component_rich_style(f"line--{tone}", partial=True) if tone else plain,
            )
            for text, tone in self._parts(width)
        ]
        return Strip(segments).adjust_cell_length(width, plain)


def _cells(parts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(letter, tone) for text, tone in parts for letter in text]
