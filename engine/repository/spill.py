"""The buffer on disk of a session that feeds several storages: packs of those that are behind the others wait here.

A pack that is written here gives its memory back at once, so that a slow storage holds up neither the reading nor the other storages. Only
packs come here, which are sealed: nothing plain lies on the disk. What is read back is held against its own name before it is stored.

Each session has a folder of its own, for its owner alone, under an advisory lock for as long as its process lives. It goes with the
session; one whose process was killed is removed by whoever comes next (`remove_leftovers`).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.errors import DamagedError, StorageError
from engine.format import index as index_format
from engine.format import pack
from engine.format.blob import FAULT_HINT
from engine.format.crypto import MasterKey, Sealer
from engine.format.ids import Buffer, digest

PREFIX: Final = "holdfast-spill-"
HELD_UP_SHARE: Final = 0.05
"""Writing a pack to the buffer and reading it again costs more than this much waiting."""
_LOCK: Final = "lock"
_VECTORS: Final = 512
"""Parts that are written with one call; the kernel takes 1,024."""


@dataclass(slots=True)
class Allowance:
    """How long a job waits in all, in seconds, for storages that are behind when the others are done. What is waited is taken off."""

    left_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class SpillOptions:
    """Where the buffer lies, and what it may take."""

    folder: Path
    """Is there; the session makes a folder of its own in it when it is first needed."""
    limit_bytes: int = 10 << 30
    """At most so much, and at most half of what is free there at the beginning."""
    patience_s: float = 0.25
    """So long a storage may hold the others up, and for HELD_UP_SHARE of the time besides, before its packs go to the buffer."""
    allowance: Allowance = field(default_factory=Allowance)


class HeldUp:
    """How long a storage held the others up lately, in seconds: what grows with each wait, and is forgiven as time passes."""

    __slots__ = ("_at_s", "_seconds")

    def __init__(self) -> None:
        self._seconds = 0.0
        self._at_s = 0.0

    def add(self, waited_s: float, now_s: float) -> None:
        """The others waited, until now."""
        self._seconds = self.seconds(now_s) + waited_s
        self._at_s = now_s

    def seconds(self, now_s: float) -> float:
        """What is not forgiven yet."""
        return max(0.0, self._seconds - HELD_UP_SHARE * (now_s - self._at_s))


@dataclass(frozen=True, slots=True)
class Spilled:
    """A pack that lies in the buffer."""

    id: bytes
    size_bytes: int
    uniform: tuple[str, int, int] | None
    """Type, number and plain bytes of its blobs, where its entries were a uniform pack's."""


class Spill:
    """The buffer of one session. For the event loop's thread; closed by whoever made it."""

    def __init__(self, options: SpillOptions) -> None:
        self.options = options
        self.used_bytes = 0
        self.peak_bytes = 0
        """The most that was in it at once."""
        self._limit_bytes = options.limit_bytes
        self._leaving_bytes = 0
        self._folder: Path | None = None
        self._lock = -1

    @property
    def limit_bytes(self) -> int:
        """What it may hold."""
        return self._limit_bytes

    @property
    def is_emptying(self) -> bool:
        """Whether packs are being removed, so that there will be more room in a moment."""
        return self._leaving_bytes > 0

    def open(self) -> None:
        """Makes the folder, where that was not done. Raises: StorageError."""
        if self._folder is not None:
            return
        with self._translated():
            free_bytes = shutil.disk_usage(self.options.folder).free
            self._limit_bytes = min(self.options.limit_bytes, free_bytes // 2)
            self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self.options.folder))
            self._lock = os.open(self._folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def reserve(self, size_bytes: int) -> bool:
        """Takes room for a pack, where there is so much. What is taken is given back by `discard`."""
        if self.used_bytes + size_bytes > self._limit_bytes:
            return False
        self.used_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        return True

    async def write(self, finished: pack.Pack) -> Spilled:
        """Writes a pack for which room was taken; on return its parts are needed no more. Raises: StorageError; then the room is given back."""
        assert self._folder is not None
        entries = finished.entries
        uniform = None
        if isinstance(entries, pack.UniformEntries):
            uniform = (entries.type, len(entries), entries.plain_bytes)
        spilled = Spilled(finished.id, finished.size_bytes, uniform)
        try:
            with self._translated():
                await asyncio.to_thread(_write, self._path(finished.id), finished.parts)
        except BaseException:
            self.discard([spilled])
            raise
        return spilled

    async def read(self, spilled: Spilled, key: MasterKey) -> pack.Pack:
        """The pack, which stays in the buffer until `discard`. Raises: DamagedError where it is not what was written; StorageError."""
        with self._translated():
            return await asyncio.to_thread(_load, self._path(spilled.id), spilled, key)

    def discard(self, packs: Sequence[Spilled]) -> None:
        """Removes packs, in a thread; their room is free when they are gone. Those that were never written may be among them."""
        if not packs or self._folder is None:
            return
        paths = [self._path(each.id) for each in packs]
        removing = asyncio.get_running_loop().run_in_executor(None, _unlink_all, paths)
        size_bytes = sum(each.size_bytes for each in packs)
        self._leaving_bytes += size_bytes
        removing.add_done_callback(lambda _: self._give_back(size_bytes))

    def close(self) -> None:
        """Removes all that is left. Idempotent; blocks for a few milliseconds a pack."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = None

    def _give_back(self, size_bytes: int) -> None:
        self.used_bytes -= size_bytes
        self._leaving_bytes -= size_bytes

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"the buffer for storages that are behind, in {self.options.folder}, cannot be used: {error.strerror}",
                hint="name a folder with room for it in config.toml: [spill] folder",
            ) from error

    def _path(self, pack_id: bytes) -> Path:
        assert self._folder is not None
        return self._folder / pack_id.hex()


def remove_leftovers(folder: Path) -> int:
    """Removes what sessions left whose process is gone; how many there were. Those of other people are passed over, and those still in use."""
    removed = 0
    try:
        names = [each.name for each in os.scandir(folder) if each.name.startswith(PREFIX)]
    except OSError:
        return 0
    for name in names:
        with contextlib.suppress(OSError):
            removed += _remove_if_dead(folder / name)
    return removed


def _remove_if_dead(folder: Path) -> bool:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return False
    # One without a lock file is of a session that begins at this moment, or that was killed at such a one: it is empty.
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)
    return True


def _write(path: Path, parts: Sequence[Buffer]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        for begin in range(0, len(parts), _VECTORS):
            _write_all(descriptor, parts[begin : begin + _VECTORS])
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, parts: Sequence[Buffer]) -> None:
    waiting = [memoryview(part).cast("B") for part in parts]
    while waiting:
        done = os.writev(descriptor, waiting)
        while waiting and done >= len(waiting[0]):
            done -= len(waiting.pop(0))
        if done:
            waiting[0] = waiting[0][done:]


def _load(path: Path, spilled: Spilled, key: MasterKey) -> pack.Pack:
    """Raises: DamagedError; OSError."""
    whole = path.read_bytes()
    if digest(whole) != spilled.id:
        raise DamagedError(
            f"a pack in the buffer {path.parent} is not what was written there", hint=FAULT_HINT
        )
    sealer = Sealer(key)
    entries: Sequence[pack.BlobEntry]
    if spilled.uniform is None:
        entries = tuple(pack.parse_pack(sealer, whole))
    else:
        length = pack.header_length(whole[-pack.LENGTH_FIELD_BYTES :], len(whole))
        header = sealer.open(memoryview(whole)[len(whole) - length : -pack.LENGTH_FIELD_BYTES])
        type_, count, plain_bytes = spilled.uniform
        entries = pack.UniformEntries(type_, bytes(header), count, plain_bytes, len(whole))
    return pack.Pack(spilled.id, [whole], len(whole), entries, index_format.encode_pack(spilled.id, entries))


def _unlink_all(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
