"""Objects as files below a directory of a host, over SFTP."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import secrets
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import cast

import asyncssh

from engine import errors
from engine.clock import Clock
from engine.hosts.ssh.connect import Connector
from engine.storages.base import (
    Buffer,
    Key,
    Kind,
    Listed,
    Opening,
    Space,
    Traits,
    check_range,
    count_option,
    is_leftover,
    is_name,
    text_option,
)
from engine.storages.sftp import failures, folders, way
from engine.storages.sftp.channels import Channels
from engine.storages.turns import Turns

CONNECTIONS = 5
"""SFTP sessions at once: the server reads, writes and syncs for one call after the other in each of them; OpenSSH allows 10 a connection."""
ANSWER_TIMEOUT_S = 120.0
SLOWEST_BYTES_S = 16 << 10
"""A call may take the timeout, and as long again as its bytes take at this speed."""
DISCARD_TIMEOUT_S = 5.0
RENAME_TRIES = 20
FULL_BYTES = 1 << 20
"""With less than that free, a write that failed is taken to have failed for want of room."""
READ_ONLY_FILE_SYSTEM = 1
"""SSH_FXE_STATVFS_ST_RDONLY (OpenSSH PROTOCOL, statvfs@openssh.com)"""


@contextlib.asynccontextmanager
async def open_sftp(opening: Opening) -> AsyncIterator[SftpStorage]:
    """Options: `host` (known to the catalog), `path` (from the root, or below the folder that a login leads to), `connections`.

    Connects; opens whether the directory is there or not: `create` makes it. Raises: ConfigurationError, StorageError.
    """
    path = text_option(opening.options, "path")
    text_option(opening.options, "host")
    if opening.reach is None or opening.reach.host.kind != "ssh":
        raise errors.ConfigurationError(
            "a storage of kind sftp lies on a host that is reached over SSH",
            hint="name one that `holdfast host add` made known with --host",
        )
    host = opening.reach.host
    connector = Connector(host, opening.reach.resolve_secret, os.environ)
    most = count_option(opening.options, "connections", CONNECTIONS) or CONNECTIONS
    location = way.location(host, path)
    channels = Channels(connector, host.name, most)
    try:
        async with channels.lease() as client:
            can_replace = await _can_replace(client, path)
        traits = Traits(
            connections=most,
            atomic_replace=can_replace,
            restic=way.stock_restic(host, connector.shown_key),
            recover_first=(way.host_add(host, connector.shown_key),),
        )
        yield SftpStorage(Place(host.name, path, location), channels, traits, opening.clock)
    finally:
        await channels.close()


async def _can_replace(client: asyncssh.SFTPClient, path: str) -> bool:
    """Whether the server renames over a file that is there: asked with names of which there are none."""
    nothing = path.encode(errors="surrogateescape") + b"/" + secrets.token_hex(16).encode()
    try:
        await client.posix_rename(nothing, nothing + b"-")
    except failures.MISSING:
        return True
    except asyncssh.SFTPError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Place:
    """Where the objects lie."""

    host: str
    """Its name in the catalog, for messages."""
    path: str
    location: str


class SftpStorage:
    """Objects below a path; whoever makes one closes the channels."""

    def __init__(self, place: Place, channels: Channels, traits: Traits, clock: Clock) -> None:
        self._root = place.path.encode(errors="surrogateescape").rstrip(b"/") or b"/"
        self._host = place.host
        self._location = place.location
        self._channels = channels
        self._traits = traits
        self._clock = clock
        self._can_sync = True
        self._can_sync_folders = True
        self._is_group_readable: bool | None = None
        self._turns = Turns()

    @property
    def location(self) -> str:
        """As stock restic's `-r` takes it."""
        return self._location

    @property
    def traits(self) -> Traits:
        """What it can do."""
        return self._traits

    async def create(self) -> None:
        """Makes the directory, its parents, and all folders with the 256 of the packs."""
        async with self._call("the folders could not be made") as client:
            await folders.make_all(client, self._root)

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Writes to a temporary name beside the final one, syncs where the server can, looks at the size, renames."""
        path = self._path(key)
        stored = parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else b"".join(parts)
        temporary = path + b"-restic-temp-" + secrets.token_hex(16).encode()
        failure = f"{key.path()} could not be written"
        async with self._call(failure, len(stored)) as client:
            try:
                try:
                    await self._write(client, temporary, stored)
                    await self._rename(client, temporary, key)
                except asyncssh.SFTPFailure as error:
                    # Asked before the removal, which makes room again.
                    raise await self._explained(client, error, failure) from error
            except BaseException:
                # Also when cancelled: the server answers in order, so that nothing of this call is done behind the removal.
                with contextlib.suppress(*failures.CAUGHT):
                    async with asyncio.timeout(DISCARD_TIMEOUT_S):
                        await client.remove(temporary)
                raise
            await self._sync_folder(client, path)

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Reads the range, its blocks asked for ahead of their turn."""
        path = self._path(key)
        check_range(key, 1 << 63, offset, length)
        async with (
            self._call(f"{key.path()} could not be read", length or 0, key) as client,
            _opened(client, path, asyncssh.FXF_READ) as file,
        ):
            if length:
                found = cast("bytes", await file.read(length, offset))
                if len(found) == length:
                    return found
            size = _size(await file.stat(), key)
            wanted = check_range(key, size, offset, length)
            found = cast("bytes", await file.read(wanted, offset)) if wanted else b""
            if len(found) < wanted:
                check_range(key, offset + len(found), offset, wanted)
            if len(found) > wanted:
                raise errors.StorageError(f"{self._host} gave more of {key.path()} than was asked for")
            return found

    async def size(self, key: Key) -> int:
        """The file's size."""
        path = self._path(key)
        async with self._call(f"{key.path()} could not be looked at", 0, key) as client:
            return _size(await client.stat(path), key)

    async def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """Reads some folders at a time, and holds no session while the caller does something else."""
        failure = "the objects could not be listed"
        if kind is Kind.CONFIG:
            async with self._call(failure) as client:
                await client.stat(self._root)
                size = await folders.size_of_file(client, self._path(Key(kind)))
            if size is not None:
                yield Listed(Key(kind), size)
            return
        async with self._call(failure) as client:
            await client.stat(self._root)
            waiting = await folders.of_kind(client, self._root, kind)
        for begin in range(0, len(waiting), folders.AT_ONCE):
            step = waiting[begin : begin + folders.AT_ONCE]
            async with self._call(failure) as client:
                found = await folders.read(client, step, is_name)
            for folder, name, size in found:
                if kind is not Kind.PACK or name[:2] == folder[-2:].decode():
                    yield Listed(Key(kind, name), size)

    async def delete(self, key: Key) -> None:
        """Removes the file; syncs the folder where the contract wants it."""
        path = self._path(key)
        async with self._call(f"{key.path()} could not be removed") as client:
            with contextlib.suppress(*failures.MISSING):
                await client.remove(path)
            if key.kind not in (Kind.PACK, Kind.LOCK):
                await self._sync_folder(client, path)

    async def space(self) -> Space:
        """What statvfs says, for an account without privileges; not known where the server has no such call."""
        async with self._call("the room could not be looked at") as client:
            try:
                found = await client.statvfs(self._root)
            except asyncssh.SFTPOpUnsupported:
                return Space(None, None)
        return Space(free_bytes=found.bavail * found.frsize, total_bytes=found.blocks * found.frsize)

    async def clean(self, older_than_s: float) -> int:
        """Removes files with a temporary name that were last changed longer ago than that: the host's clock against ours."""
        before = (self._clock.now() - datetime.timedelta(seconds=older_than_s)).timestamp()
        async with self._call("leftovers could not be removed") as client:
            await client.stat(self._root)
            return await folders.remove_older(client, self._root, is_leftover, before)

    @contextlib.asynccontextmanager
    async def _call(
        self, failure: str, count_bytes: int = 0, key: Key | None = None
    ) -> AsyncIterator[asyncssh.SFTPClient]:
        """A session for one call about the object `key`, whose errors become those of a storage."""
        try:
            async with (
                self._channels.lease() as client,
                asyncio.timeout(ANSWER_TIMEOUT_S + count_bytes / SLOWEST_BYTES_S),
            ):
                try:
                    yield client
                except failures.MISSING as error:
                    if key is None:
                        raise
                    raise errors.ObjectMissingError(
                        f"{key.path()} is not there on {self._host}",
                        hint="is the disk of the host mounted? else run verify to see which backups need it",
                    ) from error
                except asyncssh.SFTPFailure as error:
                    raise await self._explained(client, error, failure) from error
        except failures.CAUGHT as error:
            raise failures.translated(error, self._on_host(failure)) from error

    def _on_host(self, failure: str) -> str:
        return f"{failure} on {self._host}"

    async def _explained(
        self, client: asyncssh.SFTPClient, error: asyncssh.SFTPFailure, failure: str
    ) -> errors.StorageError:
        """What a bare "failure" most likely is: version 3 of SFTP has no word for a full disk or one that is read-only."""
        failure = self._on_host(failure)
        try:
            found = await client.statvfs(self._root)
        except asyncssh.SFTPError:
            return failures.translated(error, failure)
        if found.flags & READ_ONLY_FILE_SYSTEM:
            return errors.StorageReadOnlyError(
                f"{failure}: its file system is read-only", hint="mount it writable on the host"
            )
        if found.bavail * found.frsize < FULL_BYTES or found.ffree == 0 < found.files:
            return errors.StorageFullError(
                f"{failure}: no space is left",
                hint="free some room there, or run forget and prune; what is stored is safe",
            )
        return failures.translated(error, failure)

    def _path(self, key: Key) -> bytes:
        return folders.join(self._root, key.path().encode())

    async def _write(self, client: asyncssh.SFTPClient, path: bytes, stored: bytes) -> None:
        """A new file of these bytes, durable where the server can tell its disk so."""
        try:
            await self._write_new(client, path, stored)
        except failures.MISSING:
            # The folder was not there; the directory itself must be: nothing is ever written beside a disk that is missing.
            await client.stat(self._root)
            await folders.make_between(client, self._root, path)
            await self._write_new(client, path, stored)

    async def _write_new(self, client: asyncssh.SFTPClient, path: bytes, stored: bytes) -> None:
        flags = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_EXCL
        async with _opened(client, path, flags, asyncssh.SFTPAttrs(permissions=0o600)) as file:
            if await self._shares_with_group(client):
                await file.chmod(0o660)
            # Opened without an encoding, so bytes go, whatever asyncssh's type says.
            await file.write(cast("str", stored), 0)
            if self._can_sync:
                try:
                    await file.fsync()
                except (asyncssh.SFTPOpUnsupported, asyncssh.SFTPPermissionDenied):
                    self._can_sync = self._can_sync_folders = False
            found = (await file.stat()).size
        if found != len(stored):
            raise errors.StorageError(
                f"{self._host} has {found} bytes where {len(stored)} were written",
                hint="its disk may be failing; what was being written is not visible",
            )

    async def _rename(self, client: asyncssh.SFTPClient, old: bytes, key: Key) -> None:
        """Gives the file its name, in place of what has it. Where the server knows no such renaming, there is a moment with neither."""
        new = self._path(key)
        if self._traits.atomic_replace:
            await client.posix_rename(old, new)
            return
        async with self._turns.of(key):
            for tried in range(RENAME_TRIES):
                try:
                    await client.rename(old, new)
                except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
                    # Other processes may write the same object at the same time: one is first again, or just removes what was in the way.
                    if tried == RENAME_TRIES - 1:
                        raise
                    with contextlib.suppress(*failures.MISSING):
                        await client.remove(new)
                else:
                    return

    async def _sync_folder(self, client: asyncssh.SFTPClient, path: bytes) -> None:
        """Makes the names in the file's folder durable. OpenSSH on Linux opens a folder as it does a file; others refuse, and then nothing is done."""
        if not self._can_sync_folders:
            return
        try:
            async with _opened(client, path.rpartition(b"/")[0] or b"/", asyncssh.FXF_READ) as folder:
                await folder.fsync()
        except (asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost):
            raise
        except asyncssh.SFTPError:
            self._can_sync_folders = False

    async def _shares_with_group(self, client: asyncssh.SFTPClient) -> bool:
        """Whether the config is readable by its group: then all else is too (restic internal/backend/util, DeriveModesFromFileInfo)."""
        if self._is_group_readable is None:
            try:
                mode = (await client.stat(self._path(Key(Kind.CONFIG)))).permissions or 0
            except failures.MISSING:
                return False
            self._is_group_readable = bool(mode & stat.S_IRGRP)
        return self._is_group_readable


@contextlib.asynccontextmanager
async def _opened(
    client: asyncssh.SFTPClient, path: bytes, flags: int, attributes: asyncssh.SFTPAttrs | None = None
) -> AsyncIterator[asyncssh.SFTPClientFile]:
    """An open file; closing it must succeed, unless something else went wrong before."""
    file = await client.open(path, flags, attributes or asyncssh.SFTPAttrs(), encoding=None)
    try:
        yield file
    except BaseException:
        with contextlib.suppress(*failures.CAUGHT):
            async with asyncio.timeout(DISCARD_TIMEOUT_S):
                await file.close()
        raise
    await file.close()


def _size(attributes: asyncssh.SFTPAttrs, key: Key) -> int:
    """Raises: StorageError where the server does not tell it, or calls something a file that is none."""
    if attributes.size is None or folders.is_other(attributes):
        raise errors.StorageError(f"{key.path()} is no file, or of no known size")
    return attributes.size
