"""A connection that streams a server's write-ahead log, spoken by us through the host: no client of PostgreSQL can write it to a pipe.

Why by us: `pg_receivewal -D -` makes a folder named `-`, and asyncpg and psycopg speak no physical replication or want a socket of this
machine. The protocol is small, and the log comes in pieces that need no further look. Source: PostgreSQL, "Streaming Replication Protocol".
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NoReturn

from engine.errors import ConnectionLostError, HostError, HostUnreachableError, SourceError
from engine.hosts import tls
from engine.hosts.base import ByteStream, Command, OpenHost, require_success
from engine.model.secret import Secret
from engine.sources.postgres import login, protocol, quoting, wal
from engine.sources.postgres.connection import CONNECT_TIMEOUT_S, Connection
from engine.sources.postgres.protocol import Keepalive, Message, Messages, Piece, Refusal

PORT: Final = 5432
ANSWER_TIMEOUT_S: Final = 30.0
SILENCE_TIMEOUT_S: Final = 120.0
"""Twice the longest that a server is silent by default: it asks for a sign of life after half of wal_sender_timeout (60 s)."""
COPY_TIMEOUT_S: Final = 3600.0
"""How long a server may be silent in a copy: it begins with a checkpoint, which takes as long as its disks are busy."""
_UPLOAD_BYTES: Final = 64 << 10
MOST_ROWS: Final = 10_000
"""Of an answer."""
TAKEN_TRIES, TAKEN_WAIT_S = 20, 0.25
"""How often, and how long apart, a slot is asked for that another connection has."""
_MOST_AUTHORITY_BYTES: Final = 4 << 20
_OK, _CLEARTEXT, _MD5, _SASL, _SASL_MORE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_INVALID_PASSWORD, _NOT_LET_IN = "28P01", "28000"
_NO_SUCH_SLOT, _SLOT_TAKEN, _TOO_MANY = "42704", "55006", "53300"
_GONE, _INVALID = "58P01", "55000"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens, and as whom it is asked."""

    address: str
    """As the host sees it, or a socket's absolute path."""
    port: int
    user: str
    tls: str

    @property
    def is_socket(self) -> bool:
        """Whether no network lies between the host and its server."""
        return self.address.startswith("/")


@dataclass(frozen=True, slots=True)
class Turned:
    """The timeline that was asked for ends: the server goes on with another."""

    timeline: int
    position: int


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server says of itself."""

    system: str
    timeline: int
    position: int


Event = Piece | Keepalive | Turned


def place(connection: Connection, user: str, sockets: str, port: int) -> Place:
    """Of the options; what they leave open is as the server told by another way: its account, its folders of sockets, its port."""
    port = connection.port or port or PORT
    folder = connection.socket or (connection.address if connection.address.startswith("/") else "")
    if not folder and not connection.address:
        folder = sockets.partition(",")[0].strip() or "/var/run/postgresql"
    # A socket of Linux's abstract kind has no path.
    address = f"{folder}/.s.PGSQL.{port}" if folder.startswith("/") else connection.address or "127.0.0.1"
    return Place(address, port, connection.user or user, connection.tls)


class Replication:
    """One connection. Not for several tasks at once; made by `opened`."""

    def __init__(self, host: OpenHost, connection: Connection, where: Place, stream: ByteStream) -> None:
        self._host = host
        self._connection = connection
        self._place = where
        self._stream = stream
        self._messages = Messages()
        self._ready: deque[Message] = deque()
        self._is_secure = where.is_socket
        self.received = 0
        """Up to there the log came."""
        self.has_ended = False
        """Whether the server ended the stream."""

    async def login(self) -> None:
        """Called once, first. Raises: SourceError in the server's words; HostError."""
        await self._begin_tls()
        parameters = {"user": self._place.user, "replication": "true", "application_name": "holdfast"}
        await self._stream.write(protocol.startup(parameters))
        proof: login.ScramProof | None = None
        scram = login.Scram(secrets.token_urlsafe(24))
        while True:
            kind, body = await self._next()
            if kind == b"Z":
                return
            if kind != b"R":
                continue  # settings, and the key for cancelling
            asked, rest = protocol.parse_authentication(body)
            if asked in (_CLEARTEXT, _MD5):
                await self._say_password(asked, rest)
            elif asked == _SASL:
                if login.MECHANISM not in protocol.mechanisms(rest):
                    raise self._failed("the server offers no SCRAM-SHA-256")
                first = scram.first
                words = login.MECHANISM.encode() + b"\0" + len(first).to_bytes(4) + first
                await self._stream.write(protocol.message(b"p", words))
            elif asked == _SASL_MORE:
                # A processor's half second at worst; usually two milliseconds.
                proof = await asyncio.to_thread(scram.prove, self._password(), rest)
                await self._stream.write(protocol.message(b"p", proof.final))
            elif asked == _SASL_FINAL and proof is not None:
                login.require_signature(proof, rest)
                proof = None
            elif asked != _OK or proof is not None:
                raise self._failed(f"the server asks for a login of kind {asked}, which is not spoken")

    async def identify(self) -> Identity:
        """Which server it is. Raises: SourceError, HostError."""
        row = await self._ask("IDENTIFY_SYSTEM")
        try:
            system, timeline, position = (str(each, "ascii") for each in row[:3] if each is not None)
            return Identity(system, int(timeline), wal.parse_position(position))
        except ValueError as error:
            raise self._failed("the server does not say which it is") from error

    async def history(self, timeline: int) -> bytes:
        """The history of a timeline, as its file has it. Raises: SourceError, HostError."""
        row = await self._ask(f"TIMELINE_HISTORY {timeline}")
        if len(row) < 2 or row[1] is None:
            raise self._failed(f"the server has no history of timeline {timeline}")
        return row[1]

    async def start(self, slot: str, position: int, timeline: int) -> None:
        """Has the log come from that place of that timeline on. Raises: SourceError in the server's words; HostError."""
        at = wal.format_position(position)
        command = f"START_REPLICATION SLOT {quoting.identifier(slot)} PHYSICAL {at} TIMELINE {timeline}"
        self.received = position
        for left in reversed(range(TAKEN_TRIES)):
            await self._stream.write(protocol.query(command))
            refusal = await self._started()
            if refusal is None:
                return
            if refusal.code != _SLOT_TAKEN or not left:
                self._refuse(refusal)
            # A connection of ours that was cut a moment ago: the server is about to see it.
            await asyncio.sleep(TAKEN_WAIT_S)

    async def begin_copy(self, command: str) -> list[list[list[bytes | None]]]:
        """Sends a command that ends in a copy; the rows of each answer before it. Raises: SourceError in the server's words; HostError."""
        await self._stream.write(protocol.query(command))
        answers: list[list[list[bytes | None]]] = []
        while True:
            kind, body = await self._next(COPY_TIMEOUT_S)
            if kind == b"T":
                answers.append([])
            elif kind == b"D" and answers and len(answers[-1]) < MOST_ROWS:
                answers[-1].append(protocol.parse_row(body))
            elif kind == b"H":
                return answers
            elif kind != b"C":
                raise self._failed(f"the server did not begin a copy for {command.partition(' ')[0]}")

    async def upload(self, command: str, content: bytes) -> None:
        """Sends a command that takes a copy, and that. Raises: SourceError in the server's words; HostError."""
        await self._stream.write(protocol.query(command))
        kind, _ = await self._next()
        if kind != b"G":
            raise self._failed(f"the server took no copy for {command.partition(' ')[0]}")
        for at in range(0, len(content), _UPLOAD_BYTES):
            await self._stream.write(protocol.message(b"d", content[at : at + _UPLOAD_BYTES]))
        await self._stream.write(protocol.message(b"c", b""))
        while kind != b"Z":
            kind, _ = await self._next(COPY_TIMEOUT_S)

    async def copied(self) -> bytes:
        """The next message of the copy that was begun; empty at its end, when the server has said that all of it was sent.

        Raises: SourceError in the server's words; HostError.
        """
        while True:
            kind, body = await self._next(COPY_TIMEOUT_S)
            if kind == b"d" and body:
                return body
            if kind == b"c":
                break
        while kind != b"Z":
            kind, _ = await self._next(COPY_TIMEOUT_S)
        return b""

    async def receive(self) -> Event:
        """What comes next; answers a server that asks for a sign of life. Cancelled it loses nothing. Raises: SourceError, HostError."""
        while True:
            kind, body = await self._next(SILENCE_TIMEOUT_S)
            if kind == b"c":
                self.has_ended = True
                return await self._turned()
            if kind != b"d":
                continue
            event = protocol.parse_copied(body)
            if isinstance(event, Piece):
                self.received = event.position + len(event.content)
            elif event.is_urgent:
                await self.tell()
            return event

    async def tell(self, confirmed: int = 0) -> None:
        """Says what was received; with `confirmed`, what the server may forget. Raises: ConnectionLostError.

        A server that shuts down waits until all that it sent is confirmed, or where nothing was said of that, received. So it is said once, and
        not again with each sign of life: else no server could be stopped while we listen.
        """
        await self._stream.write(protocol.status(self.received, confirmed))

    async def end(self) -> None:
        """Ends a stream in peace: once it returns, the server has taken in what it was told. Raises: SourceError, HostError."""
        await self._stream.write(protocol.message(b"c", b""))
        kind = b""
        while kind != b"Z":
            kind, _ = await self._next()

    async def _turned(self) -> Turned:
        """Behind the end of a timeline: which one comes next. Raises: SourceError, HostError."""
        await self._stream.write(protocol.message(b"c", b""))
        row: list[bytes | None] = []
        while True:
            kind, body = await self._next()
            if kind == b"D":
                row = protocol.parse_row(body)
            if kind == b"Z":
                break
        try:
            timeline, position = (str(each, "ascii") for each in row[:2] if each is not None)
            return Turned(int(timeline), wal.parse_position(position))
        except ValueError as error:
            raise ConnectionLostError(
                f"{self._host.name} ended the stream of its log: it shuts down"
            ) from error

    async def _ask(self, command: str) -> list[bytes | None]:
        """The only row of an answer. Raises: SourceError, HostError."""
        await self._stream.write(protocol.query(command))
        rows = []
        while True:
            kind, body = await self._next()
            if kind == b"D":
                rows.append(protocol.parse_row(body))
            if kind == b"Z":
                break
        if len(rows) != 1:
            raise self._failed(f"the server answered {command.partition(' ')[0]} with {len(rows)} rows")
        return rows[0]

    async def _started(self) -> Refusal | None:
        """None once the stream has begun. Raises: SourceError, HostError."""
        refusal: Refusal | None = None
        while True:
            kind, body = await self._message(ANSWER_TIMEOUT_S)
            if kind == b"W":
                return None
            if kind == b"E":
                refusal = protocol.parse_refusal(body)
            if kind == b"Z" and refusal is not None:
                return refusal

    async def _next(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Message:
        """The next message that is no notice. Raises: SourceError for a refusal, HostError."""
        kind, body = await self._message(timeout_s)
        if kind == b"E":
            self._refuse(protocol.parse_refusal(body))
        return kind, body

    async def _message(self, timeout_s: float) -> Message:
        while True:
            while not self._ready:
                self._ready.extend(self._messages.feed(await self._read(timeout_s)))
            kind, body = self._ready.popleft()
            if kind not in (b"N", b"S"):
                return kind, body

    async def _read(self, timeout_s: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                data = await self._stream.read()
        except TimeoutError:
            raise ConnectionLostError(
                f"the database server of {self._host.name} was silent for {timeout_s:g} seconds"
            ) from None
        if not data:
            raise ConnectionLostError(f"the database server of {self._host.name} ended the connection")
        return data

    async def _begin_tls(self) -> None:
        """As `--tls` has it; where it says nothing, wherever the server speaks it, as libpq does. Raises: HostError."""
        if self._place.is_socket or self._place.tls == "disable":
            return
        await self._stream.write(protocol.tls_request())
        answer = await self._read(ANSWER_TIMEOUT_S)
        if answer == b"N":
            if self._place.tls:
                raise self._failed("the server speaks no TLS", "--tls disable sends everything in the clear")
            return
        if answer != b"S":  # more than one byte would be taken for what came under TLS
            raise self._failed("the server does not answer as PostgreSQL does")
        try:
            made = await asyncio.to_thread(tls.context, self._place.tls, await self._authorities())
            self._stream = await tls.secured(self._stream, made, self._place.address)
        except (HostError, ssl.SSLError) as error:
            raise self._failed(
                str(error.args[0]), "name the authority's file on the host by --tls-ca"
            ) from error
        self._is_secure = True

    async def _authorities(self) -> bytes:
        if not self._place.tls.startswith("verify"):
            return b""
        command = Command(("cat", "--", self._connection.tls_ca))
        done = await self._host.run(command, limit_bytes=_MOST_AUTHORITY_BYTES)
        require_success(self._host.name, command, done.exit)
        return done.stdout

    async def _say_password(self, asked: int, salt: bytes) -> None:
        password = self._password()
        if asked == _CLEARTEXT and not self._is_secure:
            raise self._failed(
                "the server wants the password in the clear", "set --tls, or scram-sha-256 in its pg_hba.conf"
            )
        words = password.reveal() if asked == _CLEARTEXT else login.md5(self._place.user, password, salt[:4])
        await self._stream.write(protocol.message(b"p", words + b"\0"))

    def _password(self) -> Secret:
        if self._connection.secret is None:
            raise self._failed("the server wants a password", "give the password's REF by --secret")
        return self._connection.secret

    def _failed(self, why: str, hint: str | None = None) -> SourceError:
        return SourceError(f"the log of {self._host.name} cannot be streamed: {why}", hint=hint)

    def _refuse(self, refusal: Refusal) -> NoReturn:
        """Raises: why the server would not, with the way out."""
        user = self._place.user
        lines = {
            _INVALID_PASSWORD: "check --user and --secret of the source",
            _NOT_LET_IN: "the stream comes by the account that logs in to the host, so that nobody else's peer login serves: give the source a role of its "
            f"own, with replication and a password (--db-host 127.0.0.1 --user ROLE --secret REF), and pg_hba.conf the line `{hba_line(user)}`",
            "42501": f"the role needs it: alter role {quoting.identifier(user)} replication",
            _NO_SUCH_SLOT: "a base makes the slot anew: holdfast backup SOURCE",
            _SLOT_TAKEN: "another consumer has it, or a connection of ours that the server has not given up yet (wal_sender_timeout): try again in a minute",
            _TOO_MANY: "raise max_wal_senders",
            _GONE: "what comes after can be reached from a new base alone: holdfast backup SOURCE",
            _INVALID: "the slot was left behind: a new base makes it anew: holdfast backup SOURCE",
        }
        if refusal.code.startswith("57P"):
            raise HostUnreachableError(f"the database server of {self._host.name}: {refusal.words}")
        raise self._failed(refusal.words, lines.get(refusal.code))


def hba_line(user: str) -> str:
    """What lets that role stream from the host itself."""
    return f"host replication {quoting.identifier(user)} 127.0.0.1/32 scram-sha-256"


@asynccontextmanager
async def opened(host: OpenHost, connection: Connection, where: Place) -> AsyncIterator[Replication]:
    """A connection that is logged in; leaving closes it, and what it streamed. Raises on entering: SourceError, HostError."""
    async with host.connect(where.address, 0 if where.is_socket else where.port) as stream:
        made = Replication(host, connection, where, stream)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await made.login()
        except TimeoutError:
            raise ConnectionLostError(
                f"the database server of {host.name} did not let us in within {CONNECT_TIMEOUT_S} seconds"
            ) from None
        yield made
