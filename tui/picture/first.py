"""Whether there is a first picture, and what it shows."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from engine.errors import HoldfastError
from tui import frame, keys
from tui.panes.source_look import FirstLook, look_first
from tui.picture.lines import Setting, picture_lines
from tui.picture.standing import Standing
from tui.picture.tones import Tones, read_tones
from tui.text import in_ascii

if TYPE_CHECKING:
    from engine.service import Engine
    from tui.preferences import Preferences

_LONGEST_S: Final = 5.0
"""What takes longer is read when the frame of the console stands: another program has the catalog. Thousands of sources take a second."""
_LEAST: Final = (20, 6)
"""Columns and rows of a terminal that has room for it."""


async def look(engine: Engine) -> FirstLook | None:
    """What is to be seen; None where there is no source, or where it cannot be read at once: the console says why."""
    try:
        async with asyncio.timeout(_LONGEST_S):
            found = await look_first(engine)
    except (HoldfastError, TimeoutError):
        return None
    return found if found.sources.status.sources else None


@contextmanager
def standing(
    engine: Engine,
    found: FirstLook,
    preferences: Preferences,
    environment: Mapping[str, str],
    *,
    is_read_only: bool,
) -> Iterator[Standing | None]:
    """The picture of what was found stands in this process's terminal; None where it could not be as the console is then."""
    columns, rows = shutil.get_terminal_size()  # as Textual asks
    tones = read_tones(engine.home.directory, preferences.theme, environment)
    if tones is None or columns < _LEAST[0] or rows < _LEAST[1]:
        yield None
        return
    keys.follow(preferences.key_of)
    setting = Setting(frame.Parts(columns, rows), preferences, engine.now(), is_read_only)
    picture = drawn(found, setting, tones)
    with Standing(in_ascii(picture) if preferences.is_ascii else picture, 0, 2) as stands:
        yield stands


def drawn(found: FirstLook, setting: Setting, tones: Tones) -> str:
    """The picture as a terminal takes it, whatever stands there."""
    return "".join(
        f"\x1b[{number};1H"
        + "".join(f"{''.join(tones[each] for each in tone.split(' '))}{text}" for text, tone in line)
        for number, line in enumerate(picture_lines(found, setting), 1)
    )
