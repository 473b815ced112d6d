"""The files of a throwaway server on their way into a script of the host, which unpacks them and lasts as long as its standard input is open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NoReturn

from engine.hosts.base import Process
from engine.sources.base import Database

STOP_TIMEOUT_S = 60.0
_RECORD_BYTES = 10240
"""Of tar, which reads whole records, and nothing behind the one with the archive's end."""


class TarFeed:
    """See `server_files.Revival`."""

    def __init__(
        self,
        process: Process,
        fail: Callable[[], Awaitable[NoReturn]],
        start: Callable[[], Awaitable[Database]],
    ) -> None:
        """`fail` raises why the script ended; `start` waits for the server, once the archive is there."""
        self._process = process
        self._fail = fail
        self._start = start
        self._taken_bytes = 0

    async def write(self, data: bytes) -> None:
        """See `server_files.Revival.write`."""
        self._taken_bytes += len(data)
        try:
            await self._process.write(data)
        except BrokenPipeError:
            await self._fail()

    async def end_archive(self) -> None:
        """Fills the last record of an archive up; another may follow."""
        await self.write(bytes(-self._taken_bytes % _RECORD_BYTES))

    async def start(self) -> Database:
        """See `server_files.Revival.start`."""
        await self.end_archive()
        return await self.start_now()

    async def start_now(self) -> Database:
        """The same where other things than archives came last."""
        return await self._start()


async def stop(process: Process) -> None:
    """Ends the script's life line, and waits until it has cleared away, for a while. Cancelled meanwhile, the host finishes it alone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.close_input()
            await process.wait()
