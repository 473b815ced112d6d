"""A proxy on 127.0.0.1 that carries connections to wherever it is asked: HTTP (CONNECT, and whole addresses) or SOCKS 5, with a login.

It lives in the test's event loop, and counts what passed::

    async with running_forward_proxy("socks5", "ann", "word") as proxy:
        ...                                   # by way of proxy.url
        assert proxy.targets == {"127.0.0.1:8080"}
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import struct
from collections.abc import AsyncIterator

HOST = "127.0.0.1"
_NOT_ALLOWED, _DONE = 2, 0


class ForwardProxy:
    """Made by `running_forward_proxy`."""

    def __init__(self, scheme: str, user: str, secret: str) -> None:
        self._scheme, self._user, self._secret = scheme, user, secret
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.targets: set[str] = set()
        """HOST:PORT of all that it carried to."""
        self.closed: set[str] = set()
        """HOST:PORT that its rules close."""
        self.names: dict[str, str] = {}
        """Host -> where that is, of names that nobody else knows."""
        self.carried_bytes = 0
        """Both ways together."""

    @property
    def url(self) -> str:
        """Its address, without the login."""
        return f"{self._scheme}://{HOST}:{self.port}"

    async def start(self) -> None:
        """Listens."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Ends all connections."""
        assert self._server is not None
        self._server.close()
        for each in self._writers:
            each.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await (self._socks(reader, writer) if self._scheme == "socks5" else self._http(reader, writer))
        writer.close()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, rest = head.partition(b"\r\n")
        method, address, _version = line.decode().split(" ")
        login = base64.b64encode(f"{self._user}:{self._secret}".encode())
        if self._user and b"Proxy-Authorization: Basic " + login not in rest:
            writer.write(b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        if method == "CONNECT":
            target, first, answer = address, b"", b"HTTP/1.1 200 Established\r\n\r\n"
        else:
            target, _, path = address.partition("://")[2].partition("/")
            # One request a connection: the next would have to be rewritten, too.
            own = line.replace(address.encode(), b"/" + path.encode())
            first, answer = own + b"\r\nConnection: close\r\n" + rest, b""
        if target in self.closed:
            writer.write(b"HTTP/1.1 403 Closed\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        await self._carry(target, first, answer, (reader, writer))

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        offered = await reader.readexactly(count)
        method = 2 if self._user else 0
        writer.write(bytes([5, method if method in offered else 255]))
        if method not in offered or (self._user and not await self._is_let_in(reader, writer)):
            await writer.drain()
            return
        *_, kind = await reader.readexactly(4)
        if kind == 1:
            host = ".".join(map(str, await reader.readexactly(4)))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        target = f"{host}:{port}"
        if target in self.closed:
            writer.write(bytes([5, _NOT_ALLOWED, 0, 1]) + bytes(6))
            await writer.drain()
            return
        await self._carry(target, b"", bytes([5, _DONE, 0, 1]) + bytes(6), (reader, writer))

    async def _is_let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        _, size = await reader.readexactly(2)
        user = await reader.readexactly(size)
        secret = await reader.readexactly((await reader.readexactly(1))[0])
        is_right = (user, secret) == (self._user.encode(), self._secret.encode())
        writer.write(bytes([1, 0 if is_right else 1]))
        return is_right

    async def _carry(
        self,
        target: str,
        first: bytes,
        answer: bytes,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Connects, and hands on; `first` goes to the target, `answer` to the client."""
        host, _, port = target.rpartition(":")
        reader, writer = await asyncio.open_connection(self.names.get(host, host), int(port))
        self._writers.add(writer)
        self.targets.add(target)
        writer.write(first)
        client[1].write(answer)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(client[0], writer))
            group.create_task(self._pump(reader, client[1]))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(64 << 10):
                self.carried_bytes += len(piece)
                writer.write(piece)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def running_forward_proxy(scheme: str, user: str = "", secret: str = "") -> AsyncIterator[ForwardProxy]:
    """A proxy of that scheme (`http` or `socks5`), which wants the login where one is given."""
    proxy = ForwardProxy(scheme, user, secret)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
