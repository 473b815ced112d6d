"""Objects as files below a directory of an FTP server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import secrets
import shlex
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aioftp

from engine import errors
from engine.clock import Clock
from engine.scope import task_scope
from engine.storages.base import (
    PACK_FOLDER,
    Buffer,
    Key,
    Kind,
    Listed,
    Opening,
    Space,
    StockRestic,
    Traits,
    check_range,
    count_bytes,
    count_option,
    is_leftover,
    is_name,
    text_option,
)
from engine.storages.ftp import failures, files
from engine.storages.ftp.client import Client
from engine.storages.ftp.connections import ANSWER_TIMEOUT_S, Connections, Server
from engine.storages.ftp.listing import Entry

CONNECTIONS = 4
DEFAULT_PORT = 21
DISCARD_TIMEOUT_S = 5.0
FOLDERS_AT_ONCE = 8


@contextlib.asynccontextmanager
async def open_ftp(opening: Opening) -> AsyncIterator[FtpStorage]:
    """Options: `address` (HOST[:PORT]), `path` (from the root, or below the folder that a login leads to), `user`, `secret` (REF),
    `ca_file`, `plain` (without TLS), `timeout` (seconds without a byte moving), `connections`.

    Logs in; opens whether the directory is there or not: `create` makes it. Raises: ConfigurationError, StorageError.
    """
    path = text_option(opening.options, "path")
    server = await _server(opening)
    most = count_option(opening.options, "connections", CONNECTIONS) or CONNECTIONS
    connections = Connections(server, most)
    try:
        async with connections.lease() as client:
            try:
                root = path if path.startswith("/") else f"{await files.working_folder(client)}/{path}"
                has_mlsd = await files.knows_mlsd(client)
            except failures.CAUGHT as error:
                raise failures.translated(error, f"{server.host} could not be looked at") from error
        name = f"[{server.host}]" if ":" in server.host else server.host
        location = f"ftp://{server.user}@{name}:{server.port}/{path}"
        traits = Traits(connections=most, atomic_replace=False, restic=_restic(server, path))
        place = Place(server.host, root.rstrip("/") or "/", location, has_mlsd)
        yield FtpStorage(place, connections, traits, opening.clock)
    finally:
        await connections.close()


async def _server(opening: Opening) -> Server:
    """Raises: ConfigurationError."""
    address = text_option(opening.options, "address")
    try:
        found = urlsplit(f"//{address}")
        host, port = found.hostname, found.port or DEFAULT_PORT
    except ValueError:
        host, port = None, 0
    if not host or found.username is not None or found.path or found.query:
        raise errors.ConfigurationError(
            f"{address!r} is no address of an FTP server", hint="write --address HOST[:PORT] --user NAME"
        )
    secret = opening.secrets.get("secret")
    password = "" if secret is None else secret.reveal().decode(errors="surrogateescape")
    user = str(opening.options.get("user") or "anonymous")
    if any(letter in "\r\n" for letter in user + password + text_option(opening.options, "path")):
        raise errors.ConfigurationError("the user, its password or the path holds a line break")
    timeout_s = float(count_option(opening.options, "timeout") or ANSWER_TIMEOUT_S)
    return Server(host, port, user, password, await _trust(opening), timeout_s)


async def _trust(opening: Opening) -> ssl.SSLContext | None:
    """The authorities that are trusted: those of the system, or of the file alone; None for plain FTP. Raises: ConfigurationError."""
    if opening.options.get("plain"):
        return None
    path = opening.options.get("ca_file")
    if path is None:
        return await asyncio.to_thread(ssl.create_default_context)
    try:
        return await asyncio.to_thread(ssl.create_default_context, cafile=Path(str(path)))
    except (OSError, ssl.SSLError) as error:
        raise errors.ConfigurationError(f"the CA file {path} cannot be read: {error}") from error


def _restic(server: Server, path: str) -> StockRestic:
    tls = "" if server.trust is None else " explicit_tls=true"
    return StockRestic(
        can_open=False,
        note="restic itself speaks no FTP, but opens it through rclone, which reads the login's password from its input: after\n\n"
        f"  rclone config create far ftp host={server.host} port={server.port} user={shlex.quote(server.user)}{tls} "
        'pass="$(rclone obscure -)" --no-obscure\n\n'
        f"it is `restic -r rclone:{shlex.quote(f'far:{path}')}`.",
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where the objects lie, and how it is listed."""

    host: str
    root: str
    """Absolute."""
    location: str
    has_mlsd: bool


class FtpStorage:
    """See `base.OpenStorage`. Whoever makes one closes the connections."""

    def __init__(self, place: Place, connections: Connections, traits: Traits, clock: Clock) -> None:
        self._place = place
        self._connections = connections
        self._traits = traits
        self._clock = clock

    @property
    def location(self) -> str:
        """A URL without the password."""
        return self._place.location

    @property
    def traits(self) -> Traits:
        """What it can do."""
        return self._traits

    async def create(self) -> None:
        """Makes the directory, its parents, and the folders; those of the packs come with the first pack in each."""
        root = self._place.root
        async with self._call("the folders could not be made") as client:
            parents = [root[:place] for place in range(1, len(root)) if root[place] == "/"]
            for folder in (*parents, root):
                if not await files.is_folder(client, folder):
                    await files.make(client, folder)
            for kind in Kind:
                if kind is not Kind.CONFIG:
                    await files.make(client, self._below(kind.value))

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Writes to a temporary name beside the final one, asks for the size, renames."""
        path = self._path(key)
        temporary = f"{path}-tmp-{secrets.token_hex(16)}"
        try:
            async with self._call(f"{key.path()} could not be written") as client:
                await self._store(client, temporary, parts)
                if (found := await files.size(client, temporary)) != count_bytes(parts):
                    raise errors.StorageUnreachableError(
                        f"{self._place.host} has {found} bytes of {key.path()} where {count_bytes(parts)} were sent"
                    )
                await files.rename(client, temporary, path)
        except BaseException:
            # Also when cancelled; on another connection, because this one may be in the middle of an answer.
            with contextlib.suppress(errors.StorageError, *failures.CAUGHT):
                async with asyncio.timeout(DISCARD_TIMEOUT_S), self._connections.lease() as client:
                    await files.remove(client, temporary)
            raise

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Reads from the offset, and breaks off when it has enough."""
        path = self._path(key)
        check_range(key, 1 << 63, offset, length)
        async with self._call(f"{key.path()} could not be read") as client:
            found = b""
            try:
                if length != 0:
                    found = await files.retrieve(client, path, offset, length)
            except aioftp.StatusCodeError as error:
                if not failures.is_in_order(error) or (available := await files.size(client, path)) is None:
                    raise await self._refused(client, key, error) from error
                # Some refuse an offset behind the end.
                check_range(key, available, offset, length)
                if failures.is_refusal(error):
                    raise self._forbidden(key) from error
                raise
            if found and len(found) == length:
                return found
            if (available := await files.size(client, path)) is None:
                raise await self._refused(client, key, None)
            if check_range(key, available, offset, length) > len(found):
                raise errors.StorageUnreachableError(
                    f"{self._place.host} broke off {key.path()} after {len(found)} bytes"
                )
            return found

    async def size(self, key: Key) -> int:
        """The file's size."""
        path = self._path(key)
        async with self._call(f"{key.path()} could not be looked at") as client:
            found = await files.size(client, path)
            if found is None:
                raise await self._refused(client, key, None)
            return found

    async def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """Reads some folders at a time, and holds no connection while the caller does something else."""
        failure = "the objects could not be listed"
        async with self._call(failure) as client:
            await self._require_root(client)
            if kind is Kind.CONFIG:
                size = await files.size(client, self._path(Key(kind)))
                waiting: Sequence[str] = ()
            else:
                waiting = await self._folders(client, kind)
        if kind is Kind.CONFIG and size is not None:
            yield Listed(Key(kind), size)
        for begin in range(0, len(waiting), FOLDERS_AT_ONCE):
            found: list[tuple[str, str, int]] = []

            async def read(folder: str, found: list[tuple[str, str, int]] = found) -> None:
                async with self._call(failure) as client:
                    found += await self._objects(client, folder)

            await self._of_each(waiting[begin : begin + FOLDERS_AT_ONCE], read)
            for folder, name, size_bytes in found:
                if kind is not Kind.PACK or name[:2] == folder[-2:]:
                    yield Listed(Key(kind, name), size_bytes)

    async def delete(self, key: Key) -> None:
        """Removes the file."""
        path = self._path(key)
        async with self._call(f"{key.path()} could not be removed") as client:
            await files.remove(client, path)

    async def space(self) -> Space:
        """FTP has no word for it."""
        return Space(None, None)

    async def clean(self, older_than_s: float) -> int:
        """Removes files with a temporary name that were last changed longer ago than that: the server's clock against ours."""
        before = (self._clock.now() - datetime.timedelta(seconds=older_than_s)).timestamp()
        removed: list[str] = []
        failure = "leftovers could not be removed"
        async with self._call(failure) as client:
            await self._require_root(client)
            folders = [self._place.root]
            for kind in Kind:
                folders += await self._folders(client, kind) if kind is not Kind.CONFIG else ()

        async def clean(folder: str) -> None:
            async with self._call(failure) as client:
                for entry in await self._entries(client, folder, is_leftover):
                    path = f"{folder.rstrip('/')}/{entry.name}"
                    changed = await files.changed(client, path) if entry.is_file else None
                    if changed is not None and changed < before:
                        await files.remove(client, path)
                        removed.append(path)

        await self._of_each(folders, clean)
        return len(removed)

    @contextlib.asynccontextmanager
    async def _call(self, failure: str) -> AsyncIterator[Client]:
        """A connection for one call, whose errors become those of a storage."""
        try:
            async with self._connections.lease() as client:
                yield client
        except failures.CAUGHT as error:
            raise failures.translated(error, f"{failure} on {self._place.host}") from error

    async def _of_each(
        self, folders: Sequence[str], call: Callable[[str], Coroutine[None, None, None]]
    ) -> None:
        """Some of them at a time."""
        for begin in range(0, len(folders), FOLDERS_AT_ONCE):
            async with task_scope() as group:
                for folder in folders[begin : begin + FOLDERS_AT_ONCE]:
                    group.create_task(call(folder))

    async def _store(self, client: Client, path: str, parts: Sequence[Buffer]) -> None:
        """Sends it; makes a folder that is missing, but never the root: nothing is ever written beside a disk that is missing."""
        try:
            await files.store(client, path, parts)
        except aioftp.StatusCodeError as error:
            folder = path.rpartition("/")[0]
            if not failures.is_refusal(error) or await files.is_folder(client, folder):
                raise
            await self._require_root(client)
            await files.make(client, folder)
            await files.store(client, path, parts)

    async def _require_root(self, client: Client) -> None:
        if not await files.is_folder(client, self._place.root):
            raise errors.StorageError(
                f"the directory {self._place.root} is not there on {self._place.host}",
                hint="is its disk mounted, and the path right?",
            )

    async def _folders(self, client: Client, kind: Kind) -> Sequence[str]:
        """The folders that hold objects of that kind, those of the packs as found on the server."""
        folder = self._below(kind.value)
        if kind is not Kind.PACK:
            return [folder]
        found = await self._entries(client, folder, lambda name: PACK_FOLDER.fullmatch(name) is not None)
        return [f"{folder}/{each.name}" for each in found]

    async def _objects(self, client: Client, folder: str) -> Sequence[tuple[str, str, int]]:
        """Folder, name and size of the objects in it."""
        found = []
        for entry in await self._entries(client, folder, is_name):
            size = entry.size_bytes if entry.is_file else None
            if size is None and entry.is_file:
                size = await files.size(client, f"{folder}/{entry.name}")
            if size is not None:
                found.append((folder, entry.name, size))
        return found

    async def _entries(
        self, client: Client, folder: str, is_wanted: Callable[[str], bool]
    ) -> Sequence[Entry]:
        """None where the folder is missing."""
        return await files.entries(client, folder, is_wanted, has_mlsd=self._place.has_mlsd) or ()

    async def _refused(self, client: Client, key: Key, error: aioftp.StatusCodeError | None) -> Exception:
        """Whether an object that the server does not give is missing or forbidden: for FTP it is the same, so its folder is looked at."""
        if error is not None and not failures.is_refusal(error):
            return error
        folder, _, name = self._path(key).rpartition("/")
        if any(True for _ in await self._entries(client, folder, lambda each: each == name)):
            return self._forbidden(key)
        return errors.ObjectMissingError(
            f"{key.path()} is not there on {self._place.host}",
            hint="is its disk mounted? else run verify to see which backups need it",
        )

    def _forbidden(self, key: Key) -> errors.StorageDeniedError:
        return errors.StorageDeniedError(
            f"{key.path()} is there on {self._place.host}, but could not be read",
            hint="give the account that logs in the right to read it",
        )

    def _path(self, key: Key) -> str:
        return self._below(key.path())

    def _below(self, name: str) -> str:
        return f"{self._place.root.rstrip('/')}/{name}"
