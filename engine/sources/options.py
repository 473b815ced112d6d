"""The options of a source's definition, read with their types and one clear sentence where they are wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence

from engine.errors import ConfigurationError
from engine.model.definitions import OptionValue, Source


class Reader:
    """Reads the options of one definition. Every method raises ConfigurationError where the value is of another kind."""

    def __init__(self, definition: Source) -> None:
        self._definition = definition
        self._known: set[str] = set()

    def text(self, name: str, default: str | None = None) -> str:
        """A text that must be given, and not be empty, where there is no default."""
        value = self._value(name)
        if value is None or value == "":
            if default is not None:
                return default
            raise self._missing(name)
        if not isinstance(value, str) or "\0" in value:
            raise self._error(name, "must be a text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, maybe empty; one text alone is a list of one."""
        value = self._value(name)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
            raise self._error(name, "must be a list of texts")
        return tuple(value)

    def flag(self, name: str) -> bool:
        """True or false; false where it is not given."""
        value = self._value(name)
        if value is not None and not isinstance(value, bool):
            raise self._error(name, "must be true or false")
        return bool(value)

    def number(self, name: str) -> int | None:
        """A whole number from 0 on, also one that is written as a text; None where it is not given."""
        value = self._value(name)
        if value is None:
            return None
        if isinstance(value, str) and value.isascii() and value.isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._error(name, "must be a whole number")
        return value

    def require_no_more(self) -> None:
        """Raises where an option is given that nobody asked for."""
        for name in sorted(self._definition.options):
            if name not in self._known and self._definition.options[name] is not None:
                raise self._error(name, f"is not known for kind {self._definition.kind}")

    def _value(self, name: str) -> OptionValue:
        self._known.add(name)
        return self._definition.options.get(name)

    def _missing(self, name: str) -> ConfigurationError:
        flag = "--" + name.replace("_", "-")
        return ConfigurationError(
            f"option {flag} of source {self._definition.name} is missing",
            hint=f"say {flag}; `holdfast source add --help` explains it",
        )

    def _error(self, name: str, what: str) -> ConfigurationError:
        flag = "--" + name.replace("_", "-")
        return ConfigurationError(f"option {flag} of source {self._definition.name} {what}")


def require_filename(given: Reader) -> str:
    """The option `filename`: the name under which an item is kept, a bare one. Raises: ConfigurationError."""
    name = given.text("filename")
    if "/" in name or name in {".", ".."} or len(os.fsencode(name)) > 255 or not name.isprintable():
        raise ConfigurationError(f"option --filename must be a bare and printable file name, not {name!a}")
    return name
