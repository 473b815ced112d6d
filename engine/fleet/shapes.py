"""Frozen values of the model as tables: keys are the names of their fields without `is_`, and what is as by default is left out."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeVar, cast

import msgspec

from engine.fleet.document import Document, Path, dotted
from engine.model.names import nearest

T = TypeVar("T")


def shown(name: str) -> str:
    """A field's name in a document."""
    return name.removeprefix("is_")


_KNOWN: Final[dict[Any, Mapping[str, tuple[str, Any]]]] = {}
"""What `_fields` found: it is asked for each definition."""


def _fields(kind: Any) -> Mapping[str, tuple[str, Any]]:
    """By the name in the document: the field's own, and its type."""
    if kind in _KNOWN:
        return _KNOWN[kind]
    hints = typing.get_type_hints(kind)
    _KNOWN[kind] = {shown(each.name): (each.name, hints[each.name]) for each in dataclasses.fields(kind)}
    return _KNOWN[kind]


def keys(kind: type[Any], without: Collection[str] = ()) -> list[str]:
    """All keys of a table of that kind."""
    return [each for each in _fields(kind) if each not in without]


def write(value: Any, without: Collection[str] = ()) -> dict[str, Any]:
    """A value as a table."""
    table: dict[str, Any] = {}
    for each in dataclasses.fields(value):
        found = getattr(value, each.name)
        if shown(each.name) not in without and found != _default(each):
            table[shown(each.name)] = _plain(found)
    return table


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return write(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items() if each is not None}
    return msgspec.to_builtins(value)


def read(
    document: Document, path: Path, table: Mapping[str, Any], kind: type[T], given: Mapping[str, Any]
) -> T:
    """The value of that kind which a table stands for; `given` are fields that stand elsewhere, as a document has their values.

    Raises: ConfigurationError for an unknown key, a wrong type, or a key that is missing.
    """
    renamed = _renamed(document, path, {**table, **given}, kind)
    try:
        return msgspec.convert(renamed, kind)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$")
        inner = (*path, *_inner(place.rstrip("`")))
        raise document.mistake(inner, f"{dotted(inner)}: {said[:1].lower()}{said[1:]}") from error


def _renamed(document: Document, path: Path, value: Any, kind: Any) -> Any:
    """The table with the fields' own names, its tables inside too. Raises: ConfigurationError for an unknown key."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        known = _fields(kind)
        renamed = {}
        before = len(document.mistakes)
        for key, each in value.items():
            with document.noting():
                if key not in known:
                    raise document.unknown((*path, key), "key", list(known))
                name, inner = known[key]
                renamed[name] = _renamed(document, (*path, key), each, inner)
        document.require_none(before)
        return renamed
    arguments = typing.get_args(kind)
    if isinstance(value, list) and arguments and typing.get_origin(kind) in (tuple, list, Sequence):
        return [_renamed(document, (*path, place), each, arguments[0]) for place, each in enumerate(value)]
    for each in arguments:
        if dataclasses.is_dataclass(each) and isinstance(value, dict):
            return _renamed(document, path, value, each)
    if isinstance(kind, type) and issubclass(kind, Enum):
        _require_member(document, path, value, [str(each.value) for each in kind])
    return value


def _require_member(document: Document, path: Path, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        near = nearest(str(value), known)
        raise document.mistake(
            path,
            f"{dotted(path)}: {value!r} is not known here",
            f"did you mean {near}?" if near else f"there are: {', '.join(known)}",
        )


def _inner(place: str) -> Path:
    """What msgspec calls the place of a mistake, as keys: `.steps[0].is_in_place`."""
    found: list[str | int] = []
    for part in place.replace("[", ".[").split("."):
        if part.startswith("[") and part[1:-1].isdigit():
            found.append(int(part[1:-1]))
        elif part and not part.startswith("["):
            found.append(shown(part))
    return tuple(found)


def schema(kind: type[Any], without: Collection[str] = ()) -> dict[str, Any]:
    """Such a table in JSON Schema."""
    (_,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    return cast("dict[str, Any]", _inlined(components[kind.__name__], components, without))


def _inlined(found: Any, components: Mapping[str, Any], without: Collection[str]) -> Any:
    if isinstance(found, list):
        return [_inlined(each, components, without) for each in found]
    if not isinstance(found, dict):
        return found
    if "$ref" in found:
        return _inlined(components[found["$ref"].rpartition("/")[2]], components, without)
    inlined = {key: _inlined(each, components, without) for key, each in found.items() if key != "default"}
    if found.get("type") == "object" and "properties" in found:
        properties = inlined["properties"].items()
        inlined["properties"] = {shown(key): each for key, each in properties if shown(key) not in without}
        inlined["required"] = [
            shown(each) for each in found.get("required", ()) if shown(each) not in {*without, "name"}
        ]
        inlined["properties"].pop("name", None)
        inlined["additionalProperties"] = False
    return inlined
