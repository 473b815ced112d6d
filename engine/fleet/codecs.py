"""The nouns of a document: how each is read out of its table and written into one. A new noun is one line in CODECS."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from engine.fleet import fields, shapes
from engine.fleet.document import Document, dotted
from engine.fleet.expansion import Entry
from engine.fleet.fields import Field
from engine.model import definition_options, storage_options
from engine.model.alerts import Destination, MaintenanceWindow
from engine.model.definitions import LOCAL_HOST, Host, OptionValue, Source, Storage
from engine.model.options import Option
from engine.model.plans import Plan, PlanStep
from engine.model.requests import RestoreRequest
from engine.model.schedules import Schedule


class Codec(Protocol):
    """One noun."""

    noun: str
    table: str
    """Of the document, and the attribute of the catalog that keeps them."""
    kind: type[Any]
    """What its definitions are."""

    def read(self, document: Document, entry: Entry) -> Any:
        """The definition. Raises: ConfigurationError."""
        ...

    def write(self, definition: Any) -> dict[str, Any]:
        """The definition as a table, without its name; no secret, for there is none in a definition."""
        ...

    def settle(self, new: Any, old: Any) -> Any:
        """The new definition with what the document leaves to the catalog; `old` is the one of that name, or None."""
        ...

    def needs(self, definition: Any) -> Sequence[tuple[str, str, str]]:
        """What it names of other tables: the key, the table and the name."""
        ...

    def schema(self) -> dict[str, Any]:
        """The table in JSON Schema."""
        ...


@dataclass(slots=True)
class ValueCodec:
    """Definitions that are frozen dataclasses with a `name` and fields of plain types."""

    noun: str
    table: str
    kind: type[Any]
    names: Mapping[str, str] = field(default_factory=dict)
    """Fields that hold a name, or several, of another table: that table, by the field."""
    references: Sequence[str] = ()
    """Fields that say where a secret is kept."""
    left_out: Sequence[str] = ()
    """Fields that the catalog works out by itself."""

    def read(self, document: Document, entry: Entry) -> Any:
        """See `Codec.read`."""
        before = len(document.mistakes)
        for key, value in entry.values.items():
            with document.noting():
                if key in self.left_out:
                    known = shapes.keys(self.kind, ("name", *self.left_out))
                    raise document.unknown((*entry.path, key), "key", known)
                if key in self.references:
                    fields.read(document, (*entry.path, key), value, Field(key, "reference"))
        document.require_none(before)
        return shapes.read(document, entry.path, entry.values, self.kind, {"name": entry.name})

    def write(self, definition: Any) -> dict[str, Any]:
        """See `Codec.write`."""
        return shapes.write(definition, ("name", *self.left_out))

    def settle(self, new: Any, old: Any) -> Any:
        """With what the catalog worked out of the old one."""
        if old is None or not self.left_out:
            return new
        return dataclasses.replace(new, **{each: getattr(old, each) for each in self.left_out})

    def needs(self, definition: Any) -> Sequence[tuple[str, str, str]]:
        """See `Codec.needs`."""
        found = []
        for each, table in self.names.items():
            value = getattr(definition, each)
            names = (value,) if isinstance(value, str) else value or ()
            found += [(shapes.shown(each), table, name) for name in names if name]
        return found

    def schema(self) -> dict[str, Any]:
        """See `Codec.schema`."""
        found = shapes.schema(self.kind, self.left_out)
        for each in self.references:
            found["properties"][each] = fields.schema(Field(each, "reference"))
        return found


def _options(
    document: Document, entry: Entry, known: Sequence[Field], own: Sequence[str], *, is_open: bool = False
) -> dict[str, OptionValue]:
    """The options among the keys; `own` are keys that are none. With `is_open` keys that nobody knows are options too.

    Raises: ConfigurationError.
    """
    by_name = {each.name: each for each in known}
    found: dict[str, OptionValue] = {}
    before = len(document.mistakes)
    for key, value in entry.values.items():
        path = (*entry.path, key)
        if key in own:
            continue
        with document.noting():
            if key not in by_name and not is_open:
                raise document.unknown(path, "key", [*own, *by_name])
            known_as = by_name.get(key) or Field(key, _guessed(value))
            read = fields.read(document, path, value, known_as)
            if read is not False or known_as.type == "switch":
                found[known_as.option] = read
    document.require_none(before)
    return found


def _guessed(value: object) -> str:
    return "flag" if isinstance(value, bool) else "count" if isinstance(value, int) else "texts"


def _text(document: Document, entry: Entry, key: str, default: str | None = None) -> str:
    """A text of the noun itself. Raises: ConfigurationError where it is missing and has no default."""
    if key not in entry.values:
        if default is None:
            raise document.mistake(entry.path, f"{dotted(entry.path)} needs {key}")
        return default
    found = fields.read(document, (*entry.path, key), entry.values[key], Field(key))
    return str(found)


def _flag(document: Document, entry: Entry, key: str, *, default: bool) -> bool:
    if key not in entry.values:
        return default
    return bool(fields.read(document, (*entry.path, key), entry.values[key], Field(key, "flag")))


def _written(options: Mapping[str, OptionValue], known: Sequence[Field]) -> dict[str, Any]:
    by_option = {each.option: each for each in known}
    found = {}
    for name, value in options.items():
        known_as = by_option.get(name) or Field(name)
        if value is not None and (value is not False or known_as.type == "switch"):
            found[known_as.name] = fields.written(value, known_as)
    return found


def _table_schema(own: Mapping[str, Any], known: Sequence[Field], *needed: str) -> dict[str, Any]:
    properties = {**own, **{each.name: fields.schema(each) for each in known}}
    return {
        "type": "object",
        "properties": properties,
        "required": list(needed),
        "additionalProperties": False,
    }


_TEXT: Final = {"type": "string"}
_HOST_FIELDS: Final = tuple(Field(name, kind) for name, kind in definition_options.HOST_OPTIONS.items())
_SOURCE_FIELDS: Final = tuple(Field(name, kind) for name, kind in definition_options.SOURCE_OPTIONS.items())


class HostCodec:
    """Hosts."""

    noun = "host"
    table = "hosts"
    kind: type[Any] = Host
    _own = ("kind", "address")

    def read(self, document: Document, entry: Entry) -> Host:
        """See `Codec.read`."""
        default = "local" if entry.name == LOCAL_HOST else "ssh"
        options = _options(document, entry, _HOST_FIELDS, self._own)
        kind = _text(document, entry, "kind", default)
        if kind not in ("ssh", "local"):
            raise document.mistake((*entry.path, "kind"), f"{dotted(entry.path)}.kind is ssh or local")
        address = _text(document, entry, "address", "" if kind == "local" else None)
        return Host(entry.name, kind, address, options)

    def write(self, definition: Host) -> dict[str, Any]:
        """See `Codec.write`."""
        default = "local" if definition.name == LOCAL_HOST else "ssh"
        own = {"kind": definition.kind} if definition.kind != default else {}
        own |= {"address": definition.address} if definition.address else {}
        return {**own, **_written(definition.options, _HOST_FIELDS)}

    def settle(self, new: Host, old: Host | None) -> Host:
        """A key that a person accepted stays accepted as long as the address is the same, and a retired host stays retired."""
        if old is None:
            return new
        names = ["retired", *(["host_key"] if old.address == new.address else [])]
        kept = {name: old.options[name] for name in names if old.options.get(name) is not None}
        return dataclasses.replace(new, options={**kept, **new.options})

    def needs(self, definition: Host) -> Sequence[tuple[str, str, str]]:
        """Nothing."""
        del definition
        return ()

    def schema(self) -> dict[str, Any]:
        """See `Codec.schema`."""
        return _table_schema({"kind": {"enum": ["ssh", "local"]}, "address": _TEXT}, _HOST_FIELDS)


class SourceCodec:
    """Sources. Which options a kind takes, the kind itself says: whoever applies the document asks it."""

    noun = "source"
    table = "sources"
    kind: type[Any] = Source
    _own = ("kind", "host")

    def read(self, document: Document, entry: Entry) -> Source:
        """See `Codec.read`."""
        kind, host = _text(document, entry, "kind"), _text(document, entry, "host", LOCAL_HOST)
        is_open = kind not in definition_options.SOURCE_KINDS
        options = _options(document, entry, _SOURCE_FIELDS, self._own, is_open=is_open)
        return Source(entry.name, kind, host, options)

    def write(self, definition: Source) -> dict[str, Any]:
        """See `Codec.write`."""
        own = {"kind": definition.kind}
        own |= {"host": definition.host} if definition.host != LOCAL_HOST else {}
        return {**own, **_written(definition.options, _SOURCE_FIELDS)}

    def settle(self, new: Source, old: Source | None) -> Source:
        """Nothing is left open."""
        del old
        return new

    def needs(self, definition: Source) -> Sequence[tuple[str, str, str]]:
        """Its host."""
        return (("host", "hosts", definition.host),)

    def schema(self) -> dict[str, Any]:
        """See `Codec.schema`."""
        own = {"kind": {"anyOf": [{"enum": list(definition_options.SOURCE_KINDS)}, _TEXT]}, "host": _TEXT}
        return _table_schema(own, _SOURCE_FIELDS, "kind")


def _storage_fields(options: Sequence[Option]) -> tuple[Field, ...]:
    types = {True: "reference"}
    return tuple(
        Field(
            each.name,
            types.get(each.is_secret, "flag" if each.is_flag else each.type),
            each.help,
            each.kept_as,
            each.choices,
        )
        for each in options
    )


class StorageCodec:
    """Storages. What the document does not say of password and default, the catalog keeps as it is."""

    noun = "storage"
    table = "storages"
    kind: type[Any] = Storage
    _own = ("kind", "password", "enabled", "default")

    def read(self, document: Document, entry: Entry) -> Storage:
        """See `Codec.read`."""
        kind = _text(document, entry, "kind")
        known = _storage_fields(storage_options.taken_by(kind))
        options = _options(document, entry, known, self._own, is_open=kind not in storage_options.KINDS)
        for lacking in storage_options.missing(kind, options):
            raise document.mistake(entry.path, f"a storage of kind {kind} needs {lacking.name}")
        for name in ("path", *storage_options.FILES) if kind == "local" else storage_options.FILES:
            if not str(options.get(name) or "/").startswith("/"):
                raise document.mistake((*entry.path, name), f"{dotted(entry.path)}.{name} begins with /")
        password = entry.values.get("password", "")
        if password != "":
            password = fields.read(document, (*entry.path, "password"), password, Field("", "reference"))
        return Storage(
            entry.name,
            kind,
            options,
            str(password),
            is_enabled=_flag(document, entry, "enabled", default=True),
            is_default=_flag(document, entry, "default", default=False),
        )

    def write(self, definition: Storage) -> dict[str, Any]:
        """See `Codec.write`."""
        known = _storage_fields(storage_options.OPTIONS)
        own: dict[str, Any] = {"kind": definition.kind}
        own |= {"password": definition.password} if definition.password else {}
        own |= {} if definition.is_enabled else {"enabled": False}
        own |= {"default": True} if definition.is_default else {}
        return {**own, **_written(definition.options, known)}

    def settle(self, new: Storage, old: Storage | None) -> Storage:
        """See the class."""
        if old is None:
            return new
        return dataclasses.replace(
            new,
            password=new.password or old.password,
            repository_id=old.repository_id,
            is_default=new.is_default or old.is_default,
        )

    def needs(self, definition: Storage) -> Sequence[tuple[str, str, str]]:
        """The host that it lies on, if any."""
        host = definition.options.get("host")
        return (("host", "hosts", host),) if isinstance(host, str) else ()

    def schema(self) -> dict[str, Any]:
        """See `Codec.schema`."""
        own = {
            "kind": {"anyOf": [{"enum": list(storage_options.KINDS)}, _TEXT]},
            "password": fields.schema(Field("password", "reference")),
            "enabled": fields.schema(Field("enabled", "flag")),
            "default": fields.schema(Field("default", "flag")),
        }
        return _table_schema(own, _storage_fields(storage_options.OPTIONS), "kind")


class PlanCodec:
    """Recovery plans. A step and its restore are one table."""

    noun = "plan"
    table = "plans"
    kind: type[Any] = Plan
    _not_of_a_step = ("restore",)
    _not_of_its_restore = (
        "backup", "dry_run", "limits", "source", "at", "at_transaction", "at_point", "before", "whole_server",
    )  # fmt: skip

    def read(self, document: Document, entry: Entry) -> Plan:
        """See `Codec.read`."""
        steps = entry.values.get("steps")
        if not isinstance(steps, list) or not steps:
            raise document.mistake(
                entry.path, f"{dotted(entry.path)} needs steps: [[plans.{entry.name}.steps]]"
            )
        found = tuple(self._step(document, entry, place, each) for place, each in enumerate(steps))
        rest = {key: value for key, value in entry.values.items() if key != "steps"}
        plan = shapes.read(document, entry.path, rest, Plan, {"name": entry.name, "steps": []})
        return dataclasses.replace(plan, steps=found)

    def _step(self, document: Document, entry: Entry, place: int, given: object) -> PlanStep:
        path = (*entry.path, "steps", place)
        table = document.table(path, given)
        of_step = shapes.keys(PlanStep, self._not_of_a_step)
        of_restore = shapes.keys(RestoreRequest, self._not_of_its_restore)
        for key in table:
            if key not in of_step and key not in of_restore:
                raise document.unknown((*path, key), "key of a step", [*of_step, *of_restore])
        restore = {key: value for key, value in table.items() if key in of_restore}
        step = {key: value for key, value in table.items() if key in of_step}
        request = shapes.read(document, path, restore, RestoreRequest, {"backup": ""})
        found = shapes.read(document, path, step, PlanStep, {"restore": {"backup": ""}})
        return dataclasses.replace(found, restore=request)

    def write(self, definition: Plan) -> dict[str, Any]:
        """See `Codec.write`."""
        steps = [
            {
                **shapes.write(each, self._not_of_a_step),
                **shapes.write(each.restore, self._not_of_its_restore),
            }
            for each in definition.steps
        ]
        return {**shapes.write(definition, ("name", "steps")), "steps": steps}

    def settle(self, new: Plan, old: Plan | None) -> Plan:
        """Nothing is left open."""
        del old
        return new

    def needs(self, definition: Plan) -> Sequence[tuple[str, str, str]]:
        """What its steps name."""
        found = []
        for each in definition.steps:
            found.append(("steps", "sources", each.source))
            found += [("steps", "hosts", name) for name in (each.restore.host, each.drill_host) if name]
            found += [("steps", "sources", each.restore.target_source)] if each.restore.target_source else []
        return found

    def schema(self) -> dict[str, Any]:
        """See `Codec.schema`."""
        step = shapes.schema(PlanStep, self._not_of_a_step)
        restore = shapes.schema(RestoreRequest, self._not_of_its_restore)
        step["properties"] |= restore["properties"]
        whole = shapes.schema(Plan, ("steps",))
        whole["properties"]["steps"] = {"type": "array", "items": step, "minItems": 1}
        return {**whole, "required": ["steps"]}


CODECS: Final[Sequence[Codec]] = (
    HostCodec(),
    SourceCodec(),
    StorageCodec(),
    PlanCodec(),
    ValueCodec(
        "destination",
        "destinations",
        Destination,
        references=("url", "start_url", "fail_url"),
        left_out=("shown",),
    ),
    ValueCodec("window", "windows", MaintenanceWindow, left_out=("made_by",)),
    ValueCodec(
        "schedule",
        "schedules",
        Schedule,
        {"storages": "storages", "after": "schedules", "notify": "destinations"},
    ),
)
"""In this order they are defined, and in the other one forgotten: each may name those before it. A noun that is a plain frozen value takes
one line."""
