"""The one storage for all of opendal's services."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import hashlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import opendal

from engine import errors
from engine.storages.base import (
    Buffer,
    Key,
    Listed,
    Opening,
    Space,
    Traits,
    check_range,
    count_option,
    is_leftover,
    is_name,
)
from engine.storages.base import Kind as ObjectKind
from engine.storages.opendal import failures, room
from engine.storages.opendal.calls import STALL_S, Calls
from engine.storages.opendal.kinds import Kind, Told
from engine.storages.opendal.sharing import OpendalSharing

WHOLE_BYTES: Final = 4 << 20
"""What a read of a whole object is given time for, as nobody knows its size: large ones are read in ranges."""
CLEAN_UP_S: Final = 10
SHORTEST_SECRET: Final = 4
"""Letters: less is found in any word."""


def opener(kind: Kind) -> Callable[[Opening], AbstractAsyncContextManager[OpendalStorage]]:
    """What opens storages of that kind. Options: those of the kind, `prefix`, `append_only`, `connections`, `timeout` (seconds)."""

    @contextlib.asynccontextmanager
    async def open_storage(opening: Opening) -> AsyncIterator[OpendalStorage]:
        """Makes no call to the service. Raises: ConfigurationError."""
        hidden = [secret.reveal().decode(errors="replace").strip() for secret in opening.secrets.values()]
        yield OpendalStorage(kind, opening, [value for value in hidden if len(value) >= SHORTEST_SECRET])

    return open_storage


class OpendalStorage:
    """Objects at one of opendal's services. Has nothing to close: opendal keeps its connections for the whole process."""

    def __init__(self, kind: Kind, opening: Opening, hidden: Collection[str] = ()) -> None:
        """`hidden` are the texts that no message may hold. Raises: ConfigurationError."""
        told, connections = Told(opening), count_option(opening.options, "connections", kind.connections)
        stall_s = count_option(opening.options, "timeout", STALL_S) or STALL_S
        self._kind = kind
        self._prefix = told.prefix()
        self._arguments = kind.arguments(told)
        self._login = kind.login(told)
        self._room = kind.room(told)
        self._location = kind.location(told)
        self._clock = opening.clock
        self._calls = Calls(self._location, hidden, stall_s)
        self._operator, self._whole = self._made(self._arguments)
        sign = kind.signer(told)
        self._traits = Traits(
            connections=connections or kind.connections,
            append_only=opening.options.get("append_only") is True,
            restic=kind.restic(told),
            put_new=self._put_new if kind.has_conditions else None,
            sharing=None
            if sign is None
            else OpendalSharing(self._ready, self._calls, sign, kind.longest_link_s),
        )

    def _made(self, arguments: Mapping[str, str]) -> tuple[opendal.AsyncOperator, opendal.AsyncOperator]:
        """What makes the calls below the prefix, and the same without it. Raises: ConfigurationError."""
        try:
            return (
                opendal.AsyncOperator(self._kind.scheme, **arguments, root=f"/{self._prefix}"),
                opendal.AsyncOperator(self._kind.scheme, **arguments),
            )
        except failures.RAISED as error:
            what = f"the options of a storage of kind {self._kind.name}"
            raise failures.translated(self._calls.read(error), what) from None

    async def _ready(self) -> opendal.AsyncOperator:
        """What makes the calls below the prefix, logged in."""
        await self._log_in()
        return self._operator

    async def _log_in(self) -> None:
        """Sees to a token with some life left, where the kind logs in by itself."""
        if self._login is not None:
            token = await self._login()
            if token != self._arguments.get("token"):
                self._arguments = {**self._arguments, "token": token}
                self._operator, self._whole = self._made(self._arguments)

    @property
    def location(self) -> str:
        """As stock restic writes it behind `-r`, where it can open the place."""
        return self._location

    @property
    def traits(self) -> Traits:
        """What it can do."""
        return self._traits

    async def create(self) -> None:
        """Makes the folders, where there are folders; else looks whether the container or bucket is there and may be listed."""
        await self._log_in()
        if not self._kind.has_folders:
            await self._look()
            return
        parts = self._prefix.split("/") if self._prefix else []
        for depth in range(len(parts)):
            folder = "/".join(parts[: depth + 1]) + "/"
            await self._calls.call(self._whole.create_dir(folder), f"the folder {folder} could not be made")
        for kind in ObjectKind:
            if kind is not ObjectKind.CONFIG:
                folder = f"{kind.value}/"
                await self._calls.call(
                    self._operator.create_dir(folder),
                    f"the folder {self._calls.named(folder)} could not be made",
                )

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Writes the object in one call, or beside its name and renamed; then asks for its size, and compares the checksum where the service has one."""
        await self._log_in()
        path = key.path()
        content = b"".join(parts)
        if not content and not self._kind.holds_empty:
            raise errors.StorageError(
                f"{self._calls.named(path)} could not be written: {self._kind.name} keeps no empty file"
            )
        if self._kind.is_put_atomic:
            await self._write(path, content)
            return
        temporary = f"{path}-tmp-{secrets.token_hex(8)}"
        try:
            try:
                await self._write(temporary, content)
            except errors.StorageError as error:
                # Services say in different ways that the folder is missing; another writer may make it at this moment.
                if error.retryable or isinstance(error, errors.StorageDeniedError | errors.StorageFullError):
                    raise
                await self._make_folder(path)
                await self._write(temporary, content)
            await self._calls.call(
                self._operator.rename(temporary, path), f"{self._calls.named(path)} could not be written"
            )
        except BaseException:
            await asyncio.shield(self._drop(temporary))
            raise

    async def _put_new(self, key: Key, parts: Sequence[Buffer]) -> None:
        """See `base.Traits.put_new`."""
        await self._log_in()
        await self._write(key.path(), b"".join(parts), is_new=True)

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Reads the range in one call; asks for the size first where no length was given behind an offset."""
        await self._log_in()
        path = key.path()
        if offset < 0 or (length is not None and length < 0):
            check_range(key, 0, offset, length)
        if length == 0 or (length is None and offset > 0):
            length = check_range(key, await self.size(key), offset, length)
            if length == 0:
                return b""
        what = f"{self._calls.named(path)} could not be read"
        try:
            async with self._calls.limit(WHOLE_BYTES if length is None else length, what):
                if length is None:
                    return await self._operator.read(path)
                found = await self._operator.read(path, offset=offset, size=length)
        except failures.RAISED as error:
            failure = self._calls.read(error)
            if length and failure.is_behind_the_end:
                check_range(key, await self.size(key), offset, length)
            raise failures.translated(failure, what) from None
        if len(found) != length:
            if len(found) < length:
                check_range(key, offset + len(found), offset, length)
            raise errors.StorageError(
                f"{what}: {len(found)} bytes came where {length} were asked for",
                hint="the service must be able to give a part of an object (HTTP ranges)",
            )
        return found

    async def size(self, key: Key) -> int:
        """Asks for the object's properties."""
        await self._log_in()
        path = key.path()
        found = await self._calls.call(
            self._operator.stat(path), f"{self._calls.named(path)} could not be looked at"
        )
        return found.content_length

    async def list(self, kind: ObjectKind) -> AsyncGenerator[Listed, None]:
        """Pages through the folder, with all folders in it; an object without a size in the listing is looked at by itself."""
        await self._log_in()
        if kind is ObjectKind.CONFIG:
            with contextlib.suppress(errors.ObjectMissingError):
                yield Listed(Key(kind), await self.size(Key(kind)))
                return
            await self._look()
            return
        given = 0
        async with contextlib.aclosing(self._calls.walk(self._operator, f"{kind.value}/")) as entries:
            async for entry in entries:
                key = Key(kind, entry.name)
                # Dropbox's lister gives bare names.
                if not is_name(entry.name) or entry.path not in (key.path(), entry.name):
                    continue
                given += 1
                size_bytes = entry.metadata.content_length
                if size_bytes > 0:
                    yield Listed(key, size_bytes)
                    continue
                with contextlib.suppress(errors.ObjectMissingError):
                    yield Listed(key, await self.size(key))
        if not given:
            await self._look()

    async def delete(self, key: Key) -> None:
        """Removes the object. B2 hides it, Drive, Dropbox and OneDrive keep it in their trash: how long is the service's own rule."""
        await self._log_in()
        path = key.path()
        if self._traits.append_only and key.kind is not ObjectKind.LOCK:
            raise errors.StorageReadOnlyError(
                f"{path} at {self._location} is not deleted: the storage is append-only",
                hint="forget and prune it from where it is defined without --append-only",
            )
        with contextlib.suppress(errors.ObjectMissingError):
            await self._calls.call(
                self._operator.delete(path), f"{self._calls.named(path)} could not be removed"
            )

    async def space(self) -> Space:
        """What the service tells, where it does (room.py)."""
        return room.UNKNOWN if self._room is None else await self._room()

    async def clean(self, older_than_s: float) -> int:
        """Removes what an interrupted writer left beside an object's name; a service whose objects appear whole has no such thing."""
        await self._log_in()
        if self._kind.is_put_atomic:
            return 0
        before = self._clock.now() - datetime.timedelta(seconds=older_than_s)
        found = []
        async with contextlib.aclosing(self._calls.walk(self._operator, "/")) as entries:
            async for entry in entries:
                changed = entry.metadata.last_modified
                if is_leftover(entry.name) and changed is not None and changed < before:
                    found.append(entry.path)
        if not found:
            await self._look()
        for path in found:
            await self._calls.call(
                self._operator.delete(path), f"{self._calls.named(path)} could not be removed"
            )
        return len(found)

    async def _write(self, path: str, content: bytes, *, is_new: bool = False) -> None:
        what = f"{self._calls.named(path)} could not be written"
        writing = self._operator.write(path, content, if_not_exists=is_new or None)
        await self._calls.call(writing, what, len(content))
        try:
            stored = await self._calls.call(self._operator.stat(path), what)
        except errors.StorageDeniedError:
            # Who may write but not read is told so by the first read.
            return
        if stored.content_length != len(content):
            raise errors.StorageUnreachableError(
                f"{what}: {stored.content_length} bytes are there where {len(content)} were sent",
                hint="something on the way cuts uploads short",
            )
        if stored.content_md5 and stored.content_md5 not in await asyncio.to_thread(_checksums, content):
            raise errors.StorageUnreachableError(
                f"{what}: the service received other bytes than were sent",
                hint="something on the way changes uploads",
            )

    async def _make_folder(self, path: str) -> None:
        """Makes the folder of an object where it is missing. Never the root: a disk that is not mounted must not be written beside."""
        folder = path.rpartition("/")[0] + "/"
        await self._look()
        await self._calls.call(
            self._operator.create_dir(folder), f"the folder {self._calls.named(folder)} could not be made"
        )

    async def _drop(self, path: str) -> None:
        """Takes away what was written of a file that is not wanted; gives up soon, for `clean` comes by later."""
        with contextlib.suppress(TimeoutError, *failures.RAISED):
            async with asyncio.timeout(CLEAN_UP_S):
                await self._operator.delete(path)

    async def _look(self) -> None:
        """Sees that the place is there. Raises: StorageError where it is not."""
        what = f"{self._location} could not be looked at"
        is_there = True
        if self._kind.has_folders and self._prefix:
            # opendal says of the root that it is there, without a look.
            try:
                await self._calls.call(self._whole.stat(f"{self._prefix}/"), what)
            except errors.ObjectMissingError:
                is_there = False
        else:
            entries = aiter(await self._calls.call(self._operator.list("/", limit=1), what))
            first = await self._calls.step(entries, what)
            is_there = first is not None or not self._kind.lists_itself
        if not is_there:
            raise errors.StorageError(
                f"{what}: it is not there", hint="was the folder moved, or its disk not mounted?"
            )


def _checksums(content: bytes) -> tuple[str, str]:
    """MD5 as services write it: in hex, and in base64."""
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    return digest.hex(), base64.b64encode(digest).decode()
