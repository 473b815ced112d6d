"""Keep rules as a person types them in one line: `7d 4w 12m`, `last 5`, `gfs`, `within 30d`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from engine.errors import UsageError
from engine.model.definitions import OptionValue
from engine.model.names import nearest
from engine.model.options import Option
from engine.model.schedule_options import KEEP

EXAMPLES: Final = "7d 4w 12m, last 5, gfs, within 30d"
_PERIODS: Final = {"h": "hourly", "d": "daily", "w": "weekly", "m": "monthly", "y": "yearly"}
_COUNT: Final = re.compile(r"(-1|\d{1,9})([hdwmy])", re.ASCII)
_OPTIONS: Final[Mapping[str, Option]] = {
    each.name.removeprefix("keep_").replace("_", "-"): each for each in KEEP
}
"""By their flags without `--keep-`."""


def parse(text: str) -> dict[str, OptionValue]:
    """The options of `forget` that a line means: counts of hours, days, weeks, months and years, presets by name, and every flag of the command
    line with its value, with or without `--keep-`. Raises: UsageError.
    """
    found: dict[str, OptionValue] = {}
    words = text.replace("=", " ").replace(",", " ").split()
    while words:
        word = words.pop(0)
        count = _COUNT.fullmatch(word)
        if count is not None:
            option, value = _OPTIONS[_PERIODS[count[2]]], count[1]
        elif word.isascii() and word.isdecimal() and words[:1] == ["last"]:
            words.pop(0)
            option, value = _OPTIONS["last"], word
        else:
            option, value = _named(word, words)
        _put(found, option, value)
    return found


def _named(word: str, words: list[str]) -> tuple[Option, str]:
    """A flag with the word behind it, which is taken; or a preset."""
    name = word.removeprefix("--").removeprefix("keep-")
    option, near = _OPTIONS.get(name), nearest(name, _OPTIONS)
    if option is None and word.isalpha() and near is None:
        return _OPTIONS["preset"], word
    if option is None:
        raise UsageError(
            f"there is no keep rule {word!r}", hint=f"did you mean {near}?" if near else EXAMPLES
        )
    if not words:
        raise UsageError(f"{word} needs a value behind it", hint=EXAMPLES)
    return option, words.pop(0)


def _put(found: dict[str, OptionValue], option: Option, text: str) -> None:
    value = option.read(text)
    before = found.get(option.name)
    if isinstance(before, tuple) and isinstance(value, tuple):
        value = (*before, *value)
    elif before is not None:
        raise UsageError(f"{option.name.removeprefix('keep_')} is said twice", hint=EXAMPLES)
    found[option.name] = value
