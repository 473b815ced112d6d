"""A document out of what is defined: a new one, or one that a person wrote, in which only what differs is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from engine.fleet import comparison
from engine.fleet.codecs import CODECS
from engine.fleet.comparison import Fleet, Wanted
from engine.fleet.document import Document

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import Item, Table

_HEAD: Final = """\
# The fleet of this home: `holdfast config apply FILE` makes a home like it, `--dry-run` says what that would change.
# Secrets are named here, never written out. `[hosts."web-[01-20]"]` stands for twenty hosts; `holdfast config schema` describes all keys.
"""


def write(fleet: Fleet, text: str = "", file: str = "the document") -> str:
    """The document of that fleet. With the text of an older one its comments, its order and what still holds stay as they are.

    Raises: ConfigurationError where the older one holds a mistake, or makes by a pattern what is not defined any more.
    """
    import tomlkit

    document = tomlkit.parse(text or _HEAD)
    wanted = comparison.read(Document.parse(text, file), fleet) if text else None
    for codec in CODECS:
        defined = fleet.get(codec.table, {})
        if wanted is not None:
            _remove_gone(document, wanted, codec.table, defined)
        for name, definition in defined.items():
            table = codec.write(definition)
            entry = wanted.entries.get((codec.table, name)) if wanted is not None else None
            if wanted is None or entry is None or entry.is_made:
                if (
                    wanted is None
                    or entry is None
                    or codec.write(wanted.definitions[codec.table][name]) != table
                ):
                    _parent(document, codec.table)[name] = _table(table, is_inserted=bool(text))
                continue
            written = codec.write(wanted.definitions[codec.table][name])
            if written != table:
                _update(_parent(document, codec.table)[name], written, table)
    return tomlkit.dumps(document)


def write_one(definition: Any) -> str:
    """The table of one definition, as it stands in a document; empty for what a document does not hold."""
    import tomlkit

    codec = next((each for each in CODECS if isinstance(definition, each.kind)), None)
    if codec is None:
        return ""
    document = tomlkit.document()
    _parent(document, codec.table)[definition.name] = _table(codec.write(definition))
    return tomlkit.dumps(document)


def _parent(document: TOMLDocument, name: str) -> Any:
    import tomlkit

    if name not in document:
        document.append(name, tomlkit.table(is_super_table=True))
    return document[name]


def _remove_gone(document: TOMLDocument, wanted: Wanted, table: str, defined: Mapping[str, Any]) -> None:
    for name in wanted.definitions.get(table, {}):
        if name in defined:
            continue
        entry = wanted.entries[table, name]
        if entry.is_made:
            raise wanted.document.mistake(
                entry.path,
                f"{name} is not defined any more, and {entry.path[-1]!r} makes it",
                "take it out of the pattern or group first",
            )
        del _parent(document, table)[name]


def _table(values: Mapping[str, Any], *, is_inserted: bool = False) -> Table:
    """With a blank line behind it where another may follow."""
    import tomlkit

    made = tomlkit.table()
    for key, value in values.items():
        made.add(key, _item(value))
    if is_inserted:
        made.add(tomlkit.nl())
    return made


def _item(value: Any) -> Item:
    import tomlkit

    if isinstance(value, list) and value and isinstance(value[0], dict):
        several: Item = tomlkit.aot()
        for each in value:
            several.append(_table(each))  # type: ignore[attr-defined]
        return several
    found: Item = tomlkit.item(value)
    return found


def _update(table: Any, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Changes the keys that differ; what a person wrote in another way and means the same stays."""
    for key in old:
        if key not in new and key in table:
            del table[key]
    for key, value in new.items():
        if old.get(key) != value:
            table[key] = _item(value)


def schema() -> dict[str, Any]:
    """The document in JSON Schema, for editors."""
    properties: dict[str, Any] = {
        "groups": {
            "type": "object",
            "description": "hosts together: sources name a group as @NAME",
            "additionalProperties": {
                "type": "object",
                "properties": {"hosts": {"type": "array", "items": {"type": "string"}}},
                "required": ["hosts"],
                "additionalProperties": False,
            },
        }
    }
    for codec in CODECS:
        properties[codec.table] = {
            "type": "object",
            "description": f"by name; a name such as web-[01-20] stands for several {codec.table}",
            "additionalProperties": codec.schema(),
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "holdfast fleet",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
