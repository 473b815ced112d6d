"""The contract of a source that takes a server's own files: how they become a throwaway server, and what must be done before a server starts from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from engine.hosts.base import Command, Exit
from engine.model.manifest import Manifest
from engine.sources.base import Database


class Revival(Protocol):
    """A throwaway server on its way: its files are coming."""

    async def write(self, data: bytes) -> None:
        """The next bytes of its data folder, as a tar archive whose members' names begin with the folder's. Raises: SourceError, HostError."""
        ...

    async def start(self) -> Database:
        """Called once, after the archive's end: starts the server, and waits until it has recovered. Raises: SourceError, HostError."""
        ...


@runtime_checkable
class PhysicalSource(Protocol):
    """A source that can take a server's own files for its backup (`Manifest.folder`)."""

    def revive(self, manifest: Manifest, depth: int) -> AbstractAsyncContextManager[Revival]:
        """A throwaway server, as `DatabaseSource.scratch` makes one, but of the files of a backup. So many parts of the archive's names are
        above the data folder's own entries. Raises on entering: ToolMissingError, SourceError."""
        ...


@dataclass(frozen=True, slots=True)
class Preparation:
    """What must be done to a server's own files, as they were copied, before a server starts from them."""

    command: Command
    """For the machine that they lie on. Again is no harm."""
    words: str
    """The same for a person, ready to paste."""
    explain: Callable[[Exit], str]
    """Why it was not done, in a sentence; empty where it was."""


@dataclass(frozen=True, slots=True)
class Placing:
    """How what a server had beside its data folder, as a backup has it in that folder, gets places of its own on the machine that they lie on."""

    look: Command
    """First: fails where a place is taken already. Changes nothing."""
    place: Command
    """Once the data folder is there."""
    lines: Sequence[str]
    """Where each goes, for a person."""
