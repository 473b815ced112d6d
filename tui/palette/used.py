"""Which entries of the palette were used last, kept in the home: ids alone, nothing that was typed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

FILE: Final = "console.used"
_MOST: Final = 40
_MOST_BYTES: Final = 8192


def read(home: Path) -> Sequence[str]:
    """The newest first; nothing where there is no such file, or none that can be read."""
    try:
        with (home / FILE).open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ()
    return list(dict.fromkeys(text.split("\n")[:_MOST]))


def note(home: Path, key: str) -> None:
    """Puts one first. A home that cannot be written to keeps none: it is a convenience."""
    kept = [key, *(each for each in read(home) if each not in (key, ""))][:_MOST]
    beside = home / f"{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        beside.write_text("".join(f"{each}\n" for each in kept), encoding="utf-8")
        beside.replace(home / FILE)
