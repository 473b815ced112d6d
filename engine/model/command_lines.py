"""Definitions as the command lines that would make them, word by word: what the console shows beside a form, and what `host test` proposes. Pure.

No secret lies in a definition, so none can be in such a line. What a person has typed and what is to be sealed is `-` there: the verb asks
for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from engine.model import destination_options, host_options, schedule_options, source_options, storage_options
from engine.model.alerts import Destination
from engine.model.definitions import LOCAL_HOST, Host, OptionValue, Source, Storage
from engine.model.options import Option
from engine.model.plan_steps import step_text
from engine.model.plans import Plan
from engine.model.schedules import Schedule

Definition = Host | Source | Storage | Schedule | Destination | Plan


def line(words: Sequence[str]) -> str:
    """The words as a shell takes them."""
    return shlex.join(words)


def adding(definition: Definition, typed: Collection[str] = ()) -> list[str]:
    """The words that define it; the verb asks for the secrets of those REFs in `typed`."""
    noun, words, options = _told(definition)
    return [
        "holdfast",
        *noun.split(),
        "add",
        definition.name,
        *words,
        *_flags(options, _table(definition), typed),
    ]


def editing(old: Definition, new: Definition, typed: Collection[str] = ()) -> list[str]:
    """The words that make the new one of the old one of that name; what cannot be edited is no part of them."""
    noun, _, after = _told(new)
    before = _told(old)[2]
    table = _table(new)
    words = ["holdfast", *noun.split(), "edit", new.name]
    if isinstance(new, Host) and isinstance(old, Host) and new.address != old.address:
        words += _pair("--address", new.address)
    if isinstance(new, Storage) and isinstance(old, Storage) and new.password != old.password:
        words += _pair("--password", _reference(new.password, typed))
    changed = {name: value for name, value in after.items() if _plain(before.get(name)) != _plain(value)}
    words += _flags(changed, table, typed)
    for each in table:
        if _is_said(before.get(each.kept_as)) and not _is_said(after.get(each.kept_as)):
            words += ["--unset", each.flag.removeprefix("--") if not each.typed_as else each.name]
    return words


def accepted_fingerprint(host: Host) -> str:
    """`SHA256:…` of the key that a person accepted, if any."""
    keys = host.options.get("host_key")
    key = keys[0] if isinstance(keys, tuple | list) and keys else keys
    if not isinstance(key, str):
        return ""
    for word in key.split():
        if word.startswith("AAAA"):
            try:
                digest = hashlib.sha256(base64.b64decode(word)).digest()
            except binascii.Error:
                return ""
            return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
    return ""


_Told = tuple[str, list[str], Mapping[str, Any]]


def _host(host: Host) -> _Told:
    words = _pair("--address", host.address)
    fingerprint = accepted_fingerprint(host)
    words += ["--accept-key", fingerprint] if fingerprint else []
    return "host", words, host_options.unstaged(host.options)


def _source(source: Source) -> _Told:
    words = ["--kind", source.kind, *(_pair("--host", source.host) if source.host != LOCAL_HOST else [])]
    return "source", words, source.options


def _storage(storage: Storage) -> _Told:
    words = ["--kind", storage.kind, *(["--default"] if storage.is_default else [])]
    return (
        "storage",
        words,
        {**storage.options, **({"password": storage.password} if storage.password else {})},
    )


def _schedule(schedule: Schedule) -> _Told:
    zone = {"timezone": schedule.timing.timezone}  # left out it would be the machine's
    return (
        "schedule",
        ["--template"] if schedule.is_template else [],
        zone | schedule_options.said_by(schedule),
    )


def _destination(destination: Destination) -> _Told:
    return "notify", [], destination_options.said_by(destination)


def _plan(plan: Plan) -> _Told:
    options = {
        "step": tuple(step_text(each) for each in plan.steps),
        "budget": plan.budget_s,
        "note": plan.note or None,
    }
    return "plan", [], options


_PLAN: Final = (Option("step", "", is_many=True), Option("budget", "", type="span"), Option("note", ""))
_NOUNS: Final[Mapping[type[Any], tuple[Callable[[Any], _Told], tuple[Option, ...]]]] = {
    Host: (_host, host_options.OPTIONS),
    Source: (_source, source_options.ALL),
    Storage: (_storage, (*storage_options.OPTIONS, Option("password", "", is_secret=True))),
    Schedule: (_schedule, schedule_options.ALL),
    Destination: (_destination, destination_options.OPTIONS),
    Plan: (_plan, _PLAN),
}


def _told(definition: Definition) -> _Told:
    return _NOUNS[type(definition)][0](definition)


def _table(definition: Definition) -> tuple[Option, ...]:
    return _NOUNS[type(definition)][1]


def _flags(options: Mapping[str, OptionValue], table: Sequence[Option], typed: Collection[str]) -> list[str]:
    words: list[str] = []
    for each in table:
        value = options.get(each.kept_as)
        if value is None or value == () or (value is False and "no" not in each.choices):
            continue
        if each.is_flag:
            words.append(each.flag)
        elif each.is_secret:
            words += _pair(each.flag, _reference(str(value), typed))
        elif each.is_list and not any(word.startswith("-") for word in each.words(value)):
            words += [each.flag, *each.words(value)]
        else:
            for word in each.words(value):
                words += _pair(each.flag, word)
    return words


def _reference(reference: str, typed: Collection[str]) -> str:
    return "-" if reference in typed else reference


def _pair(flag: str, value: str) -> list[str]:
    """A value that begins with a dash would be taken for an option; `-` alone is none."""
    return [f"{flag}={value}"] if (value.startswith("-") and value != "-") or not value else [flag, value]


def _is_said(value: object) -> bool:
    return value is not None and value is not False


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,) if isinstance(value, str) else value
