"""Fonts of this machine, for letters that the page's own ones lack: what fontconfig names, or what lies where Debian puts free ones.

Only letters that stand by themselves from left to right are asked for: what must be joined, stacked or turned round (Arabic, Hebrew, Thai, the scripts
of India) would be drawn as something else than it is, and is shown as codes. Fonts with PostScript outlines (most of Noto's for Chinese,
Japanese and Korean) cannot be embedded by reportlab, and fonts that are not embedded look different on each machine: both are passed over.
"""

from __future__ import annotations

import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

Search = Callable[[str], Iterator[Path]]
"""Files of fonts that may have that character, the best first."""

_PLACES: Final = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/google-droid-sans-fonts/DroidSansFallbackFull.ttf",
)
"""Debian, Fedora, Arch."""
_MOST_SEARCHES: Final = 8
_MOST_FILES: Final = 8
"""Of those that a search names."""
_TIMEOUT_S: Final = 5.0
_TURNED: Final = frozenset(("R", "AL", "AN"))
_JOINED: Final = (range(0x0900, 0x1000), range(0x1780, 0x1800), range(0x1A00, 0x1C00), range(0xA800, 0xAC00))
"""Scripts whose letters take other shapes beside each other."""


def on_this_machine(character: str) -> Iterator[Path]:
    """See `Search`."""
    yield from filter(Path.exists, map(Path, _PLACES))
    program = shutil.which("fc-match")
    if program is None:
        return
    command = [program, "--sort", "--format=%{file}\\n", f"sans:charset={ord(character):x}"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return
    yield from map(Path, done.stdout.decode(errors="surrogateescape").splitlines()[:_MOST_FILES])


def stands_alone(character: str) -> bool:
    """Whether it is drawn as it is, whatever stands beside it."""
    return (
        character.isprintable()
        and unicodedata.bidirectional(character) not in _TURNED
        and not unicodedata.category(character).startswith("M")
        and not any(ord(character) in each for each in _JOINED)
    )


class MoreFonts:
    """Finds and loads them as they are asked for; few searches a page, whatever the names on it."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._searches = 0
        self._loaded: dict[Path, tuple[str, frozenset[int]] | None] = {}
        self._known: dict[str, str] = {}

    def font_of(self, character: str) -> str:
        """The name of a font that has it, by which reportlab knows it; empty where there is none."""
        if character not in self._known:
            self._known[character] = self._found(character) if stands_alone(character) else ""
        return self._known[character]

    def _found(self, character: str) -> str:
        for font in self._loaded.values():
            if font is not None and ord(character) in font[1]:
                return font[0]
        if self._searches >= _MOST_SEARCHES:
            return ""
        self._searches += 1
        for path in self._search(character):
            if path not in self._loaded:
                self._loaded[path] = _load(path)
            font = self._loaded[path]
            if font is not None and ord(character) in font[1]:
                return font[0]
        return ""


def _load(path: Path) -> tuple[str, frozenset[int]] | None:
    """The font's name and what it holds; None for one that cannot be embedded."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFError, TTFont

    name = f"holdfast {path}"
    try:
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, str(path)))
        face: Any = pdfmetrics.getFont(name).face
    except (TTFError, OSError, ValueError, KeyError):
        return None
    return name, frozenset(face.charToGlyph)
