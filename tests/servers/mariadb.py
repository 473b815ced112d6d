"""MariaDB servers in folders of their own, on a Unix socket and a port of 127.0.0.1, under an account without privileges.

`root` logs in without a password by the socket, for the tests themselves; KEEPER, with PASSWORD, has the least that a backup needs.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.tools import free_port, require_tool

KEEPER = "keeper"
PASSWORD = 'it\'s "$(touch ran)"; `touch ran` & ü'
"""Nasty, and the same on all servers."""
_START_TIMEOUT_S = 30.0
_RIGHTS = "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, RELOAD, BINLOG MONITOR"


@dataclass(frozen=True, slots=True)
class MariadbServer:
    """A running server."""

    socket: Path
    port: int
    process: subprocess.Popen[bytes]
    directory: Path
    """Readable for everybody, and gone at the end; the data is in `data`."""

    def sql(self, statements: str, database: str = "") -> list[list[str]]:
        """Runs statements as root; the rows of all their results, as the client's batch mode prints them. Raises: CalledProcessError."""
        words = [
            "mariadb",
            "--no-defaults",
            f"--socket={self.socket}",
            "--user=root",
            "--binary-mode",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
            f"--database={database}",
        ]
        done = subprocess.run(words, input=statements.encode(), capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())
        return [line.split("\t") for line in done.stdout.decode().splitlines()]

    def stop(self) -> None:
        """Kills it: it holds nothing that is worth an orderly end."""
        self.process.kill()
        self.process.wait()

    def dump(self, database: str, *, with_events: bool = True) -> str:
        """A dump of the database that can be compared: without dates, positions and the sandbox line."""
        words = [
            "mariadb-dump", "--no-defaults", f"--socket={self.socket}", "--user=root", "--single-transaction",
            "--routines", "--events" if with_events else "--skip-events", "--triggers", "--hex-blob", "--skip-comments", "--", database,
        ]  # fmt: skip
        return subprocess.run(words, capture_output=True, check=True).stdout.decode()


def _account() -> str | None:
    """Who the server runs as where we are root, which it refuses: Debian's own account for it, else nobody."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("mysql").pw_name
    return "nobody"


def _install(directory: Path, account: Sequence[str]) -> None:
    """With a folder of its own for temporary tables: at its start a server removes all that lie there, whosever they are."""
    words = [
        str(require_tool("mariadb-install-db")), "--no-defaults", f"--datadir={directory}/data", f"--tmpdir={directory}/data", "--skip-name-resolve",
        "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=4M", *account,
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, check=False, cwd="/")
    if done.returncode != 0:
        raise RuntimeError(f"mariadb-install-db: {done.stdout.decode()}{done.stderr.decode()}")


def _defaults(extra: Sequence[str]) -> list[str]:
    """What must come first: the option file, or that there is none."""
    return [each for each in extra if each.startswith("--defaults-")] or ["--no-defaults"]


def _start(directory: Path, account: Sequence[str], extra: Sequence[str]) -> MariadbServer:
    for _attempt in range(3):  # another may have taken the port meanwhile
        if (server := _start_once(directory, account, extra)) is not None:
            return server
    raise RuntimeError(f"mariadbd did not start: {(directory / 'log').read_text(errors='replace')[-2000:]}")


def _start_once(directory: Path, account: Sequence[str], extra: Sequence[str]) -> MariadbServer | None:
    port = free_port()
    path = directory / "socket"
    words = [
        str(require_tool("mariadbd")), *_defaults(extra), f"--datadir={directory}/data", f"--tmpdir={directory}/data", f"--socket={path}", f"--port={port}",
        "--bind-address=127.0.0.1", f"--pid-file={directory}/data/pid", "--skip-name-resolve", "--performance-schema=OFF",
        "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0",
        "--event-scheduler=ON", *account, *(each for each in extra if each not in _defaults(extra)),
    ]  # fmt: skip
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
        )
    server = MariadbServer(path, port, process, directory)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
            return server
        time.sleep(0.02)
    process.kill()
    process.wait()
    return None


@contextlib.contextmanager
def running_mariadb(template: Path, *extra: str) -> Iterator[MariadbServer]:
    """Starts a server on a copy of the template's data; `extra` are its options. Stopped, with its folder removed, at the end."""
    directory = Path(tempfile.mkdtemp(prefix="hf-mariadb-", dir="/tmp"))
    try:
        name = _account()
        shutil.copytree(template / "data", directory / "data")
        if name is not None:
            for path in directory.rglob("*"):
                shutil.chown(path, name)
        with started_mariadb(directory, *extra) as server:
            # The installer makes accounts for the machine's own names, which a server that resolves none passes over.
            for host in {row[0] for row in server.sql("SELECT host FROM mysql.user WHERE user = 'root'")} - {
                "localhost"
            }:
                server.sql(
                    f"DELETE FROM mysql.global_priv WHERE user = 'root' AND host = '{host}'; FLUSH PRIVILEGES"
                )
            quoted = PASSWORD.replace("'", "''")
            server.sql(
                f"CREATE USER {KEEPER}@localhost IDENTIFIED BY '{quoted}'; CREATE USER {KEEPER}@'127.0.0.1' IDENTIFIED BY '{quoted}';"
                f"GRANT {_RIGHTS} ON *.* TO {KEEPER}@localhost; GRANT {_RIGHTS} ON *.* TO {KEEPER}@'127.0.0.1'"
            )
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def started_mariadb(directory: Path, *extra: str) -> Iterator[MariadbServer]:
    """Starts a server on what lies in `data` of the directory, which becomes its account's own; stopped at the end."""
    name = _account()
    directory.chmod(0o755)
    if name is not None:
        shutil.chown(directory, name)
    server = _start(directory, [f"--user={name}"] if name else [], extra)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def mariadb_template() -> Iterator[Path]:
    """A data folder as mariadb-install-db leaves it, which takes two seconds: servers start on copies of it."""
    for tool in ("mariadbd", "mariadb", "mariadb-dump"):
        require_tool(tool)
    directory = Path(tempfile.mkdtemp(prefix="hf-mariadb-", dir="/tmp"))
    try:
        (directory / "data").mkdir()
        name = _account()
        if name is not None:
            directory.chmod(0o755)
            shutil.chown(directory / "data", name)
        _install(directory, [f"--user={name}"] if name else [])
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb(mariadb_template: Path) -> Iterator[MariadbServer]:
    """A server with its log on, for the whole session: for tests that leave it alive, each with databases of its own."""
    with running_mariadb(
        mariadb_template, "--log-bin=log", "--server-id=7", "--log-bin-trust-function-creators=ON"
    ) as server:
        yield server


@pytest.fixture(scope="session")
def other_mariadb(mariadb_template: Path) -> Iterator[MariadbServer]:
    """Another one, with its log off: what must not be touched when `mariadb` is meant."""
    with running_mariadb(mariadb_template) as server:
        yield server


@pytest.fixture
def start_mariadb(mariadb_template: Path) -> Iterator[Callable[..., MariadbServer]]:
    """Starts servers for this test alone, with options of their own: for tests that kill one."""
    with ExitStack() as stack:

        def start(*extra: str) -> MariadbServer:
            return stack.enter_context(running_mariadb(mariadb_template, *extra))

        yield start
