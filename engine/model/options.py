"""What an option of a definition is: how it is typed, on the command line and in a field of the console, and what the catalog keeps of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.errors import UsageError
from engine.model import typed
from engine.model.definitions import OptionValue

TYPES: Final[Mapping[str, Callable[[str], Any]]] = {
    "text": str,
    "count": typed.count,
    "number": typed.number,
    "kept": typed.kept,
    "size": typed.size,
    "hours": typed.hours,
    "span": typed.seconds,
    "whole span": typed.whole_seconds,
    "duration": typed.duration,
    "days": typed.whole_days,
    "subset": typed.subset,
    "objective": typed.objective,
}
"""What reads a value of that type. Each raises UsageError."""
_SPANS: Final = ("span", "whole span", "duration")


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it is typed. A secret is kept as a REF."""

    name: str
    """With `_` for `-`; as the catalog has it, where it has no other."""
    help: str
    metavar: str | None = None
    type: str = "text"
    """A name of TYPES."""
    choices: tuple[str, ...] = ()
    is_secret: bool = False
    is_flag: bool = False
    is_many: bool = False
    """Whether it may be given several times."""
    is_list: bool = False
    """Whether one flag takes several values."""
    is_file: bool = False
    """Whether it names a file or folder of this machine."""
    typed_as: str = ""
    """Its flag without the dashes before it, where that is not its name."""
    suffix: str = ""
    """Of the name under which the catalog keeps it."""

    @property
    def flag(self) -> str:
        """As it is typed."""
        return "--" + (self.typed_as or self.name.replace("_", "-"))

    @property
    def kept_as(self) -> str:
        """What the catalog calls it."""
        return self.name + self.suffix

    @property
    def is_several(self) -> bool:
        """Whether its value is a list."""
        return self.is_many or self.is_list

    def read(self, text: str) -> OptionValue:
        """What the catalog keeps of a text that was typed into a field; None where it is empty: lists are words as a shell takes them.

        Raises: UsageError, which names the option.
        """
        if not text.strip():
            return None
        if self.is_flag:
            return text == "yes" or None
        try:
            if self.is_several:
                return tuple(TYPES[self.type](each) for each in split(text))
            if self.choices and text not in self.choices:
                raise UsageError(f"{text!r} is none of {', '.join(self.choices)}")
            found: OptionValue = TYPES[self.type](text)
        except UsageError as error:
            raise UsageError(f"{self.flag}: {error.message}", hint=error.hint) from error
        return found

    def shown(self, value: OptionValue) -> str:
        """A value of the catalog as a field shows it, such that `read` gives it back."""
        if value is None or (value is False and "no" not in self.choices):
            return ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if self.is_several:
            return shlex.join(self.words(value))
        return self.words(value)[0]

    def words(self, value: OptionValue) -> list[str]:
        """The values as they are typed behind the flag."""
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        return [_word(each, self.type) for each in values]


def split(text: str) -> list[str]:
    """Words as a shell takes them. Raises: UsageError for a quote without its other half."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{text!r} cannot be read: {str(error).lower()}") from error


def _word(value: object, kind: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if kind == "kept" and value == -1:
            return "unlimited"
        if kind in _SPANS:
            return typed.span_word(value)
        if kind == "size":
            return typed.size_word(int(value))
        return f"{value:g}" if isinstance(value, float) else str(value)
    return str(value)


def by_name(options: Sequence[Option]) -> Mapping[str, Option]:
    """The options by what the catalog calls them."""
    return {each.kept_as: each for each in options}
