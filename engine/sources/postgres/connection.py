"""How a server is reached: a source's options as words and environment of PostgreSQL's clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from engine.errors import ConfigurationError
from engine.hosts.base import Command
from engine.hosts.script import valid_user
from engine.model.secret import Secret
from engine.sources.options import Reader
from engine.sources.postgres import quoting

CONNECT_TIMEOUT_S = 15
TLS_MODES = ("disable", "require", "verify-ca", "verify-full")
SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""What a certificate is checked against where `--tls-ca` names nothing: libpq before version 16 has no word for the system's own."""
_LOOPBACK = ("localhost", "127.", "::1")


@dataclass(frozen=True, slots=True)
class Connection:
    """One account's way to one server."""

    user: str = ""
    socket: str = ""
    address: str = ""
    port: int = 0
    tls: str = ""
    tls_ca: str = ""
    service: str = ""
    as_user: str | None = None
    secret: Secret | None = None
    folder: str = ""
    """Where the clients lie; empty for the host's PATH."""

    def command(
        self,
        program: str,
        *words: str,
        database: str = "",
        input: Literal["none", "stream"] = "none",  # noqa: A002 -- the field's name in Command
        settings: Mapping[str, str] | None = None,
    ) -> Command:
        """A client that never asks for a password. `database` comes as a connection string that is nothing but its name."""
        target = (f"--dbname={quoting.connection_string(database)}",) if database else ()
        return Command(
            (f"{self.folder}/{program}" if self.folder else program, "-w", *words, *target),
            settings={**self.settings(program), **(settings or {})},
            secrets={} if self.secret is None else {"PGPASSWORD": self.secret},
            as_user=self.as_user,
            input=input,
        )

    def settings(self, program: str) -> dict[str, str]:
        """The environment that leads to the server; nothing secret is in it."""
        found = {
            "PGAPPNAME": f"holdfast {program}",
            "PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT_S),
            "PGHOST": self.socket or self.address,
            "PGPORT": str(self.port) if self.port else "",
            "PGUSER": self.user,
            "PGSERVICE": self.service,
            "PGSSLMODE": self.tls,
            "PGSSLROOTCERT": self.tls_ca,
        }
        return {name: value for name, value in found.items() if value}

    def uri(self, database: str) -> str:
        """The way to a database, as libpq writes it; without the password. Source: PostgreSQL, "Connection URIs"."""
        found = {
            "host": self.socket or self.address,
            "port": str(self.port or ""),
            "sslmode": self.tls,
            "service": self.service,
        }
        words = "&".join(f"{name}={quote(value, safe='')}" for name, value in found.items() if value)
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        name = quote(database.encode("utf-8", "surrogateescape"), safe="")
        return f"postgresql://{user}/{name}" + (f"?{words}" if words else "")

    @property
    def is_on_host(self) -> bool:
        """Whether the server runs where its clients run, as far as the options tell."""
        return not self.service and (not self.address or self.address.startswith(_LOOPBACK))


def parse(given: Reader, secret: Secret | None) -> Connection:
    """The options that say where the server is. Raises: ConfigurationError."""
    socket, address = given.text("socket", ""), given.text("db_host", "")
    if socket and address:
        raise ConfigurationError("options --socket and --db-host exclude each other")
    if socket and not socket.startswith("/"):
        raise ConfigurationError(f"option --socket must be an absolute folder, not {socket!a}")
    tls, authority = given.text("tls", ""), given.text("tls_ca", "")
    if tls and tls not in TLS_MODES:
        raise ConfigurationError(f"option --tls must be one of {', '.join(TLS_MODES)}, not {tls!a}")
    if address and not tls and not address.startswith((*_LOOPBACK, "/")):
        tls = "verify-full"
    if tls.startswith("verify"):
        authority = authority or SYSTEM_AUTHORITIES
    return Connection(
        user=given.text("user", ""),
        socket=socket,
        address=address,
        port=_port(given),
        tls=tls,
        tls_ca=authority,
        service=given.text("service", ""),
        as_user=valid_user(given.text("as_user")) if given.text("as_user", "") else None,
        secret=secret,
    )


def _port(given: Reader) -> int:
    port = given.number("port") or 0
    if not 0 <= port < 65536:
        raise ConfigurationError(f"option --port must be a number of at most 65535, not {port}")
    return port
