"""What a key of a document may hold: read with one clear sentence where it is wrong, written again, and described for editors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.fleet.document import Document, Path, dotted
from engine.model.definitions import OptionValue

_SIZES: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_SIZE: Final = re.compile(r"([0-9]+)([KMGT]?)", re.ASCII | re.IGNORECASE)
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_REFERENCE: Final = re.compile(r"(env|file|command|vault|systemd):.+", re.DOTALL)
_REFERENCES: Final = "env:NAME, file:PATH, command:CMD, vault:NAME or systemd:NAME"


@dataclass(frozen=True, slots=True)
class Field:
    """A key of a table."""

    name: str
    type: str = "text"
    """A name of TYPES."""
    help: str = ""
    kept_as: str = ""
    """What the catalog calls it, where that is another name."""
    choices: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """What the catalog calls it."""
        return self.kept_as or self.name


@dataclass(frozen=True, slots=True)
class _Type:
    expectation: str
    read: Callable[[object], OptionValue]
    """Raises: ValueError."""
    schema: Mapping[str, Any]


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def _texts(value: object) -> OptionValue:
    if isinstance(value, list):
        return tuple(_text(each) for each in value)
    return _text(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _switch(value: object) -> OptionValue:
    return value if value in ("yes", "no") and isinstance(value, str) else _flag(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError
    return value


def _size(value: object) -> int:
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        value = int(found[1]) << _SIZES[found[2].upper()]
    return _count(value)


def _hours(value: object) -> str:
    if not isinstance(value, str) or not _HOURS.fullmatch(value):
        raise ValueError
    return value


def _reference(value: object) -> str:
    if not isinstance(value, str) or not _REFERENCE.fullmatch(value):
        raise ValueError
    return value


_A_TEXT: Final = {"type": "string"}
_A_LIST: Final = {"type": "array", "items": _A_TEXT}
TYPES: Final[Mapping[str, _Type]] = {
    "text": _Type("is a text", _text, _A_TEXT),
    "texts": _Type("is a text, or a list of texts", _texts, {"anyOf": [_A_TEXT, _A_LIST]}),
    "flag": _Type("is true or false", _flag, {"type": "boolean"}),
    "switch": _Type("is true or false", _switch, {"anyOf": [{"type": "boolean"}, {"enum": ["yes", "no"]}]}),
    "count": _Type("is a whole number of at least 1", _count, {"type": "integer", "minimum": 1}),
    "size": _Type(
        'is a size, as "500G" or in bytes',
        _size,
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]+[KMGTkmgt]?$"}]},
    ),
    "hours": _Type('are hours of the day: "08:00-18:00"', _hours, {**_A_TEXT, "pattern": f"^{_HOURS.pattern}$"}),
    "reference": _Type(
        f"says where the secret is kept, never what it is: {_REFERENCES}",
        _reference,
        {**_A_TEXT, "pattern": "^(env|file|command|vault|systemd):."},
    ),
}  # fmt: skip


def read(document: Document, path: Path, value: object, field: Field) -> OptionValue:
    """The value as the catalog keeps it. Raises: ConfigurationError; the value is not repeated, it may be a secret."""
    kind = TYPES[field.type]
    try:
        found = kind.read(value)
    except ValueError as error:
        raise document.mistake(path, f"{dotted(path)} {kind.expectation}") from error
    if field.choices and found not in field.choices:
        raise document.mistake(path, f"{dotted(path)} is one of {', '.join(field.choices)}")
    return found


def written(value: OptionValue, field: Field) -> object:
    """The value as a document has it."""
    if field.type == "size" and isinstance(value, int):
        for unit, shift in sorted(_SIZES.items(), key=lambda each: -each[1]):
            if unit and value % (1 << shift) == 0:
                return f"{value >> shift}{unit}"
    return value if isinstance(value, str | int) else list(value or ())


def schema(field: Field) -> dict[str, Any]:
    """The key in JSON Schema."""
    found: dict[str, Any] = dict(TYPES[field.type].schema)
    if field.choices:
        found = {"enum": list(field.choices)}
    return {**found, **({"description": field.help} if field.help else {})}
