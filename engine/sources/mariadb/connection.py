"""How one account reaches one server: the words of its clients, statements run by them, and what their errors mean."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.errors import (
    ConfigurationError,
    ConnectionLostError,
    HoldfastError,
    SourceError,
    ToolMissingError,
)
from engine.hosts.base import Command, Completed, Exit, OpenHost, require_started
from engine.model.secret import Secret
from engine.sources.mariadb.answers import ResultSet, parse_results
from engine.sources.options import Reader

STATEMENT_TIMEOUT_S = 60.0
ANSWER_LIMIT_BYTES = 64 << 20
"""Of what one run of the client answers: some hundred thousand names."""

_TLS_WORDS: Mapping[str, tuple[str, ...]] = {
    "disable": ("--skip-ssl",),
    "require": ("--ssl", "--skip-ssl-verify-server-cert"),
    "verify-ca": ("--ssl", "--ssl-verify-server-cert"),
    "verify-full": ("--ssl", "--ssl-verify-server-cert"),
}
"""MariaDB's clients know no test of the authority alone, so that `verify-ca` tests the name too."""
_MYSQL_TLS_WORDS: Mapping[str, tuple[str, ...]] = {
    "disable": ("--ssl-mode=DISABLED",),
    "require": ("--ssl-mode=REQUIRED",),
    "verify-ca": ("--ssl-mode=VERIFY_CA",),
    "verify-full": ("--ssl-mode=VERIFY_IDENTITY",),
}
_LOOK = "".join(
    f'for t in {names}; do command -v "$t" >/dev/null 2>&1 && {{ echo "$t"; "$t" --version; break; }}; done; '
    for names in ("%s", "%s")
)

_ACCESS_DENIED, _UNKNOWN_DATABASE = 1045, 1049
_ERROR = re.compile(r"\b(?:ERROR|error:?|Error) (\d{4,5})\b|\((\d{4,5})\)\s*$", re.MULTILINE)
"""The client's way to name an error, and the dumper's."""
_NAMING = frozenset(
    {1005, 1007, 1008, 1044, 1045, 1049, 1050, 1051, 1054, 1071, 1109, 1114, 1133, 1141, 1142, 1143, 1146, 1205, 1227, 1304, 1305, 1356, 1359, 1360,
     1418, 1419, 1435, 1449, 1450, 1698, 2002, 2003, 2005, 2006, 2013, 2026, 4166}
)  # fmt: skip
"""Errors whose quotes hold names and never a row of data. Source: MariaDB's manual, "Error Codes"."""
_LONGEST_REASON = 300
"""Of characters. The dumper repeats its own statements, and has the number at the end."""
_TRANSIENT = frozenset({2002, 2003, 2005, 2006, 2013, 2026})


@dataclass(frozen=True, slots=True)
class Tools:
    """The clients that a host has."""

    client: str
    dumper: str
    client_version: str
    dumper_version: str

    @property
    def is_mysql(self) -> bool:
        """Whether the dumper is MySQL's own, whose options differ."""
        return "MariaDB" not in self.dumper_version

    @property
    def knows_sandbox(self) -> bool:
        """Whether the client takes the first line of newer dumps, `enable the sandbox mode`. Source: MDEV-21178 and its releases."""
        found = re.search(r"(\d+)\.(\d+)\.(\d+)-MariaDB", self.client_version)
        if not found:
            return False
        major, minor, patch = map(int, found.groups())
        since = {(10, 5): 25, (10, 6): 18, (10, 11): 8, (11, 0): 6, (11, 1): 5, (11, 2): 4, (11, 4): 2}
        return (
            patch >= since.get((major, minor), 0)
            if (major, minor) < (11, 4)
            else (major, minor, patch) >= (11, 4, 2)
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """One account of one server, reached from a host."""

    host: OpenHost
    user: str = ""
    socket: str = ""
    db_host: str = ""
    port: int | None = None
    tls: str = ""
    tls_ca: str = ""
    as_user: str | None = None
    secret: Secret | None = None
    is_of_mysql: bool = False
    """Whether MySQL's own clients are taken where the host has both: MariaDB's know nothing of newer servers."""
    _tools: list[Tools] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def read(cls, given: Reader, host: OpenHost, secret: Secret | None, *, is_of_mysql: bool) -> Connection:
        """Takes its options. Raises: ConfigurationError."""
        connection = cls(
            host,
            user=given.text("user", ""),
            socket=given.text("socket", ""),
            db_host=given.text("db_host", ""),
            port=given.number("port"),
            tls=given.text("tls", ""),
            tls_ca=given.text("tls_ca", ""),
            as_user=given.text("as_user", "") or None,
            secret=secret,
            is_of_mysql=is_of_mysql,
        )
        if connection.tls and connection.tls not in _TLS_WORDS:
            raise ConfigurationError(
                f"option --tls must be one of {', '.join(_TLS_WORDS)}, not {connection.tls!a}"
            )
        if connection.tls_ca and connection.tls in ("", "disable", "require"):
            raise ConfigurationError("option --tls-ca needs --tls verify-ca or verify-full")
        if connection.socket and (connection.db_host or connection.port is not None):
            raise ConfigurationError("option --socket excludes --db-host and --port")
        return connection

    @property
    def place(self) -> str:
        """The server, for messages."""
        if self.socket:
            return f"the server at {self.socket} on {self.host.name}"
        if self.db_host or self.port is not None:
            return (
                f"the server at {self.db_host or '127.0.0.1'}:{self.port or 3306}, seen from {self.host.name}"
            )
        return f"the server on {self.host.name}"

    @property
    def is_on_host(self) -> bool:
        """Whether the server's files are the host's own."""
        return self.db_host in ("", "localhost", "127.0.0.1", "::1")

    def words(self, *, is_mysql: bool) -> list[str]:
        """The options that every client is given."""
        first, reach = self.no_defaults, self.reach(is_mysql=is_mysql)
        return [*first, "--default-character-set=utf8mb4", "--max-allowed-packet=1G", *reach]

    @property
    def no_defaults(self) -> list[str]:
        """What must come first. With a password a program reads no option file: one in there would win, and be sent."""
        return ["--no-defaults"] if self.secret is not None else []

    @property
    def secrets(self) -> dict[str, Secret]:
        """The environment by which every program has the password, and no other does."""
        return {} if self.secret is None else {"MYSQL_PWD": self.secret}

    def reach(self, *, is_mysql: bool) -> list[str]:
        """How the server is reached, and as whom."""
        words = [f"--user={self.user}"] if self.user else []
        words += [f"--socket={self.socket}"] if self.socket else []
        if self.db_host or self.port is not None:
            words += ["--protocol=tcp", f"--host={self.db_host or '127.0.0.1'}"]
            words += [f"--port={self.port}"] if self.port is not None else []
        if self.tls:
            words += (_MYSQL_TLS_WORDS if is_mysql else _TLS_WORDS)[self.tls]
            words += [f"--ssl-ca={self.tls_ca}"] if self.tls_ca else []
        return words

    def connect_line(self, database: str) -> str:
        """The client's command for a person; without the password."""
        words = [each for each in self.words(is_mysql=False) if not each.startswith("--max-")]
        return shlex.join(["mariadb", *words, f"--database={database}"])

    def command(
        self, program: str, *words: str, is_mysql: bool, is_fed: bool = False, is_text: bool = False
    ) -> Command:
        """A client's command: never asks for a password, and has it in its own environment alone."""
        return Command(
            (program, *self.words(is_mysql=is_mysql), *words),
            secrets=self.secrets,
            as_user=self.as_user,
            input="stream" if is_fed else "none",
            compress=is_text,
        )

    @property
    def look(self) -> Command:
        """Asks for the client and the dumper: a line with its name, and a line with its version, for each that is there."""
        names = ("mariadb", "mysql"), ("mariadb-dump", "mysqldump")
        ordered = (reversed(each) if self.is_of_mysql else each for each in names)
        return Command(("sh", "-c", f"{_LOOK % tuple(' '.join(each) for each in ordered)}:"))

    async def tools(self) -> Tools:
        """The clients of the host; asked once. Raises: ToolMissingError, HostError."""
        if not self._tools:
            done = await self.host.run(self.look)
            lines = done.stdout.decode(errors="replace").splitlines()
            found = dict(zip(lines[::2], lines[1::2], strict=False))
            client = next((name for name in ("mariadb", "mysql") if name in found), "")
            dumper = next((name for name in ("mariadb-dump", "mysqldump") if name in found), "")
            if not client or not dumper:
                missing = "mariadb" if not client else "mariadb-dump"
                raise ToolMissingError(
                    f"{missing} is missing on {self.host.name}",
                    hint="install it there (Debian: `apt install mariadb-client`, or `default-mysql-client`)",
                )
            self._tools.append(Tools(client, dumper, found[client], found[dumper]))
        return self._tools[0]

    async def client_command(self, *words: str) -> Command:
        """The command that runs statements which it is fed, in UTF-8; none of them can be a command to the client itself."""
        tools = await self.tools()
        is_mysql = "MariaDB" not in tools.client_version
        return self.command(tools.client, "--binary-mode", *words, is_mysql=is_mysql, is_fed=True)

    async def results(
        self, statements: str, database: str = "", timeout_s: float = STATEMENT_TIMEOUT_S
    ) -> Sequence[ResultSet]:
        """Runs statements; the result sets of those that have one. Raises: SourceError, HostError."""
        done = await self.run(statements, database, ("--xml",), timeout_s)
        return parse_results(done.stdout)

    async def run(
        self,
        statements: str,
        database: str = "",
        words: Sequence[str] = (),
        timeout_s: float = STATEMENT_TIMEOUT_S,
    ) -> Completed:
        """Runs statements in that database, until the first that fails. Raises: SourceError, HostError."""
        command = await self.client_command(*words, *([f"--database={database}"] if database else []))
        done = await self.host.run(
            command,
            input_bytes=statements.encode("utf-8", "surrogateescape") + b"\n",
            limit_bytes=ANSWER_LIMIT_BYTES,
            timeout_s=timeout_s,
        )
        self.require_success(command, done.exit)
        return done

    def require_success(self, command: Command, ended: Exit) -> None:
        """Raises unless the client ended well: its own words, without any row of data. Raises: SourceError, HostError."""
        require_started(self.host.name, command, ended)
        if not ended.is_success:
            raise self.failure(command, ended)

    def failure(self, command: Command, ended: Exit, error: type[SourceError] = SourceError) -> HoldfastError:
        """What the client's end means."""
        if ended.status is None and ended.signal is None:
            return ConnectionLostError(f"{self.host.name} never said how {command.program} ended")
        words = reason(ended.stderr)
        number = error_number(words)
        if number == _ACCESS_DENIED:
            return error(
                f"{self.place} refused the login of {self.user or 'the default user'}: {words}",
                hint="see the user and the secret of this source",
            )
        if number in _TRANSIENT:
            return error(f"{self.place} could not be reached, or hung up: {words}")
        how = f"signal {ended.signal}" if ended.signal else f"status {ended.status}"
        return error(f"{self.place}: {command.program} ended with {how}: {words or 'nothing was said'}")


def error_number(words: str) -> int | None:
    """The server's or the client's own number of an error."""
    found = _ERROR.search(words)
    return int(found[1] or found[2]) if found else None


def reason(stderr: bytes) -> str:
    """The last error that a client told of, on one line, and with no row of data in it.

    Clients repeat the statement that failed, and the server quotes what stood at the place of the error; both may be anybody's data.
    """
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines()]
    errors = [line for line in lines if _ERROR.search(line) or line.startswith("ERROR ")]
    if not errors:
        known = [line for line in lines if line.startswith(("mariadb", "mysql", "sh:", "/bin/sh:"))]
        return known[-1][:300] if known else ""
    line = errors[-1]
    begin, end = line.find("'"), line.rfind("'")
    if begin >= 0 and error_number(line) not in _NAMING:
        line = f"{line[:begin]}…{line[end + 1 :] if end > begin else ''}"
    return line if len(line) <= _LONGEST_REASON else f"{line[:200]} … {line[-90:]}"


def hides_events(name: str) -> bool:
    """Whether mariadb-dump, told to take events, fails on a database of that name for having escaped it twice (measured, 10.11)."""
    return any(letter in name for letter in "'\"\\\n\r\x1a")


def quote_name(name: str) -> str:
    """A name as SQL takes it for one, whatever it holds."""
    return "`" + name.replace("`", "``") + "`"


def quote_text(text: str) -> str:
    """A text as SQL takes it for one, in any SQL mode."""
    if not text:
        return "''"
    return f"CONVERT(0x{text.encode('utf-8', 'surrogateescape').hex()} USING utf8mb4)"
