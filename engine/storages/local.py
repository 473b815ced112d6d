"""A directory of this machine, laid out, written and protected as stock restic's local backend does (internal/backend/local).

The calls that block run in the storage's own threads; each async method waits for its thread to be over, cancelled or not, so that no
write goes on behind the caller's back.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import errno
import itertools
import os
import secrets
import stat
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from engine import errors
from engine.clock import Clock
from engine.storages.base import (
    PACK_FOLDER,
    Buffer,
    Key,
    Kind,
    Listed,
    Opening,
    Space,
    Traits,
    check_range,
    count_bytes,
    count_option,
    is_leftover,
    is_name,
    text_option,
)

Result = TypeVar("Result")

CONNECTIONS = 4
"""Calls at once; restic's local backend has 2, but ours also overlap an fsync with reads."""
PARTS_PER_WRITE = 1024
"""IOV_MAX of Linux: how many buffers one writev takes."""
BYTES_PER_READ = 1 << 30
"""Linux reads at most 2 GiB less a page in one call."""
NAMES_PER_STEP = 1000
"""Directory entries that one step of a listing holds in memory."""

_ERRORS: dict[int, tuple[type[errors.StorageError], str]] = {
    errno.ENOSPC: (
        errors.StorageFullError,
        "free some room, or run forget and prune; what is stored is safe",
    ),
    errno.EDQUOT: (
        errors.StorageFullError,
        "raise the quota, or run forget and prune; what is stored is safe",
    ),
    errno.ENOTDIR: (
        errors.StorageError,
        "a storage lies in a directory of its own: name another path",
    ),
    errno.EROFS: (
        errors.StorageReadOnlyError,
        "mount it writable; the kernel turns a failing disk read-only, so look at dmesg first",
    ),
    errno.EACCES: (
        errors.StorageDeniedError,
        "give the account that runs this the right to read and write there",
    ),
    errno.EPERM: (
        errors.StorageDeniedError,
        "give the account that runs this the right to read and write there, or lift the immutable flag",
    ),
    errno.ENOENT: (
        errors.StorageError,
        "is the disk mounted? nothing is ever written beside a disk that is missing",
    ),
    errno.EIO: (
        errors.StorageError,
        "the disk may be failing: look at dmesg and smartctl; what was being written is not visible",
    ),
} | dict.fromkeys(
    (
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ECONNRESET,
        errno.ENOTCONN,
    ),
    (errors.StorageUnreachableError, "it lies on a network mount whose server does not answer"),
)


@contextlib.asynccontextmanager
async def open_local(opening: Opening) -> AsyncIterator[LocalStorage]:
    """Options: `path` (absolute), `connections`. Opens whether the directory is there or not: `create` makes it."""
    path = Path(text_option(opening.options, "path"))
    if not path.is_absolute():
        raise errors.ConfigurationError(
            f"the storage's path {path} is not absolute", hint="give the path from the root: /srv/backup"
        )
    storage = LocalStorage(
        path, opening.clock, count_option(opening.options, "connections", CONNECTIONS) or CONNECTIONS
    )
    try:
        yield storage
    finally:
        storage.close()


class LocalStorage:
    """Objects as files below a directory. Whoever makes one calls `close` when no call is under way; `open_local` does both."""

    def __init__(self, directory: Path, clock: Clock, connections: int = CONNECTIONS) -> None:
        self._directory = directory
        self._clock = clock
        self._traits = Traits(connections=connections, local_path=str(directory))
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="storage-local")
        self._is_group_readable: bool | None = None

    @property
    def location(self) -> str:
        """The directory's path, which is stock restic's `-r` too."""
        return str(self._directory)

    @property
    def traits(self) -> Traits:
        """What it can do."""
        return self._traits

    def close(self) -> None:
        """Ends the threads, which are idle: every call waits for its own."""
        self._threads.shutdown(wait=True)

    async def create(self) -> None:
        """Makes the directory, its parents, and all folders with the 256 of the packs."""
        await self._in_thread(self._create, f"the directory {self._directory} could not be made")

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Writes to a temporary name beside the final one, syncs, renames, syncs the folder."""
        path = self._path(key)
        is_abandoned = threading.Event()
        await self._in_thread(
            lambda: self._put(path, parts, is_abandoned), f"{path} could not be written", is_abandoned
        )

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Reads the range with pread."""
        path = self._path(key)
        return await self._in_thread(lambda: _read(key, path, offset, length), f"{path} could not be read")

    async def size(self, key: Key) -> int:
        """The file's size."""
        path = self._path(key)
        return await self._in_thread(lambda: _size(path), f"{path} could not be looked at")

    async def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """Walks the folders with scandir, a thousand names at a time."""
        listing = self._walk(kind)
        try:
            while step := await self._in_thread(
                lambda: tuple(itertools.islice(listing, NAMES_PER_STEP)),
                f"{self._directory} could not be listed",
            ):
                for listed in step:
                    yield listed
        finally:
            listing.close()

    async def delete(self, key: Key) -> None:
        """Unlinks the file; syncs the folder where the contract wants it."""
        path = self._path(key)
        is_durable = key.kind not in (Kind.PACK, Kind.LOCK)
        await self._in_thread(lambda: _delete(path, is_durable), f"{path} could not be removed")

    async def space(self) -> Space:
        """What statvfs says, for an account without privileges."""
        found = await self._in_thread(
            lambda: os.statvfs(self._directory), f"{self._directory} could not be looked at"
        )
        return Space(free_bytes=found.f_bavail * found.f_frsize, total_bytes=found.f_blocks * found.f_frsize)

    async def clean(self, older_than_s: float) -> int:
        """Removes files with a temporary name that were last changed longer ago than that, by this machine's clock."""
        before = (self._clock.now() - datetime.timedelta(seconds=older_than_s)).timestamp()
        return await self._in_thread(lambda: self._clean(before), f"{self._directory} could not be cleaned")

    async def _in_thread(
        self, call: Callable[[], Result], failure: str, is_abandoned: threading.Event | None = None
    ) -> Result:
        """Runs `call` in a thread and waits for its end, also when cancelled: then `is_abandoned` tells the thread to stop early.

        Raises: StorageError, `failure` being the head of its message.
        """
        submitted = self._threads.submit(call)
        future = asyncio.wrap_future(submitted)
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait((future,))
            except asyncio.CancelledError as error:
                cancelled = error
                submitted.cancel()
                if is_abandoned is not None:
                    is_abandoned.set()
        if cancelled is not None:
            if not future.cancelled():
                future.exception()
            raise cancelled
        try:
            return future.result()
        except OSError as error:
            raise _translated(error, failure) from error

    def _path(self, key: Key) -> Path:
        return self._directory / key.path()

    def _folders(self, kind: Kind) -> Sequence[Path]:
        """The folders that hold objects of that kind, those of the packs as found on the disk."""
        if kind is Kind.CONFIG:
            return [self._directory]
        folder = self._directory / kind.value
        if kind is not Kind.PACK:
            return [folder]
        with _scandir(folder) as found:
            return sorted(Path(entry.path) for entry in found if PACK_FOLDER.fullmatch(entry.name))

    def _walk(self, kind: Kind) -> Generator[Listed, None, None]:
        """Yields the objects; raises FileNotFoundError where the whole directory is missing."""
        self._directory.stat()
        for folder in self._folders(kind):
            prefix = folder.name if kind is Kind.PACK else ""
            with _scandir(folder) as found:
                for entry in found:
                    name = "" if kind is Kind.CONFIG else entry.name
                    is_object = (
                        entry.name == "config"
                        if kind is Kind.CONFIG
                        else is_name(name) and name.startswith(prefix)
                    )
                    if is_object and (status := _status(entry)) is not None:
                        yield Listed(Key(kind, name), status.st_size)

    def _clean(self, before: float) -> int:
        """Removes what is left over in all folders; `before` is a Unix time in seconds."""
        self._directory.stat()
        removed = 0
        for folder in itertools.chain.from_iterable(self._folders(kind) for kind in Kind):
            with _scandir(folder) as found:
                leftovers = [entry for entry in found if is_leftover(entry.name) and not entry.is_symlink()]
            for entry in leftovers:
                status = _status(entry)
                if status is not None and status.st_mtime < before:
                    _delete(Path(entry.path), is_durable=False)
                    removed += 1
        return removed

    def _create(self) -> None:
        packs = self._directory / Kind.PACK.value
        above = itertools.takewhile(
            lambda folder: not folder.exists(), (self._directory, *self._directory.parents)
        )
        folders = [
            *reversed(tuple(above)),
            *(self._directory / kind.value for kind in Kind if kind is not Kind.CONFIG),
        ]
        folders += [packs / f"{number:02x}" for number in range(256)]
        made = [folder for folder in folders if self._make_folder(folder)]
        for parent in sorted({folder.parent for folder in made}):
            _sync_folder(parent)

    def _make_folder(self, folder: Path) -> bool:
        """Makes one folder, with the rights that go with the config's; False where it was there."""
        try:
            folder.mkdir(0o700)
        except FileExistsError:
            if folder.is_dir():
                return False
            raise
        if self._shares_with_group():
            folder.chmod(0o770)
        return True

    def _shares_with_group(self) -> bool:
        """Whether the config is readable by its group: then all else is too (restic internal/backend/util, DeriveModesFromFileInfo)."""
        if self._is_group_readable is None:
            try:
                mode = self._path(Key(Kind.CONFIG)).stat().st_mode
            except FileNotFoundError:
                return False
            self._is_group_readable = bool(mode & stat.S_IRGRP)
        return self._is_group_readable

    def _put(self, path: Path, parts: Sequence[Buffer], is_abandoned: threading.Event) -> None:
        """Leaves the whole object or nothing, whatever happens; an object that could not be synced is never renamed to its name."""
        temporary = path.with_name(f"{path.name}-tmp-{secrets.token_hex(8)}")
        descriptor = self._open_new(temporary)
        try:
            try:
                if self._shares_with_group():
                    os.fchmod(descriptor, 0o440)
                _write(descriptor, parts, is_abandoned)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if is_abandoned.is_set():
                raise InterruptedError(errno.EINTR, "given up before it was made visible")
            temporary.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)

    def _open_new(self, path: Path) -> int:
        """Opens a file that was not there, read-only for all who open it later. Makes a folder that is missing, but never the root."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            return os.open(path, flags, 0o400)
        except FileNotFoundError:
            self._directory.stat()
        missing = itertools.takewhile(lambda folder: folder != self._directory, path.parents)
        for folder in reversed(tuple(missing)):
            if self._make_folder(folder):
                _sync_folder(folder.parent)
        return os.open(path, flags, 0o400)


def _translated(error: OSError, failure: str) -> errors.StorageError:
    """The error that people get for one of the operating system's."""
    kind, hint = _ERRORS.get(error.errno or 0, (errors.StorageError, None))
    return kind(f"{failure}: {(error.strerror or str(error)).lower()}", hint=hint)


def _write(descriptor: int, parts: Sequence[Buffer], is_abandoned: threading.Event) -> None:
    """Writes all parts, however much the kernel takes at a time, and looks at the length that the file then has."""
    waiting = [view for part in parts if (view := memoryview(part).cast("B")).nbytes]
    begin = 0
    while begin < len(waiting) and not is_abandoned.is_set():
        written = os.writev(descriptor, waiting[begin : begin + PARTS_PER_WRITE])
        while begin < len(waiting) and written >= waiting[begin].nbytes:
            written -= waiting[begin].nbytes
            begin += 1
        if written:
            waiting[begin] = waiting[begin][written:]
    expected, found = count_bytes(parts), os.fstat(descriptor).st_size
    if found != expected and not is_abandoned.is_set():
        raise OSError(errno.EIO, f"the file has {found} bytes where {expected} were written")


def _read(key: Key, path: Path, offset: int, length: int | None) -> bytes:
    """Raises: ObjectMissingError, ShortReadError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise _missing(path) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        wanted = check_range(key, status.st_size, offset, length)
        found = os.pread(descriptor, min(wanted, BYTES_PER_READ), offset)
        while len(found) < wanted:
            more = os.pread(descriptor, min(wanted - len(found), BYTES_PER_READ), offset + len(found))
            if not more:
                check_range(key, offset + len(found), offset, wanted)
            found += more
        return found
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    """Raises: ObjectMissingError."""
    try:
        return path.stat().st_size
    except FileNotFoundError as error:
        raise _missing(path) from error


def _missing(path: Path) -> errors.ObjectMissingError:
    return errors.ObjectMissingError(
        f"{path} is not there", hint="is the disk mounted? else run verify to see which backups need it"
    )


def _delete(path: Path, is_durable: bool) -> None:
    """Unlinks a file that may be gone. Some mounts (SMB) refuse to remove a read-only one, so that flag is taken off first there."""
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        path.chmod(0o600)
        path.unlink(missing_ok=True)
    if is_durable:
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """Makes the names in a folder durable. Mounts that cannot sync a folder say so, and are believed to need it not (as in restic)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOENT):
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _scandir(folder: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
    """The folder's entries; none where it is missing."""
    try:
        found = os.scandir(folder)
    except FileNotFoundError:
        yield iter(())
        return
    with found:
        yield found


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """What an entry is, links followed; None where it is no file, or went away meanwhile."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None
