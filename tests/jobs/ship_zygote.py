"""A process that has loaded the program and forks one that ships a log for each nod: so it is there within milliseconds, to be killed.

Run by test_ship_kill.py: `ship_zygote HOME DESCRIPTOR`; the descriptor is a socket of packets. It tells `pid N` of each shipment; that tells
`read` each time that it reads of a segment, `put KIND` and `has put KIND` round each write to a storage, `release` and `released` round the
removal from the host; and when it is gone the first one tells `dead N`, its status.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Sequence

import engine.cli.running
import engine.jobs.ship  # what a process would load when it needs it
from engine.jobs import log_shipment
from engine.model.requests import ShipRequest
from engine.repository import lock
from engine.service import open_engine
from engine.sources.log_files import FileSegments
from engine.sources.postgres.source import PostgresSource
from engine.sources.postgres.spool import Spool
from engine.storages.base import Buffer, Key
from engine.storages.local import LocalStorage

LOADED = (engine.cli.running, engine.jobs.ship, PostgresSource)
BATCH_SEGMENTS = 2
CONFIRM_S = 0.02
"""Of a lock: enough to see another's on this machine's disk."""


def _tell_all(telling: socket.socket) -> None:
    """From now on each step is told before it is taken."""
    read, release, put = FileSegments.read, Spool.release, LocalStorage.put

    async def told_read(self: FileSegments) -> bytes:
        telling.send(b"read")
        return await read(self)

    async def told_release(self: Spool, names: Sequence[str]) -> None:
        telling.send(b"release")
        await release(self, names)
        telling.send(b"released")

    async def told_put(self: LocalStorage, key: Key, parts: Sequence[Buffer]) -> None:
        telling.send(f"put {key.kind.value}".encode())
        await put(self, key, parts)
        telling.send(f"has put {key.kind.value}".encode())

    FileSegments.read, Spool.release, LocalStorage.put = told_read, told_release, told_put  # type: ignore[method-assign]
    log_shipment.BATCH_SEGMENTS = BATCH_SEGMENTS
    lock.CONFIRM_S = CONFIRM_S  # type: ignore[misc]


async def _ship(home: str, storages: tuple[str, ...]) -> None:
    async with open_engine(home, environment={}) as opened:
        await opened.ship(ShipRequest(("shop",), storages))


def _main(home: str, storages: tuple[str, ...], telling: socket.socket) -> None:
    _tell_all(telling)
    while telling.recv(1):
        pid = os.fork()
        if not pid:
            asyncio.run(_ship(home, storages))
            os._exit(0)
        telling.send(f"pid {pid}".encode())
        _, status = os.waitpid(pid, 0)
        telling.send(f"dead {os.waitstatus_to_exitcode(status)}".encode())


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[2])) as ours:
        _main(sys.argv[1], tuple(sys.argv[3:]), ours)
