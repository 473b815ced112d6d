"""Typed words against a text: whole words first, then initials, then letters in their order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")
_SPREAD: Final = 4
"""Letters in their order count where they stand within so many times their number: further apart they are chance."""


class How(IntEnum):
    """How a text matches, the better the larger."""

    NOT = 0
    LETTERS = 1
    """The letters are there, in their order, from the beginning of a word on."""
    WITHIN = 2
    """It stands within a word."""
    INITIALS = 3
    WORDS = 4
    """Each begins a word."""
    WHOLE = 5
    """It is what was typed."""


@dataclass(frozen=True, slots=True)
class Text:
    """What is looked through, taken apart once."""

    whole: str
    words: tuple[str, ...]
    initials: str


def text(said: str) -> Text:
    """Of a title, a verb, a name."""
    folded = said.casefold()
    words = tuple(_WORD.findall(folded))
    return Text(folded, words, "".join(each[0] for each in words))


def how(word: str, where: Text) -> How:
    """How one typed word, folded, matches."""
    if word == where.whole:
        return How.WHOLE
    if where.whole.startswith(word) or any(each.startswith(word) for each in where.words):
        return How.WORDS
    if len(word) > 1 and word in where.initials:
        return How.INITIALS
    if word in where.whole:
        return How.WITHIN
    return How.LETTERS if len(word) > 1 and _are_in_order(word, where.whole) else How.NOT


def _are_in_order(letters: str, whole: str) -> bool:
    most = _SPREAD * len(letters)
    for found in re.finditer(rf"(?<![^\W_]){re.escape(letters[0])}", whole):
        place = found.start()
        for letter in letters[1:]:
            place = whole.find(letter, place + 1)
            if place < 0:
                return False
        if place - found.start() < most:
            return True
    return False


def best(typed: str, where: tuple[Text, ...], about: tuple[Text, ...] = ()) -> How:
    """How a line matches several texts of one thing: each of its words must match one of them, or one of those about it, which are never the
    whole of it. Nothing typed matches all.
    """
    folded = typed.casefold().strip()
    if any(folded == each.whole for each in where):
        return How.WHOLE
    worst = How.WORDS
    for word in folded.split():
        worst = min(worst, max(how(word, each) for each in (*where, *about)))
        if worst is How.NOT:
            break
    return worst
