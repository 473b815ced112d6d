"""The options of a host's definition, read with their types and a clear sentence where they are wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.errors import ConfigurationError
from engine.model.definitions import Host, OptionValue


class Reader:
    """Reads the options of one definition. Every method raises ConfigurationError where the value is of another kind."""

    def __init__(self, definition: Host) -> None:
        self._name = definition.name
        self._options: Mapping[str, OptionValue] = definition.options

    def __contains__(self, name: str) -> bool:
        return self._options.get(name) is not None

    def text(self, name: str) -> str | None:
        """A text; None where it is not given or empty."""
        value = self._options.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self._wrong(name, "a text")
        return value

    def texts(self, name: str) -> Sequence[str]:
        """A list of texts; one text alone is a list of one, or of several where commas part it."""
        value = self._options.get(name)
        if value is None:
            return ()
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        if not isinstance(value, Sequence):
            raise self._wrong(name, "a list of texts")
        return tuple(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._options.get(name)
        if value is None:
            return default
        if isinstance(value, str) and value.lower() in {"yes", "true", "on", "no", "false", "off"}:
            return value.lower() in {"yes", "true", "on"}
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def number(self, name: str, default: int) -> int:
        """A whole number of at least 1."""
        value = self._options.get(name)
        if value is None:
            return default
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._wrong(name, "a whole number of at least 1")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of the choices; the first where nothing is given."""
        value = self._options.get(name) or choices[0]
        if value not in choices:
            raise self._wrong(name, f"one of {', '.join(choices)}")
        return str(value)

    def environment(self) -> Mapping[str, str]:
        """The option `environment`: a list of NAME=VALUE, no secrets."""
        pairs = [text.partition("=") for text in self.texts("environment")]
        if any(not equals or not name for name, equals, _ in pairs):
            raise self._wrong("environment", "a list of NAME=VALUE")
        return {name: value for name, _, value in pairs}

    def _wrong(self, name: str, expected: str) -> ConfigurationError:
        return ConfigurationError(f"the option {name} of host {self._name} must be {expected}")
