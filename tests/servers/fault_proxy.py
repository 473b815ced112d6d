"""A proxy on 127.0.0.1 in front of a real server: it knows no protocol, and cuts, refuses, stalls or spoils what passes through it.

It lives in the test's event loop::

    async with running_fault_proxy(server.port) as proxy:
        proxy.arm(Fault(Harm.CUT, Way.UP, after_bytes=1 << 20, times=2))
        ...                                   # against 127.0.0.1, proxy.port
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum

STEP_BYTES = 64 << 10
ALWAYS = 1 << 30
"""As a fault's `times`."""
HOST = "127.0.0.1"


class Way(StrEnum):
    """Which way the bytes go."""

    UP = "to the server"
    DOWN = "to the client"


class Harm(StrEnum):
    """What goes wrong."""

    REFUSE = "the connection is reset as soon as it is made"
    CUT = "the connection is reset"
    CLOSE = "the connection ends as if all had been said"
    GONE = "every connection is reset, and no other is let through"
    STALL = "nothing more comes through, and nobody is told"
    FLIP = "one bit is changed"


@dataclass(frozen=True, slots=True)
class Fault:
    """Strikes so many connections, each of them once, when it has carried that many bytes that way since the fault was armed; a server that is
    gone is so for all, when they have carried that many together.

    A cut loses what had come so far of the step that reached the mark: `after_bytes` is where the bytes end.
    """

    harm: Harm
    way: Way = Way.UP
    after_bytes: int = 0
    times: int = 1


@dataclass(slots=True, eq=False)
class _Armed:
    fault: Fault
    left: int
    carried: dict[int, int] = field(default_factory=dict)
    """Bytes by connection; one that was struck is at -1."""

    def reaches(self, connection: int, way: Way, size_bytes: int) -> int | None:
        """Where within the next `size_bytes` of that connection the fault strikes; None where it does not."""
        connection = 0 if self.fault.harm is Harm.GONE else connection
        carried = self.carried.get(connection, 0)
        if self.fault.way is not way or carried < 0 or self.left < 1 or self.fault.harm is Harm.REFUSE:
            return None
        # The byte behind the mark must be there: at the mark itself a client may have all that it wanted.
        if carried + size_bytes <= self.fault.after_bytes:
            self.carried[connection] = carried + size_bytes
            return None
        self.carried[connection] = -1
        self.left -= 1
        return self.fault.after_bytes - carried


class FaultProxy:
    """Carries connections to a server, but for its faults. Made by `running_fault_proxy`."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._armed: list[_Armed] = []
        self._open: dict[int, list[asyncio.StreamWriter]] = {}
        self._listening: asyncio.Server | None = None
        self._stopped = asyncio.Event()
        self.port = 0
        self.connections = 0
        """How many were made so far."""
        self.struck = 0
        """How often a fault struck."""
        self.has_struck = asyncio.Event()
        """Set when one did."""

    def arm(self, *faults: Fault) -> None:
        """Lets these go wrong from now on, in place of those before."""
        self._armed = [_Armed(fault, fault.times) for fault in faults]
        self._forget_strikes()

    def heal(self) -> None:
        """Ends all faults. What stalls goes on stalling, until its client gives it up."""
        self._armed = []

    def cut_all(self) -> None:
        """Resets every connection."""
        for connection in tuple(self._open):
            self._reset(connection)

    async def start(self) -> None:
        """Listens; fills in `port`."""
        self._listening = await asyncio.start_server(self._carry, HOST, 0, limit=STEP_BYTES)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Ends all connections; returns when they are gone."""
        assert self._listening is not None
        self._listening.close()
        self.heal()
        self._stopped.set()
        while self._open:
            self.cut_all()
            await asyncio.sleep(0)
        await self._listening.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its client's coming to the end of both ways."""
        self.connections += 1
        connection = self.connections
        self._open[connection] = [writer]
        try:
            if self._is_refused():
                self._reset(connection)
                return
            server_reader, server_writer = await asyncio.open_connection(HOST, self._server_port, limit=STEP_BYTES)  # fmt: skip
            self._open[connection].append(server_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(connection, Way.UP, reader, server_writer))
                group.create_task(self._pump(connection, Way.DOWN, server_reader, writer))
        except* OSError:
            self._reset(connection)
        finally:
            for each in self._open.pop(connection):
                each.close()

    def _is_refused(self) -> bool:
        for armed in self._armed:
            if armed.fault.harm is Harm.REFUSE and armed.left > 0:
                armed.left -= 1
                self._count_strike()
                return True
        return False

    def _count_strike(self) -> None:
        self.struck += 1
        self.has_struck.set()

    def _forget_strikes(self) -> None:
        self.struck = 0
        self.has_struck.clear()

    async def _pump(
        self, connection: int, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(STEP_BYTES):
            for armed in self._armed:
                at = armed.reaches(connection, way, len(data))
                if at is None:
                    continue
                self._count_strike()
                data = await self._harm(armed.fault.harm, connection, data, at, writer)
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _harm(
        self, harm: Harm, connection: int, data: bytes, at: int, writer: asyncio.StreamWriter
    ) -> bytes:
        """What goes on in place of `data`. Raises: ConnectionResetError where the connection is over."""
        if harm is Harm.FLIP:
            return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        writer.write(data[:at])
        with contextlib.suppress(OSError):
            await writer.drain()
        if harm is Harm.GONE:
            self.arm(Fault(Harm.REFUSE, times=ALWAYS))
            self.cut_all()
        if harm is Harm.STALL:
            await self._stopped.wait()
        if harm is Harm.CLOSE:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        raise ConnectionResetError(harm.value)

    def _reset(self, connection: int) -> None:
        """Both ends see a connection that was reset, not one that was closed."""
        for writer in self._open[connection]:
            carrier: socket.socket | None = writer.get_extra_info("socket")
            if carrier is not None and carrier.fileno() >= 0:
                carrier.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@contextlib.asynccontextmanager
async def running_fault_proxy(server_port: int) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the server that listens at 127.0.0.1 on that port."""
    proxy = FaultProxy(server_port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
