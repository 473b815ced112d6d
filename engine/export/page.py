"""Pages of paper: text that fits into its place, whatever it says, and the few shapes that a report needs.

Lengths are points (1/72 inch) from the upper left corner.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from engine.export.fonts import MoreFonts, Search, on_this_machine

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

    def __init__(
        self, title: str, search: Search = on_this_machine, paper: tuple[float, float] = (WIDTH, HEIGHT)
    ) -> None:
        """`search` finds fonts for letters that the page's own ones lack; `paper` is width and height."""
        from reportlab.pdfbase import pdfmetrics
        from reportlab.pdfbase.ttfonts import TTFont
        from reportlab.pdfgen.canvas import Canvas

        for name, file in _FILES.items():
            if name not in pdfmetrics.getRegisteredFontNames():
                pdfmetrics.registerFont(TTFont(name, file))
        self._glyphs = frozenset(pdfmetrics.getFont(PLAIN).face.charToGlyph)
        self._more = MoreFonts(search)
        self._bytes = io.BytesIO()
        self._height = paper[1]
        # invariant: the same page is the same bytes, whenever it is made.
        self._canvas: Any = Canvas(self._bytes, pagesize=paper, invariant=1)
        self._canvas.setTitle(self._visible(title))
        self._canvas.setAuthor("holdfast")

    def next_page(self) -> None:
        """Ends this page; what is drawn from now on stands on the next."""
        self._canvas.showPage()

    def finish(self) -> bytes:
        """The page, and those before it, as a PDF file. Nothing can be drawn afterwards."""
        self._canvas.showPage()
        self._canvas.save()
        return self._bytes.getvalue()

    def text(self, x: float, y: float, words: str, style: Style, width: float = WIDTH) -> None:
        """One line from `x` on whose foot is at `y`, cut with `…` where it is wider than `width`."""
        self._draw(x, y, self.fitted(words, style, width), style)

    def text_to(self, x: float, y: float, words: str, style: Style) -> None:
        """One short line that ends at `x`."""
        shown = self._visible(words)
        self._draw(x - self.width_of(shown, style), y, shown, style)

    def _draw(self, x: float, y: float, shown: str, style: Style) -> None:
        text = self._canvas.beginText(x, self._height - y)
        text.setFillColor(style.colour)
        for font, run in self._runs(shown, style):
            text.setFont(font, style.size)
            text.textOut(run)
        text.textLine()  # for readers that take text off the page
        self._canvas.drawText(text)

    def _visible(self, words: str) -> str:
        if words.isascii() and words.isprintable():
            return words
        return visible(words, lambda each: ord(each) in self._glyphs or bool(self._more.font_of(each)))

    def _runs(self, shown: str, style: Style) -> list[tuple[str, str]]:
        """The text cut where another font is needed, each piece with the name of its own. A blank goes with what stands before it."""
        if shown.isascii():
            return [(style.font, shown)]
        runs: list[tuple[str, str]] = []
        for each in shown:
            font = style.font if ord(each) in self._glyphs else self._more.font_of(each)
            if runs and (font == runs[-1][0] or each == " "):
                runs[-1] = (runs[-1][0], runs[-1][1] + each)
            else:
                runs.append((font, each))
        return runs

    def fitted(self, words: str, style: Style, width: float) -> str:
        """The text as it is shown on one line of that width."""
        shown = self._visible(words)
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
        rest = self._visible(" ".join(words.split())).split(" ")
        while rest and len(lines) < most - 1:
            line = rest.pop(0)
            while rest and self.width_of(f"{line} {rest[0]}", style) <= width:
                line += f" {rest.pop(0)}"
            lines.append(line)
        return [*lines, " ".join(rest)] if rest else lines

    def broken(self, words: str, style: Style, width: float) -> list[str]:
        """The whole text in lines of that width, broken between words where it can be, and within one that is too long."""
        lines, line = [], ""
        for word in self._visible(" ".join(words.split())).split(" "):
            joined = f"{line} {word}" if line else word
            if self.width_of(joined, style) <= width:
                line = joined
                continue
            if line:
                lines.append(line)
            *full, line = self._chopped(word, style, width)
            lines += full
        return [*lines, line]

    def _chopped(self, word: str, style: Style, width: float) -> list[str]:
        """A word in pieces of that width, each of one letter at least."""
        pieces = []
        while len(word) > 1 and self.width_of(word, style) > width:
            most = next(
                size
                for size in range(len(word) - 1, 0, -1)
                if size == 1 or self.width_of(word[:size], style) <= width
            )
            pieces.append(word[:most])
            word = word[most:]
        return [*pieces, word]

    def width_of(self, shown: str, style: Style) -> float:
        """In points."""
        if shown.isascii():
            return float(self._canvas.stringWidth(shown, style.font, style.size))
        return sum(
            float(self._canvas.stringWidth(run, font, style.size)) for font, run in self._runs(shown, style)
        )

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle with soft corners; `y` is its upper edge."""
        self._canvas.setFillColor(colour)
        self._canvas.roundRect(x, self._height - y - height, width, height, 3, stroke=0, fill=1)

    def rule(self, y: float, *, x: float = MARGIN, width: float = WIDTH - 2 * MARGIN) -> None:
        """A thin line across."""
        self._canvas.setStrokeColor(LINE)
        self._canvas.setLineWidth(0.6)
        self._canvas.line(x, self._height - y, x + width, self._height - y)


def visible(words: str, has_shape: Callable[[str], bool]) -> str:
    r"""The text with `\u4e2d` in place of each character that no font has or that has no shape: nothing vanishes, nothing turns the line."""
    return "".join(each if each.isprintable() and has_shape(each) else _code(ord(each)) for each in words)


def _code(number: int) -> str:
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is no UTF-8, as os.fsdecode has it
        return f"\\x{number - 0xDC00:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
