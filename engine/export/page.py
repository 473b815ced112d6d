"""One page of paper: text that fits into its place, whatever it says, and the few shapes that a report needs.

Lengths are points (1/72 inch) from the upper left corner.
"""

from __future__ import annotations

import io
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

WIDTH, HEIGHT, MARGIN = 595.0, 842.0, 46.0
"""A4, in points."""
PLAIN, BOLD, FIXED = "Vera", "Vera-Bold", "Courier"
_FILES: Final = {PLAIN: "Vera.ttf", BOLD: "VeraBd.ttf"}
INK, GREY, PALE, LINE = "#1a2230", "#667085", "#f4f6f8", "#d5dae1"


@dataclass(frozen=True, slots=True)
class Style:
    """How letters look."""

    size: float
    font: str = PLAIN
    colour: str = INK


class Page:
    """A page that is being drawn. Made by `open`, and made into bytes by `finish`."""

    def __init__(self, title: str) -> None:
        from reportlab.pdfbase import pdfmetrics
        from reportlab.pdfbase.ttfonts import TTFont
        from reportlab.pdfgen.canvas import Canvas

        for name, file in _FILES.items():
            if name not in pdfmetrics.getRegisteredFontNames():
                pdfmetrics.registerFont(TTFont(name, file))
        self._glyphs = frozenset(pdfmetrics.getFont(PLAIN).face.charToGlyph)
        self._bytes = io.BytesIO()
        # invariant: the same page is the same bytes, whenever it is made.
        self._canvas: Any = Canvas(self._bytes, pagesize=(WIDTH, HEIGHT), invariant=1)
        self._canvas.setTitle(visible(title, self._glyphs))
        self._canvas.setAuthor("holdfast")

    def finish(self) -> bytes:
        """The page as a PDF file. Nothing can be drawn afterwards."""
        self._canvas.showPage()
        self._canvas.save()
        return self._bytes.getvalue()

    def text(self, x: float, y: float, words: str, style: Style, width: float = WIDTH) -> None:
        """One line from `x` on whose foot is at `y`, cut with `…` where it is wider than `width`."""
        self._use(style)
        self._canvas.drawString(x, HEIGHT - y, self.fitted(words, style, width))

    def text_to(self, x: float, y: float, words: str, style: Style) -> None:
        """One short line that ends at `x`."""
        self._use(style)
        self._canvas.drawRightString(x, HEIGHT - y, visible(words, self._glyphs))

    def _use(self, style: Style) -> None:
        self._canvas.setFont(style.font, style.size)
        self._canvas.setFillColor(style.colour)

    def fitted(self, words: str, style: Style, width: float) -> str:
        """The text as it is shown on one line of that width."""
        shown = visible(words, self._glyphs)
        if self.width_of(shown, style) <= width:
            return shown
        low, high = 0, len(shown)  # the most letters that fit
        while low < high:
            middle = (low + high + 1) // 2
            if self.width_of(shown[:middle] + "…", style) <= width:
                low = middle
            else:
                high = middle - 1
        return shown[:low].rstrip() + "…"

    def wrapped(self, words: str, style: Style, *, width: float, most: int) -> list[str]:
        """The text broken between words into at most so many lines; what is left over is cut with `…`."""
        lines: list[str] = []
        rest = visible(" ".join(words.split()), self._glyphs).split(" ")
        while rest and len(lines) < most - 1:
            line = rest.pop(0)
            while rest and self.width_of(f"{line} {rest[0]}", style) <= width:
                line += f" {rest.pop(0)}"
            lines.append(line)
        return [*lines, " ".join(rest)] if rest else lines

    def width_of(self, shown: str, style: Style) -> float:
        """In points."""
        return float(self._canvas.stringWidth(shown, style.font, style.size))

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle with soft corners; `y` is its upper edge."""
        self._canvas.setFillColor(colour)
        self._canvas.roundRect(x, HEIGHT - y - height, width, height, 3, stroke=0, fill=1)

    def rule(self, y: float, *, x: float = MARGIN, width: float = WIDTH - 2 * MARGIN) -> None:
        """A thin line across."""
        self._canvas.setStrokeColor(LINE)
        self._canvas.setLineWidth(0.6)
        self._canvas.line(x, HEIGHT - y, x + width, HEIGHT - y)


def visible(words: str, glyphs: AbstractSet[int]) -> str:
    r"""The text with `\u4e2d` in place of each character that the font lacks or that has no shape: nothing vanishes, nothing turns the line."""
    return "".join(each if ord(each) in glyphs and each.isprintable() else _code(ord(each)) for each in words)


def _code(number: int) -> str:
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is no UTF-8, as os.fsdecode has it
        return f"\\x{number - 0xDC00:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
