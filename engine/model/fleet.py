"""What applying a document of definitions changes, or would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.model.storage_results import StorageCreated


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One key of a definition."""

    key: str
    old: Any
    """As a document has it; None where it was not there."""
    new: Any


@dataclass(frozen=True, slots=True)
class Change:
    """One definition."""

    noun: str
    name: str
    what: Literal["add", "change", "remove"]
    fields: Sequence[FieldChange] = ()
    """Of one that goes: none."""


@dataclass(frozen=True, slots=True)
class ConfigPlan:
    """What applying a document would do."""

    defined: int
    """Definitions that the document gives."""
    changes: Sequence[Change]
    unlisted: Sequence[tuple[str, str]] = ()
    """Noun and name of what the catalog has, the document has not, and stays."""
    opened: Sequence[str] = ()
    """Storages that are new: their repository is opened, or made."""
    missing_secrets: Sequence[str] = ()
    """Of the vault, which the document names and nobody set."""


@dataclass(frozen=True, slots=True)
class ConfigApplied:
    """What applying a document did."""

    changes: Sequence[Change]
    storages: Sequence[StorageCreated] = ()
    """Those that are new; a password that was made is there this once."""
