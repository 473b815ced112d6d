"""What a person types to filter backups: words of the form `tag:nightly`, and any other text. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, TypeVar

from engine.errors import UsageError
from engine.model.backup import BackupFilter, BackupStatus, Proof, Scope

HELP: Final = "text, or source: host: storage: tag: status: type: proof: only: since: until: kept"
_KINDS: Final = ("full", "incremental", "differential")

Chosen = TypeVar("Chosen", bound=StrEnum)


def parse(
    text: str, instant: Callable[[str], datetime.datetime], base: BackupFilter | None = None
) -> BackupFilter:
    """The filter that is meant, within `base`. Raises: UsageError for a word that means nothing where one of few is wanted."""
    found: dict[str, Any] = {}
    rest = []
    for word in text.split():
        name, colon, value = word.partition(":")
        if word == "kept":
            found["is_kept"] = True
        elif not colon or name not in _WORDS:
            rest.append(word)
        elif value:
            field, read = _WORDS[name]
            found[field] = read(value) if field not in ("since", "until") else instant(value)
    values = (
        {name: getattr(base, name) for name in BackupFilter.__dataclass_fields__} if base is not None else {}
    )
    return BackupFilter(**{**values, **found, "text": " ".join(rest)})


def _one_of(kind: type[Chosen], value: str) -> Chosen:
    """The one that begins so. Raises: UsageError."""
    found = [each for each in kind if each.value.startswith(value)]
    if len(found) != 1 and value not in list(kind):
        raise UsageError(f"{value} is none of {', '.join(each.value for each in kind)}")
    return kind(value) if value in list(kind) else found[0]


_WORDS: Final[dict[str, tuple[str, Callable[[str], object]]]] = {
    "source": ("source", str),
    "host": ("host", str),
    "storage": ("storage", str),
    "tag": ("tag", str),
    "type": ("kind", lambda value: next((each for each in _KINDS if each.startswith(value)), value)),
    "status": ("status", lambda value: _one_of(BackupStatus, value)),
    "proof": ("proof", lambda value: _one_of(Proof, value)),
    "only": ("scope", lambda value: _one_of(Scope, value)),
    "since": ("since", str),
    "until": ("until", str),
}
