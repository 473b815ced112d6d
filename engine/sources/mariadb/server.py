"""What a server is: its version, what tells it from any other, and whether it keeps a log whose position we may know."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from engine.errors import SourceError
from engine.sources.mariadb.accounts import DENIED
from engine.sources.mariadb.answers import texts
from engine.sources.mariadb.connection import Connection, error_number

_VARIABLES = ("datadir", "hostname", "log_bin", "server_uid", "server_uuid", "socket", "version")
_STATUS_RENAMED = (8, 2)
"""From this MySQL on `SHOW MASTER STATUS` is `SHOW BINARY LOG STATUS`."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server as it says of itself."""

    version: str
    identity: str
    """Its unique id, its machine, its data folder and its socket: a copy of the data that runs elsewhere differs in one of them."""
    datadir: str
    has_log: bool


async def ask_server(connection: Connection) -> Server:
    """Raises: ToolMissingError, SourceError, HostError.

    Where TLS is required without any proof of who the server is, MariaDB's clients go on in the clear if it offers none (measured, 10.11):
    so we look whether it came about. Where the server must prove itself, they refuse by themselves.
    """
    if connection.tls == "require":
        (status,) = await connection.results("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        if not any(cipher for _name, cipher in map(texts, status)):
            raise SourceError(
                f"{connection.place} offers no TLS, which this source requires",
                hint="give the server a certificate, or say --tls disable",
            )
    names = ", ".join(f"'{name}'" for name in _VARIABLES)
    (rows,) = await connection.results(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
    values = {name.lower(): value for name, value in map(texts, rows)}
    unique = values.get("server_uid") or values.get("server_uuid", "")
    parts = (unique, values.get("hostname", ""), values.get("datadir", ""), values.get("socket", ""))
    return Server(
        values.get("version", ""), " ".join(parts), values.get("datadir", ""), values.get("log_bin") == "ON"
    )


async def server_now(connection: Connection) -> datetime.datetime:
    """The server's clock. Raises: SourceError, HostError."""
    (rows,) = await connection.results("SELECT UTC_TIMESTAMP(6)")
    (instant,) = texts(rows[0])
    return datetime.datetime.fromisoformat(instant).replace(tzinfo=datetime.UTC)


async def may_know_position(connection: Connection, server: Server) -> bool:
    """Whether the account may ask for the log's position; a dump that may not fails. Raises: SourceError, HostError."""
    if not server.has_log:
        return False
    is_new = "MariaDB" not in server.version and version_numbers(server.version) >= _STATUS_RENAMED
    try:
        await connection.results("SHOW BINARY LOG STATUS" if is_new else "SHOW MASTER STATUS")
    except SourceError as error:
        if error_number(error.message) in DENIED:
            return False
        raise
    return True


def version_numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version; empty where it has none."""
    found = re.search(r"(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else ()
