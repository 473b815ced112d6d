"""NO_COLOR: what is drawn has no colour at all, whatever the theme says."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter, Monochrome


class Colourless(LineFilter):
    """Leaves bold, dim, reverse and underline. Textual's own makes greys, and of the terminal's own two colours black on black."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Textual asks for it."""
        del background
        return [
            Segment(text, style.without_color if style is not None else None, control)
            for text, style, control in segments
        ]


def without_greys(filters: Sequence[LineFilter]) -> list[LineFilter]:
    """The filters of an app, with ours in place of that which makes greys."""
    return [Colourless() if isinstance(each, Monochrome) else each for each in filters]
