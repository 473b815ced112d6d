"""How redis-cli is called, and what INFO says. One connection a call; nothing is prompted for, nothing is kept open."""

from __future__ import annotations

import datetime
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.errors import ConfigurationError, SourceError, ToolMissingError
from engine.hosts.base import Command, Completed, Facts, OpenHost, require_started
from engine.model.definitions import Source
from engine.model.manifest import TableFacts
from engine.model.secret import Secret
from engine.sources import container
from engine.sources.base import Secrets
from engine.sources.options import Reader
from engine.sources.redis import grants

DEFAULT_PORT = 6379
_TLS = ("disable", "require", "verify-ca", "verify-full")
_KEYSPACE = re.compile(r"db(\d+):keys=(\d+),expires=(\d+)")
_LONGEST_WORDS = 300
_LINES_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens, and who we are there."""

    words: tuple[str, ...]
    """Arguments of redis-cli."""
    place: str
    """For messages."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    as_user: str | None = None
    container: str = ""
    """In which the client runs: `docker:NAME`."""
    is_on_host: bool = True
    """Whether the server's files are the host's own."""
    user: str = ""
    """Empty for the default one."""


@dataclass(frozen=True, slots=True)
class Info:
    """What INFO says of a server."""

    version: str
    """`7.0.15`, or `Valkey 8.0.1`."""
    run_id: str
    """Drawn anew at each start."""
    at: datetime.datetime
    """The server's clock."""
    used_bytes: int
    tables: Sequence[TableFacts]
    """The numbered databases that hold keys, by their number."""
    changes: int
    """Since its last save, failing which a count before and one after a dump prove nothing of the time between them."""
    config_file: str = ""
    """Empty for a server that was started without one."""
    is_replica: bool = False
    is_cluster: bool = False
    most_bytes: int = 0
    """What it may hold: its own limit, or the machine's memory; 0 where neither is told."""


def read_address(definition: Source, secrets: Secrets) -> Address:
    """From a source's options, all of which are read. Raises: ConfigurationError."""
    given = Reader(definition)
    socket, db_host, port = given.text("socket", ""), given.text("db_host", ""), given.number("port")
    words = _reach(definition, socket, db_host, port)
    words += _tls_words(definition, given.text("tls", "disable"), given.text("tls_ca", ""), bool(socket))
    user, reference = given.text("user", ""), given.text("secret", "")
    as_user, inside = given.text("as_user", "") or None, given.text("in_container", "")
    given.require_no_more()
    if user and not reference:
        raise ConfigurationError(
            f"option --user of source {definition.name} needs --secret",
            hint="Redis knows no user without a password",
        )
    words += ("--user", user) if user else ()
    place = socket or f"{db_host or '127.0.0.1'}:{port or DEFAULT_PORT}"
    # Without its value the name is there all the same: `host grants` shows the command as it will be.
    held = {"REDISCLI_AUTH": secrets.get("secret", Secret(""))} if reference else {}
    is_on_host = bool(socket) or db_host in ("", "localhost", "127.0.0.1", "::1")
    return Address(words, place, held, as_user, inside, is_on_host, user)


def _reach(definition: Source, socket: str, db_host: str, port: int | None) -> tuple[str, ...]:
    if not socket:
        return ("-h", db_host or "127.0.0.1", "-p", str(port or DEFAULT_PORT))
    if db_host or port is not None:
        raise ConfigurationError(
            f"source {definition.name} has --socket, and so neither --db-host nor --port"
        )
    if not socket.startswith("/"):
        raise ConfigurationError(f"option --socket of source {definition.name} must be an absolute path")
    return ("-s", socket)


def _tls_words(definition: Source, tls: str, authority: str, is_socket: bool) -> tuple[str, ...]:
    if tls not in _TLS:
        raise ConfigurationError(f"option --tls of source {definition.name} must be one of {', '.join(_TLS)}")
    if tls == "verify-full":
        # Measured with redis-cli 7.0.15: a certificate for another name is accepted, with --sni too.
        raise ConfigurationError(
            f"option --tls of source {definition.name} cannot be verify-full: redis-cli checks who signed a certificate, not whose it is",
            hint="verify-ca with an authority that signs for this server alone (--tls-ca) proves as much",
        )
    if tls == "disable":
        if authority:
            raise ConfigurationError(f"option --tls-ca of source {definition.name} needs --tls verify-ca")
        return ()
    if is_socket:
        raise ConfigurationError(f"source {definition.name} has --socket, and so no --tls")
    if tls == "require":
        return ("--tls", "--insecure")
    return ("--tls", "--cacert", authority) if authority else ("--tls",)


def find_tool(host: str, facts: Facts, names: Sequence[str], package: str) -> str:
    """The first of the tools that the host has: Redis's own, or Valkey's. Raises: ToolMissingError."""
    for name in names:
        if name in facts.tools:
            return name
    raise ToolMissingError(
        f"{host} has neither {' nor '.join(names)}",
        hint=f"install it there (Debian: `apt install {package}`), then `holdfast host test {host}`",
    )


class Client:
    """redis-cli on a host, bound to one server."""

    def __init__(self, host: OpenHost, address: Address) -> None:
        """Raises: ConfigurationError for a container that is none."""
        self.host = container.inside(host, address.container)
        self.address = address

    @property
    def where(self) -> str:
        """The server, for messages."""
        return f"the server at {self.address.place} on {self.host.name}"

    async def command(self, *arguments: str) -> Command:
        """redis-cli with its connection and these arguments. Raises: ToolMissingError, HostError."""
        program = await self.program()
        return Command(
            (program, *self.address.words, *arguments),
            secrets=self.address.secrets,
            as_user=self.address.as_user,
        )

    def connect_line(self) -> str:
        """redis-cli's command for a person; it asks for the password by itself, where REDISCLI_AUTH has none."""
        return shlex.join(("redis-cli", *self.address.words))

    async def version_command(self) -> Command:
        """What tells the tool's own version."""
        return Command((await self.program(), "--version"), as_user=self.address.as_user)

    async def program(self) -> str:
        """redis-cli or valkey-cli; images of Valkey have it by both names. Raises: ToolMissingError, HostError."""
        if self.address.container:
            return "redis-cli"
        facts = await self.host.facts()
        return find_tool(self.host.name, facts, ("redis-cli", "valkey-cli"), "redis-tools")

    async def run(self, *arguments: str) -> Completed:
        """A short command to its end. Raises: HostError."""
        return await self.host.run(await self.command(*arguments))

    async def run_lines(self, lines: Sequence[str], limit_bytes: int) -> bytes:
        """What redis-cli prints for commands that it reads from its standard input, a line each: there keys and values may be any bytes,
        and stand in no list of processes. Raises: HostError, SourceError where it was not let in."""
        command = replace(await self.command(), input="stream")
        done = await self.host.run(
            command,
            input_bytes="\n".join([*lines, ""]).encode(),
            limit_bytes=limit_bytes,
            timeout_s=_LINES_TIMEOUT_S,
        )
        require_started(self.host.name, command, done.exit)
        if not done.exit.is_success or done.exit.stderr.strip():
            raise self.refusal(done.exit.stderr or done.stdout)
        return done.stdout

    async def answer(self, *words: str, timeout_s: float = 60.0) -> str:
        """What redis-cli prints for a command. Raises: SourceError where the server calls it an error, HostError."""
        # -e: without it an error of the server is printed as if it were the answer, with status 0. A database number that does not
        # exist is told on standard error alone, and the command goes on in database 0 (measured, 7.0.15).
        done = await self.host.run(await self.command("-e", *words), timeout_s=timeout_s)
        said = done.exit.stderr.strip()
        if not done.exit.is_success or said:
            raise self.refusal(said or done.stdout)
        return done.stdout.decode(errors="backslashreplace").removesuffix("\n")

    async def tool_version(self) -> str:
        """As the tool says it: `redis-cli 7.0.15`."""
        done = await self.host.run(await self.version_command())
        return done.stdout.decode(errors="replace").strip()

    async def info(self) -> Info:
        """Asks the server. Raises: SourceError where it refuses, HostError."""
        done = await self.run("INFO")
        found = parse_info(done.stdout)
        if found is None:
            raise self.refusal(done.exit.stderr + b"\n" + done.stdout)
        return found

    def refusal(self, said: bytes) -> SourceError:
        """The error for what redis-cli said in place of an answer: it ends with status 0 even where the password was wrong."""
        words = " ".join(said.decode(errors="backslashreplace").split())[:_LONGEST_WORDS]
        if "WRONGPASS" in words or "invalid password" in words:
            return SourceError(
                f"{self.where} refused the password: {words}", hint="check --user and --secret of the source"
            )
        if "NOAUTH" in words:
            return SourceError(f"{self.where} wants a password: {words}", hint="give the source a --secret")
        if "NOPERM" in words:
            return SourceError(
                f"{self.where} does not allow it: {words}",
                hint=f"a user for backups needs: ACL SETUSER NAME on >PASSWORD {grants.BACKUP}; `holdfast host grants {self.host.name}` prints what restores need",
            )
        return SourceError(f"{self.where} did not answer as Redis does: {words or 'it said nothing'}")


def parse_info(answer: bytes) -> Info | None:
    """Reads the answer to INFO; None where it is none."""
    lines = answer.decode(errors="replace").splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
    if not {"redis_version", "run_id"} <= values.keys():
        return None
    valkey = values.get("valkey_version")
    keyspace = [tuple(map(int, found.groups())) for found in map(_KEYSPACE.match, lines) if found]
    return Info(
        version=f"Valkey {valkey}" if valkey else values["redis_version"],
        run_id=values["run_id"],
        at=datetime.datetime.fromtimestamp(_number(values, "server_time_usec") / 1_000_000, datetime.UTC),
        used_bytes=_number(values, "used_memory"),
        tables=[
            TableFacts(f"db{number}", keys, expiring=expires) for number, keys, expires in sorted(keyspace)
        ],
        changes=_number(values, "rdb_changes_since_last_save"),
        config_file=values.get("config_file", ""),
        is_replica=values.get("role") in ("slave", "replica"),
        is_cluster=_number(values, "cluster_enabled") == 1,
        most_bytes=_number(values, "maxmemory") or _number(values, "total_system_memory"),
    )


def _number(values: Mapping[str, str], name: str) -> int:
    value = values.get(name, "")
    return int(value) if value.isascii() and value.isdecimal() else 0


def version_numbers(text: str) -> tuple[int, int]:
    """Major and minor of the first version in a text; zeros where there is none."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
