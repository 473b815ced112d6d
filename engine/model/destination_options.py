"""The options of destinations, as they are typed, and the fields that they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from engine.errors import UsageError
from engine.model.alerts import Destination, Occasion
from engine.model.options import Option

KINDS: Final = ("apprise", "ping")
OCCASIONS: Final = tuple(each.value for each in Occasion if each not in (Occasion.TEST, Occasion.DIGEST))
OPTIONS: Final = (
    Option(
        "kind",
        "apprise, where it is left out: mail, chat, webhook and all else that apprise knows; ping: a switch that calls people when it was not called",
        "KIND",
    ),
    Option(
        "url",
        "where its address is kept, which is a secret: mailto://USER:PASSWORD@HOST?to=ME, json://HOST/PATH, ntfy://HOST/TOPIC; "
        "left out: it is asked for, and sealed",
        "REF",
        is_secret=True,
    ),
    Option("start_url", "ping: the address of a start, where it is not /start behind the other", "REF"),
    Option("fail_url", "ping: the address of a failure, where it is not /fail behind the other", "REF"),
    Option(
        "on",
        f"tell this (may be repeated): {', '.join(OCCASIONS)}; left out: failure, alert and recovery; a ping: start, success and failure",
        "WHAT",
        choices=OCCASIONS,
        is_many=True,
    ),
    Option(
        "only",
        "of these alone (may be repeated): 'source shop*', 'host web', 'storage near', 'schedule nightly', 'verb restore'",
        "PATTERN",
        is_many=True,
    ),
    Option("named_only", "only what schedules name it for: schedule add --notify NAME", is_flag=True),
    Option("digest", "besides, once a day what happened and what stands, at this local time", "HH:MM"),
)
"""Besides them `template`, which is read from a file."""
FIELDS: Final[Mapping[str, str]] = {
    "kind": "kind",
    "url": "url",
    "start_url": "start_url",
    "fail_url": "fail_url",
    "on": "occasions",
    "only": "only",
    "digest": "digest_at",
    "template": "template",
    "named_only": "is_named_only",
    "enabled": "is_enabled",
}
"""Option -> field of a destination."""


def applied(given: Mapping[str, Any], destination: Destination) -> Destination:
    """The destination with all that was given, by option, in place of what it says."""
    fields = {FIELDS[name]: value for name, value in given.items() if name in FIELDS and value is not None}
    if "occasions" in fields:
        fields["occasions"] = tuple(Occasion(each) for each in fields["occasions"])
    if "only" in fields:
        fields["only"] = tuple(fields["only"])
    return dataclasses.replace(destination, **fields)


def without(destination: Destination, names: Iterable[str]) -> Destination:
    """The destination without these options: as it is where nothing is said. Raises: UsageError."""
    fresh = Destination(destination.name, "apprise", "")
    known = [name for name in FIELDS if name not in ("kind", "url", "enabled")]
    for written in names:
        name = written.removeprefix("--").replace("-", "_")
        if name not in known:
            there_are = ", ".join(each.replace("_", "-") for each in known)
            raise UsageError(f"there is no option {written!r} to unset", hint=f"there are: {there_are}")
        destination = dataclasses.replace(destination, **{FIELDS[name]: getattr(fresh, FIELDS[name])})
    return destination


def said_by(destination: Destination) -> dict[str, Any]:
    """What it says, by option, but for the template and whether it is switched on; what is as by default left out."""
    fresh = Destination(destination.name, "", "")
    found = {
        name: getattr(destination, field)
        for name, field in FIELDS.items()
        if name not in ("template", "enabled") and getattr(destination, field) != getattr(fresh, field)
    }
    if "on" in found:
        found["on"] = tuple(each.value for each in destination.occasions)
    return found
