"""What colours become on their way: the terminal's own where the theme has such, and none at all with NO_COLOR, whatever the theme says."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual.color import Color
from textual.filter import ANSIToTruecolor, LineFilter, Monochrome


class Colourless(LineFilter):
    """Leaves bold, dim, reverse and underline. Textual's own makes greys, and of the terminal's own two colours black on black."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Textual asks for it."""
        del background
        return [
            Segment(text, style.without_color if style is not None else None, control)
            for text, style, control in segments
        ]


def filters_of(filters: Sequence[LineFilter], *, is_native: bool) -> list[LineFilter]:
    """The filters of an app whose theme was known before it drew: `is_native` says whether the theme has the terminal's own colours, which
    Textual else learns when a theme changes. With ours in place of that which makes greys."""
    for each in filters:
        if isinstance(each, ANSIToTruecolor):
            each.enabled = not is_native
    return [Colourless() if isinstance(each, Monochrome) else each for each in filters]
