"""Reading long files of this machine straight into the chunker: no tool of the host, no pipe and no copy lie between.

As in read_files.py, only what is plainly as it was listed is read here; the rest is left to the host's tool, which knows holes too.
"""

from __future__ import annotations

import asyncio
import functools
import os
import stat
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Self

from engine.format.node_text import node_prefix, node_suffix
from engine.model.entry import Entry
from engine.repository.read_files import Xattrs, instant, open_flags, read_xattrs
from engine.repository.streams import Streams
from engine.repository.tree_parts import StreamResult

READ_BYTES: Final = 4 << 20
"""So much is read in one go: a file of a megabyte costs one thread's turn."""
QUEUED: Final = 256
"""So many files may wait to be read."""
_BLOCK_BYTES: Final = 512

NodesReceiver = Callable[[Any, Sequence[Entry], Sequence[bytes]], None]
"""Takes the token of some files, the files, and their nodes; an empty one where the file is not as it was listed."""


class _Wanted(NamedTuple):
    entry: Entry
    token: Any
    receiver: NodesReceiver


class LongFiles:
    """Files that wait to be read, one after the other, while those before them are being stored."""

    def __init__(self, streams: Streams) -> None:
        """`streams` serves nobody else."""
        self._streams = streams
        self._wanted: asyncio.Queue[_Wanted] = asyncio.Queue(QUEUED)

    async def put(self, entry: Entry, token: Any, receiver: NodesReceiver) -> None:
        """Takes a file; waits while many wait. `receiver` is told its node on the event loop, once it is stored."""
        await self._wanted.put(_Wanted(entry, token, receiver))

    async def run(self) -> None:
        """Reads what is put, for ever. Raises: what the workers raise."""
        while True:
            await self._store(await self._wanted.get())

    async def _store(self, wanted: _Wanted) -> None:
        with LongFile(wanted.entry) as file:
            try:
                await self._streams.put_read(
                    functools.partial(_read_into, file), functools.partial(_stored, wanted, file)
                )
            except NotAsListedError:
                wanted.receiver(wanted.token, (wanted.entry,), (b"",))


async def _read_into(file: LongFile, room: memoryview) -> int:
    if file.is_read:
        return 0
    return await asyncio.get_running_loop().run_in_executor(None, file.read_into, room)


def _stored(wanted: _Wanted, file: LongFile, result: StreamResult) -> None:
    node = node_prefix(wanted.entry) + node_suffix(file.xattrs, 0, result.content, None)
    wanted.receiver(wanted.token, (wanted.entry,), (node,))


class NotAsListedError(Exception):
    """The file is not to be had as it was listed."""


class LongFile:
    """One file as it is read, by calls that block. Closed with its context, or a moment later by the thread that still reads."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._descriptor = -1
        self._left_bytes = entry.size
        self._turn = threading.Lock()
        self._is_left = False
        self.is_read = False
        """Whether all of it was read and found to be as it was listed."""
        self.xattrs: Xattrs = ()
        """Known when it is read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._is_left = True
        self._close()

    def read_into(self, room: memoryview) -> int:
        """Reads the next bytes, at least one. Raises: NotAsListedError."""
        try:
            with self._turn:
                return self._read(room)
        except OSError as error:
            raise NotAsListedError from error
        finally:
            if self._is_left:
                self._close()

    def _close(self) -> None:
        """Never while a thread reads: the number of a closed file may be another file's a moment later."""
        if self._turn.acquire(blocking=False):
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
            self._turn.release()

    def _read(self, room: memoryview) -> int:
        if self._is_left:
            raise NotAsListedError
        if self._descriptor < 0:
            self._open()
        count = os.readv(self._descriptor, (room[: min(READ_BYTES, self._left_bytes)],))
        if not count:
            raise NotAsListedError  # it is shorter now
        self._left_bytes -= count
        if not self._left_bytes:
            self._finish()
        return count

    def _open(self) -> None:
        self._descriptor = os.open(b"/" + self._entry.path, open_flags())
        status = self._status()
        if status.st_blocks * _BLOCK_BYTES < status.st_size:
            raise NotAsListedError  # it has holes, which need not be read

    def _finish(self) -> None:
        """One look at the status after the bytes were read is enough: where the change time is the listing's, nothing changed in between."""
        self._status()
        self.xattrs = read_xattrs(self._descriptor)
        self.is_read = True

    def _status(self) -> os.stat_result:
        status = os.fstat(self._descriptor)
        is_as_listed = (
            status.st_size == self._entry.size
            and instant(status.st_ctime_ns) == self._entry.ctime
            and stat.S_ISREG(status.st_mode)
        )
        if not is_as_listed:
            raise NotAsListedError
        return status
