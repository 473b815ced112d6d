"""What a definition that is only about to be written comes to: tried on the real host or storage, and told as a command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostTrial:
    """A host that one could log in to."""

    name: str
    login_s: float
    user: str
    hostname: str
    tools: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class StorageTrial:
    """A storage that answered."""

    name: str
    location: str
    latency_s: float
    has_repository: bool
    is_writable: bool | None
    """None: that was not tried, or there is no place yet to write to."""
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class DefinitionText:
    """A definition as a person would write it."""

    command_line: str
    toml: str
    """Its table in the fleet's file."""
