"""`holdfast` alone becomes the console in this very process, before a verb is looked for: a second start of Python would cost a tenth of the
first screen's time."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

_OPTIONS: Final = ("--home", "--read-only", "--ascii", "--theme")
"""Of the console in a terminal; all else is for `dispatch` to judge."""
_WITH_VALUE: Final = ("--home", "--theme")
_INTERRUPTED: Final = 130


def is_meant(words: Sequence[str]) -> bool:
    """Whether these words ask for it, and for nothing else; and the terminal is one."""
    place = 0
    while place < len(words):
        name, sign, _ = words[place].partition("=")
        if name not in _OPTIONS:
            return False
        place += 2 if name in _WITH_VALUE and not sign else 1
    return all(os.isatty(descriptor) for descriptor in (0, 1, 2))


def become() -> int | None:
    """Runs it by the words of this process; gives its exit code, or None where it is not installed."""
    from importlib.util import find_spec

    if find_spec("tui") is None or find_spec("textual") is None:
        return None
    try:
        return int(importlib.import_module("tui.__main__").main())
    except KeyboardInterrupt:
        sys.stderr.write("holdfast: interrupted\n")
        return _INTERRUPTED
