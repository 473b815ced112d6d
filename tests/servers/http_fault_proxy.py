"""A proxy on 127.0.0.1 in front of a real HTTP server: it understands requests, and answers in the server's place, or spoils its answers.

Whole requests and answers are held in memory: it is for tests, and for objects of some MiB.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.servers.fault_proxy import HOST, FaultProxy

_HEAD_BYTES = 64 << 10


class Request(NamedTuple):
    """One request as it came."""

    method: str
    target: str
    size_bytes: int
    headers: Mapping[str, str]
    """By lower-case name."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said in the server's place."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spoiled:
    """What happens to so many requests that match; the first rule that matches counts."""

    answer: Answer | None = None
    """Said in the server's place."""
    is_done_first: bool = False
    """Whether the server does what it was asked for, before something else is answered."""
    is_truncated: bool = False
    """Whether the answer breaks off in the middle of its body, though its head promised all."""
    is_flipped: bool = False
    """Whether one bit in the middle of the answer's body is changed."""
    held: asyncio.Event | None = None
    """What the answer waits for."""
    method: str = ""
    target: str = ""
    """A regular expression, searched in path and query."""
    times: int = 1


class HttpFaultProxy(FaultProxy):
    """Hands requests on to a server, but for what is spoiled. Made by `running_http_fault_proxy`."""

    def __init__(self, server_port: int) -> None:
        super().__init__(server_port)
        self._spoiled: list[Spoiled] = []
        self._left: list[int] = []
        self.requests: list[Request] = []
        """All that came since `spoil`."""

    def spoil(self, *rules: Spoiled) -> None:
        """Lets this happen from now on, in place of what was said before."""
        self._spoiled, self._left = list(rules), [rule.times for rule in rules]
        self._forget_strikes()
        self.requests.clear()

    def heal(self) -> None:
        """Ends all faults."""
        super().heal()
        for rule in self._spoiled:
            if rule.held is not None:
                rule.held.set()
        self._spoiled, self._left = [], []

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        self._open[connection] = [writer]
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._server_port)
            self._open[connection].append(server_writer)
            while await self._serve(_Stream(reader, writer), _Stream(server_reader, server_writer)):
                pass
        except (OSError, asyncio.IncompleteReadError):
            self._reset(connection)
        finally:
            for each in self._open.pop(connection):
                each.close()

    async def _serve(self, client: _Stream, server: _Stream) -> bool:
        """One request and its answer; False where the connection is over."""
        head = await client.read_head()
        if not head:
            return False
        method, target, _ = head[0].split(" ", 2)
        headers = _headers(head[1:])
        if headers.get("expect", "").lower() == "100-continue":
            client.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await client.read_body(headers)
        self.requests.append(Request(method, target, len(body), headers))
        rule = self._rule(method, target)
        if rule is not None and rule.answer is not None and not rule.is_done_first:
            return await self._say(client, rule.answer, method)
        server.writer.write(_packed([each for each in head if not _is_hop(each)], body, method))
        answer_head = await server.read_head()
        if not answer_head:
            raise ConnectionResetError("the server ended the connection")
        has_body = method != "HEAD" and answer_head[0].split(" ")[1] not in ("204", "304")
        answer = await server.read_body(_headers(answer_head[1:])) if has_body else b""
        if rule is not None and rule.held is not None:
            await rule.held.wait()
        if rule is not None and rule.answer is not None:
            return await self._say(client, rule.answer, method)
        return await self._hand_on(client, answer_head, answer, rule, has_body=has_body)

    def _rule(self, method: str, target: str) -> Spoiled | None:
        for number, rule in enumerate(self._spoiled):
            is_meant = rule.method in ("", method) and re.search(rule.target, target) is not None
            if is_meant and self._left[number] > 0:
                self._left[number] -= 1
                self._count_strike()
                return rule
        return None

    async def _say(self, client: _Stream, answer: Answer, method: str) -> bool:
        lines = [f"{name}: {value}" for name, value in answer.headers.items()]
        # An answer to HEAD has no body, whatever its head says.
        body = b"" if method == "HEAD" else answer.body
        client.writer.write(_packed([f"HTTP/1.1 {answer.status} Spoiled", *lines], body, "PUT"))
        await client.writer.drain()
        return True

    async def _hand_on(
        self, client: _Stream, head: list[str], body: bytes, rule: Spoiled | None, *, has_body: bool
    ) -> bool:
        if rule is not None and rule.is_flipped and body:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        if not has_body:
            client.writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
            await client.writer.drain()
            return True
        packed = _packed([each for each in head if not _is_hop(each)], body, "PUT")
        if rule is not None and rule.is_truncated:
            client.writer.write(packed[: len(packed) - (len(body) + 1) // 2])
            await client.writer.drain()
            return False
        client.writer.write(packed)
        await client.writer.drain()
        return _headers(head[1:]).get("connection", "").lower() != "close"


class _Stream(NamedTuple):
    """One end of a connection, read as HTTP/1.1."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_head(self) -> list[str]:
        """The lines of a head; none where the connection ended before it."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return []
        return head.decode("latin-1").split("\r\n")[:-2]

    async def read_body(self, headers: Mapping[str, str]) -> bytes:
        """The whole body, taken out of its chunks."""
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", 0)))
        body = bytearray()
        while size_bytes := int((await self.reader.readline()).split(b";")[0], 16):
            body += await self.reader.readexactly(size_bytes)
            await self.reader.readline()
        while (await self.reader.readline()).strip():
            pass
        return bytes(body)


def _headers(lines: list[str]) -> dict[str, str]:
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _is_hop(line: str) -> bool:
    """Whether a line of a head holds between two machines only, or is made anew here."""
    return line.partition(":")[0].lower() in ("expect", "transfer-encoding", "content-length")


def _packed(head: list[str], body: bytes, method: str) -> bytes:
    length = [f"Content-Length: {len(body)}"] if body or method in ("PUT", "POST") else []
    return "\r\n".join([*head, *length, "", ""]).encode("latin-1") + body


@contextlib.asynccontextmanager
async def running_http_fault_proxy(server_port: int) -> AsyncIterator[HttpFaultProxy]:
    """A proxy in front of the HTTP server that listens at 127.0.0.1 on that port."""
    proxy = HttpFaultProxy(server_port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
