"""A QR code that a terminal can show: two modules a letter, one above the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from engine.errors import UsageError

LONGEST_BYTES: Final = 2953
"""Of one code at the lowest level of correction (ISO/IEC 18004, table 7)."""
_QUIET: Final = 2
"""Light modules around: the standard asks for four, readers are content with less, and 80 columns are few."""
_BLOCKS: Final = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}
"""By whether the upper and the lower module are light: a terminal's letters are light on dark."""


class _Utf8:
    """Says that what follows is UTF-8 (extended channel 26), which readers otherwise guess. Quacks as one of reportlab's segments."""

    bitlength = 8

    def getLengthBits(self, _version: int) -> int:  # noqa: N802 -- reportlab's name
        """It has no length."""
        return 0

    def write(self, buffer: Any, _version: int) -> None:
        """Puts the mode and the channel's number."""
        buffer.put(0x7, 4)
        buffer.put(26, 8)


def modules(text: str) -> Sequence[Sequence[bool]]:
    """The code of a text, row by row, with its quiet zone; true is dark. Raises: UsageError for what is too long for one."""
    # Costs half a second to load.
    from reportlab.graphics.barcode import qrencoder

    content = text.encode()
    if len(content) > LONGEST_BYTES:
        raise UsageError(f"{len(content)} bytes do not fit into one QR code, which holds {LONGEST_BYTES}")
    code = qrencoder.QRCode(None, qrencoder.QRErrorCorrectLevel.L)
    if not content.isascii():
        code.dataList.append(_Utf8())
    code.addData(qrencoder.QR8bitByte(content))
    code.make()
    size = code.getModuleCount()
    side = range(-_QUIET, size + _QUIET)
    return [
        [0 <= row < size and 0 <= column < size and bool(code.isDark(row, column)) for column in side]
        for row in side
    ]


def lines(text: str) -> list[str]:
    """The code as lines of blocks, to be shown in light letters on dark ground. Raises: UsageError."""
    rows = [*modules(text)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    return [
        "".join(_BLOCKS[not upper, not lower] for upper, lower in zip(above, below, strict=True))
        for above, below in zip(rows[::2], rows[1::2], strict=True)
    ]
