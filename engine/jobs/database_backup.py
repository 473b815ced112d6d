"""A database backup, opened to be brought back: its manifest, its dumps, and the server that takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import msgspec

from engine.errors import DamagedError, HoldfastError, UnknownNameError, UnknownSnapshotError, UsageError
from engine.events import Progress, Warned
from engine.format.snapshot import Snapshot
from engine.hosts.base import OpenHost
from engine.jobs import host_load
from engine.jobs.context import JobContext
from engine.jobs.opening import open_repositories
from engine.model.backup import Backup, Copy
from engine.model.definitions import LOCAL_HOST, Host, Source
from engine.model.manifest import DatabaseFacts, Manifest
from engine.model.names import nearest
from engine.model.requests import Limits
from engine.repository import dump as repository_dump
from engine.repository.dump import AHEAD_BYTES
from engine.repository.repository import Repository
from engine.scope import task_scope
from engine.sources import registry as sources
from engine.sources.base import (
    Database,
    DatabaseSource,
    LoadStream,
    OpenSource,
    PartedDatabase,
    Selection,
)

_MANIFEST_LIMIT_BYTES = 256 << 20
_decoder = msgspec.json.Decoder(Manifest)


@dataclass(frozen=True, slots=True)
class OpenCopy:
    """A backup as one storage holds it, open and locked for reading."""

    repository: Repository
    snapshot: Snapshot
    copy: Copy


@dataclass(frozen=True, slots=True)
class DatabaseBackup:
    """An open repository, the snapshot in it, and what the snapshot says of itself."""

    context: JobContext
    backup: Backup
    source: Source
    """That it was taken of."""
    repository: Repository
    snapshot: Snapshot
    manifest: Manifest
    storage: str = ""
    """That it is read from."""

    def chosen(self, names: Sequence[str]) -> list[DatabaseFacts]:
        """The databases of these names, or all. Raises: UnknownNameError."""
        known = {each.name: each for each in self.manifest.databases}
        for name in names:
            if name not in known:
                near = nearest(name, known)
                raise UnknownNameError(
                    f"backup {self.backup.backup_id} holds no database {name}",
                    hint=f"did you mean {near}?"
                    if near
                    else f"it holds {', '.join(sorted(known)) or 'none'}",
                )
        return [known[name] for name in dict.fromkeys(names)] if names else list(known.values())

    def place(self, path: str) -> bytes:
        """Of one of the backup's items in its snapshot."""
        return f"/{self.source.kind}/{self.source.name}/{path}".encode()

    @property
    def files(self) -> str:
        """What is restored of a server's own files: their folder; where there are increments, all folders together, by their names beside the manifest."""
        return "" if self.manifest.increments else self.manifest.folder

    @property
    def depth(self) -> int:
        """So many parts of the names in an archive of `files` are above what is in there."""
        return self.place(self.files).rstrip(b"/").count(b"/")

    async def read(
        self, path: str, write: Callable[[bytes], Awaitable[None]], ahead_bytes: int | None = None
    ) -> int:
        """Writes out one of the backup's items, every blob checked; a folder as a tar archive. Returns its length. Raises: DamagedError, PathMissingError."""
        place = self.place(path)
        return await repository_dump.dump(
            self.repository, self.snapshot, place, write, ahead_bytes=ahead_bytes
        )

    async def load(self, database: Database, facts: DatabaseFacts, name: str, selection: Selection) -> int:
        """Loads a dump into a fresh database of that name; returns its length. Raises: SourceError, HostError, DamagedError."""
        meter = _Meter(self.context, facts.name)
        if facts.parts:
            await self._load_parts(database, facts, name, selection, meter)
        else:
            async with database.load(name, selection) as stream:
                await self._load_one(stream, facts.path, meter)
        return meter.done_bytes

    async def _load_parts(
        self, database: Database, facts: DatabaseFacts, name: str, selection: Selection, meter: _Meter
    ) -> None:
        """The parts beside the main dump, as many at once as the server takes. What one of them raises ends all."""
        if not isinstance(database, PartedDatabase):
            raise UsageError(f"the dump of {facts.name} is in parts, which {self.source.kind} does not take")
        whole = await database.load_parts(name, selection)
        turn = asyncio.Semaphore(whole.most_parts)
        ahead_bytes = AHEAD_BYTES // (1 + min(whole.most_parts, len(facts.parts)))

        async def load(opening: AbstractAsyncContextManager[LoadStream], path: str) -> None:
            async with opening as stream:
                await self._load_one(stream, path, meter, ahead_bytes)

        async def load_part(path: str) -> None:
            async with turn:
                await load(whole.part(), path)

        async with task_scope() as tasks:
            tasks.create_task(load(whole.main(), facts.path))
            for path in facts.parts:
                tasks.create_task(load_part(path))
        for warning in await whole.finish():
            meter.warn(warning)

    async def _load_one(
        self, stream: LoadStream, path: str, meter: _Meter, ahead_bytes: int | None = None
    ) -> None:
        async def write(data: bytes) -> None:
            await stream.write(data)
            meter.add(len(data))

        await self.read(path, write, ahead_bytes)
        for warning in await stream.finish():
            meter.warn(warning)


@dataclass(slots=True)
class _Meter:
    """How much of a database was loaded."""

    context: JobContext
    database: str
    done_bytes: int = 0

    def add(self, size_bytes: int) -> None:
        """So much more."""
        self.done_bytes += size_bytes
        self.context.emit(Progress("restore", self.done_bytes, current=self.database))

    def warn(self, warning: str) -> None:
        """What the database's own tool wants known."""
        self.context.emit(Warned(f"{self.database}: {warning}"))


@asynccontextmanager
async def open_backup(
    context: JobContext, backup: Backup, storage: str, limits: Limits
) -> AsyncIterator[DatabaseBackup]:
    """Opens the first of the backup's storages that serves, and reads the manifest.

    Raises: UsageError where it is no backup of a database; StorageError, RepositoryError.
    """
    source = await context.catalog.sources.get(backup.source)
    async with AsyncExitStack() as stack:
        opened = await open_copy(context, backup, storage, limits, stack)
        manifest = await read_manifest(source, opened.repository, opened.snapshot)
        yield DatabaseBackup(
            context, backup, source, opened.repository, opened.snapshot, manifest, opened.copy.storage
        )


async def open_copy(
    context: JobContext, backup: Backup, storage: str, limits: Limits, stack: AsyncExitStack
) -> OpenCopy:
    """The first of the backup's storages that serves, or the one of that name; closed with the stack.

    Raises: UnknownSnapshotError where none has it; what the last one that was tried raised.
    """
    copies = [copy for copy in backup.copies if copy.snapshot_id and storage in ("", copy.storage)]
    last: HoldfastError = UnknownSnapshotError(
        f"no storage holds backup {backup.backup_id}", hint=f"holdfast show {backup.backup_id}"
    )
    for copy in copies:
        try:
            return await _open_one(context, copy, limits, stack)
        except HoldfastError as error:
            last = error
            context.emit(Warned(f"storage {copy.storage} cannot serve: {error.message}"))
    raise last


async def _open_one(context: JobContext, copy: Copy, limits: Limits, stack: AsyncExitStack) -> OpenCopy:
    storage = await context.catalog.storages.get(copy.storage)
    opened = await stack.enter_async_context(
        open_repositories(context, [storage], is_exclusive=False, limits=limits, is_reading=True)
    )
    repository = opened.opened[0].repository
    return OpenCopy(repository, await repository.load_snapshot(copy.snapshot_id), copy)


async def read_manifest(source: Source, repository: Repository, snapshot: Snapshot) -> Manifest:
    """What a snapshot of that source says of itself. Raises: PathMissingError where it holds no manifest; DamagedError."""
    pieces: list[bytes] = []
    size_bytes = 0

    async def write(data: bytes) -> None:
        nonlocal size_bytes
        size_bytes += len(data)
        if size_bytes > _MANIFEST_LIMIT_BYTES:
            raise DamagedError(f"the manifest of {source.name} is longer than any that is read")
        pieces.append(data)

    path = f"/{source.kind}/{source.name}/manifest.json"
    try:
        await repository_dump.dump(repository, snapshot, path.encode(), write)
        return _decoder.decode(b"".join(pieces))
    except msgspec.DecodeError as error:
        raise DamagedError(f"the manifest of {source.name} cannot be understood: {error}") from error


@asynccontextmanager
async def open_on_host(context: JobContext, source: Source) -> AsyncIterator[tuple[OpenSource, OpenHost]]:
    """The source, and the host that it is on. Raises: HostError, ConfigurationError, VaultError."""
    is_here = source.host == LOCAL_HOST
    definition = Host(LOCAL_HOST, "local") if is_here else await context.catalog.hosts.get(source.host)
    async with host_load.open_host(context, definition) as host:
        secrets = await sources.secrets_of(source, context.secrets)
        async with sources.open_source(source, host, secrets) as opened:
            yield opened, host


@asynccontextmanager
async def open_database_source(context: JobContext, source: Source) -> AsyncIterator[DatabaseSource]:
    """The source, on its host. Raises: UsageError where it is no database; HostError, ConfigurationError."""
    async with open_on_host(context, source) as (opened, _host):
        if not opened.traits.is_database:
            raise UsageError(
                f"{source.name} is of kind {source.kind}, which is no database server",
                hint="restore it into a directory with --to",
            )
        yield cast("DatabaseSource", opened)
