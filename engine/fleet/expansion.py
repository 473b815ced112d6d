"""Patterns and groups: one table that stands for many hosts, or for one source on each of many hosts.

`web-[01-20]` is twenty names, `db-[a,b]` two; a number keeps its width. In a group `web-*` is all hosts of such a name. In the texts of
such a table `{name}` is the name at hand; where the host is a pattern or a group, `@web`, `{host}` is that host, in the name as well. A
table with a plain name stands by itself, also beside a pattern that makes the same name.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.errors import UsageError
from engine.fleet.document import Document, Path, dotted
from engine.model.names import check_name, nearest

MOST: Final = 20_000
"""Names that one pattern may stand for."""
_SET: Final = re.compile(r"\[([^\[\]]*)\]")
_RANGE: Final = re.compile(r"([0-9]+)-([0-9]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One definition, as the document gives it."""

    name: str
    values: Mapping[str, Any]
    path: Path
    """Of the table that it comes from."""
    is_made: bool = False
    """Whether a pattern or a group made it."""


def is_pattern(name: str) -> bool:
    """Whether it stands for several names."""
    return "[" in name or "]" in name


def names(pattern: str) -> list[str]:
    """All names that a pattern stands for, in order; a plain name stands for itself. Raises: UsageError."""
    parts: list[list[str]] = []
    count = 1
    for place, part in enumerate(_SET.split(pattern)):
        choices = _choices(pattern, part) if place % 2 else [part]
        count *= len(choices)
        if count > MOST:
            raise UsageError(f"{pattern} stands for more than {MOST} names")
        if any(is_pattern(each) for each in choices):
            raise UsageError(f"{pattern} has a bracket too many")
        parts.append(choices)
    return ["".join(each) for each in itertools.product(*parts)]


def _choices(pattern: str, text: str) -> list[str]:
    found: list[str] = []
    for each in (part.strip() for part in text.split(",")):
        if not each:
            raise UsageError(
                f"{pattern} names nothing between its brackets", hint="say web-[01-20] or db-[a,b]"
            )
        numbers = _RANGE.fullmatch(each)
        if numbers is None:
            found.append(each)
            continue
        first, last = int(numbers[1]), int(numbers[2])
        if first > last or last - first >= MOST:
            raise UsageError(f"{each} in {pattern} is no range", hint=f"from the lower on, at most {MOST}")
        found += [f"{number:0{len(numbers[1])}d}" for number in range(first, last + 1)]
    return found


def groups(document: Document, known_hosts: Sequence[str]) -> dict[str, list[str]]:
    """The hosts of each group, by its name. What nobody knows is noted. Raises: ConfigurationError where groups is no table."""
    found: dict[str, list[str]] = {}
    for name, given in document.table(("groups",), document.tables.get("groups", {})).items():
        with document.noting("groups"):
            found[name] = _group(document, ("groups", name), given, known_hosts)
    return found


def _group(document: Document, path: Path, given: object, known_hosts: Sequence[str]) -> list[str]:
    known = set(known_hosts)
    table = document.table(path, given)
    for key in table:
        if key != "hosts":
            raise document.unknown((*path, key), "key of a group", ["hosts"])
    place = (*path, "hosts")
    hosts = table.get("hosts")
    if not isinstance(hosts, list) or not all(isinstance(each, str) for each in hosts):
        raise document.mistake(place, f"{dotted(place)} is a list of names and patterns")
    if "hosts" in document.unsettled:
        return []
    members = [each for item in hosts for each in _members(document, place, item, known_hosts)]
    for each in members:
        if each not in known:
            with document.noting("groups"):
                raise _unknown_host(document, place, each, known_hosts)
    return list(dict.fromkeys(members))


def _members(document: Document, path: Path, item: str, known: Sequence[str]) -> Sequence[str]:
    """Those that an item of a group stands for: `web-[01-20]`, or of all hosts that are known `web-*`."""
    if not set(item) & set("*?"):
        return _in(document, path, item)
    found = fnmatch.filter(known, item)
    if not found:
        raise document.mistake(path, f"there is no host that matches {item}")
    return found


def entries(document: Document, table: str, groups: Mapping[str, Sequence[str]]) -> list[Entry]:
    """All definitions of a table; those with a plain name go before those that are made. Mistakes are noted.

    Raises: ConfigurationError where it is no table.
    """
    plain: list[Entry] = []
    made: dict[str, Entry] = {}
    for name, given in document.table((table,), document.tables.get(table, {})).items():
        path: Path = (table, name)
        with document.noting(table):
            values = document.table(path, given)
            if not is_pattern(name) and not _is_spread(values):
                _require_name(document, path, table, name)
                plain.append(Entry(name, values, path))
                continue
            for each in _made(document, table, path, values, groups):
                if each.name in made:
                    said = f"{each.name} is made twice, by {made[each.name].path[-1]!r} and {name!r}"
                    raise document.mistake(path, said)
                made[each.name] = each
    explicit = {each.name for each in plain}
    return plain + [each for each in made.values() if each.name not in explicit]


def _is_spread(values: Mapping[str, Any]) -> bool:
    host = values.get("host")
    return isinstance(host, str) and (host.startswith("@") or is_pattern(host))


def _made(
    document: Document, table: str, path: Path, values: Mapping[str, Any], groups: Mapping[str, Sequence[str]]
) -> Iterator[Entry]:
    template = str(path[-1])
    hosts = list(_hosts(document, path, values, groups)) if _is_spread(values) else [""]
    if hosts != [""] and "{host}" not in template:
        raise document.mistake(
            path,
            f"{template!r} names one for {len(hosts)} hosts",
            f'say where the host stands in the name: [{table}."{template}-{{host}}"]',
        )
    for host in hosts:
        for name in _in(document, path, template.replace("{host}", host) if host else template):
            _require_name(document, path, table, name)
            said = {"{name}": name, **({"{host}": host} if host else {})}
            filled = {key: _filled(value, said) for key, value in values.items()}
            yield Entry(name, {**filled, "host": host} if host else filled, path, is_made=True)


def _hosts(
    document: Document, path: Path, values: Mapping[str, Any], groups: Mapping[str, Sequence[str]]
) -> Sequence[str]:
    host = str(values["host"])
    if not host.startswith("@"):
        return list(_in(document, (*path, "host"), host))
    if host[1:] not in groups and "groups" in document.unsettled:
        return []
    if host[1:] not in groups:
        near = nearest(host[1:], groups)
        hint = f"did you mean @{near}?" if near else f"there are: {', '.join(groups) or 'none'}"
        raise document.mistake((*path, "host"), f"there is no group {host[1:]}", hint)
    return groups[host[1:]]


def _filled(value: object, said: Mapping[str, str]) -> object:
    if isinstance(value, str):
        for place, text in said.items():
            value = value.replace(place, text)
        return value
    if isinstance(value, list):
        return [_filled(each, said) for each in value]
    if isinstance(value, dict):
        return {key: _filled(each, said) for key, each in value.items()}
    return value


def _in(document: Document, path: Path, pattern: str) -> Sequence[str]:
    try:
        return names(pattern)
    except UsageError as error:
        raise document.mistake(path, error.message, error.hint) from error


def _require_name(document: Document, path: Path, table: str, name: str) -> None:
    try:
        check_name(table.removesuffix("s"), name)
    except UsageError as error:
        raise document.mistake(path, error.message, error.hint) from error


def _unknown_host(document: Document, path: Path, name: str, known: Sequence[str]) -> UsageError:
    near = nearest(name, known)
    return document.mistake(path, f"there is no host named {name}", f"did you mean {near}?" if near else None)
