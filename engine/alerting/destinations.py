"""What a destination may say, whoever defines it: a person at the command line, or a document."""

from __future__ import annotations

import re
from typing import Final

from engine.alerting import templates
from engine.errors import UsageError
from engine.model.alerts import NOUNS, Destination, Occasion

_TIME_OF_DAY: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)


def check(destination: Destination, *, is_signal: bool) -> None:
    """All that can be said of it without its address; `is_signal` says whether machines read what its kind tells.

    Raises: UsageError; ConfigurationError for its template.
    """
    if destination.template:
        templates.check(destination.template)
    if destination.digest_at and not _TIME_OF_DAY.fullmatch(destination.digest_at):
        raise UsageError(f"{destination.digest_at!r} is no time of day", hint="say 08:00")
    for each in (Occasion.TEST, Occasion.DIGEST):
        if each in destination.occasions:
            raise UsageError(f"a {each.value} is no occasion to choose: it is told to whom it is for")
    for pattern in destination.only:
        if pattern.partition(" ")[0] not in NOUNS:
            raise UsageError(f"{pattern!r} is no pattern of subjects", hint="--only 'source shop*'")
    if "-" in (destination.start_url, destination.fail_url):
        raise UsageError(
            "an address that is needed again and again is not read from standard input",
            hint="seal it first: holdfast vault set NAME, and name it as vault:NAME",
        )
    if is_signal and (destination.digest_at or destination.template):
        raise UsageError(f"a {destination.kind} is read by a machine: it has no digest and no template")


def addresses(destination: Destination) -> tuple[str, ...]:
    """What tells where it is: two with the same are told at the same place."""
    return (destination.kind, destination.url, destination.start_url, destination.fail_url)
