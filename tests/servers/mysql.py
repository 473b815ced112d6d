"""A MySQL server of Debian's unstable release, unpacked beside this one and run from there: no stable release of Debian has one."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers.tools import missing
from tests.servers.unpacked import unpacked

_SUITE, _PACKAGES = "sid", ("mysql-server-core", "mysql-client-core")
_PROGRAMS = "usr/sbin/mysqld usr/bin/mysql usr/bin/mysqldump"
_SMALL = (
    "--innodb-redo-log-capacity=8M",
    "--mysqlx=OFF",
    "--secure-file-priv=NULL",
    "--performance-schema=OFF",
)
_START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class MysqlServer:
    """A running server."""

    socket: Path
    programs: Sequence[Path]
    """The folders that its programs lie in."""
    data: Path

    def sql(self, statements: str, database: str = "") -> list[list[str]]:
        """Runs statements as root; the rows of all their results. Raises: RuntimeError."""
        words = [str(self.programs[1] / "mysql"), "--no-defaults", f"--socket={self.socket}", "--user=root", "--skip-column-names", f"--database={database}"]  # fmt: skip
        done = subprocess.run(words, input=statements.encode(), capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())
        return [line.split("\t") for line in done.stdout.decode().splitlines()]


def _account() -> list[str]:
    """Who the server runs as where we are root, which it refuses."""
    if os.geteuid() != 0:
        return []
    with contextlib.suppress(KeyError):
        return [f"--user={pwd.getpwnam('mysql').pw_name}"]
    return ["--user=nobody"]


def _unpacked() -> Path:
    """The tree of its programs, and beside it an empty server's data; takes a minute once a machine. The test is skipped, in CI failed, where they
    cannot be had."""
    with unpacked("mysql", _SUITE, _PROGRAMS, _PACKAGES) as there:
        said = there.said
        if there.tree.exists() and not (there.folder / "data").exists():
            said = _make_data(there.folder)
    if not (there.folder / "data").exists():
        missing(f"MySQL could not be had from Debian's {_SUITE}: {said.strip()[-300:]}")
    return there.folder


def _make_data(folder: Path) -> str:
    """An empty server's data, made whole or not at all; what the server said."""
    made = folder / "making"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    with tempfile.TemporaryDirectory(dir=folder) as room:
        for each in (made, room) if _account() else ():
            shutil.chown(each, _account()[0].partition("=")[2])
        words = [str(folder / "tree/usr/sbin/mysqld"), "--no-defaults", "--initialize-insecure", f"--datadir={made}", f"--tmpdir={room}", *_SMALL, *_account()]  # fmt: skip
        done = subprocess.run(words, check=False, capture_output=True, cwd="/")
    if (made / "mysql.ibd").exists():
        made.rename(folder / "data")
    return done.stderr.decode(errors="replace")


@contextlib.contextmanager
def running_mysql() -> Iterator[MysqlServer]:
    """Starts a server with its log on, on a copy of an empty one's data. Stopped, with its folder removed, at the end."""
    folder = _unpacked()
    directory = Path(tempfile.mkdtemp(prefix="hf-mysql-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        shutil.copytree(folder / "data", directory / "data")
        (directory / "data" / "auto.cnf").unlink(missing_ok=True)  # each server makes an id of its own
        for path in (directory, *directory.rglob("*")) if _account() else ():
            shutil.chown(path, _account()[0].partition("=")[2])
        words = [
            str(folder / "tree/usr/sbin/mysqld"), "--no-defaults", f"--datadir={directory}/data", f"--tmpdir={directory}/data",
            f"--socket={directory}/s", f"--pid-file={directory}/data/pid", "--skip-networking", "--server-id=5", "--log-bin=log",
            "--log-bin-trust-function-creators=ON", "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", *_SMALL, *_account(),
        ]  # fmt: skip
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        try:
            _wait_ready(directory, process)
            bins = [folder / "tree/usr/sbin", folder / "tree/usr/bin"]
            yield MysqlServer(directory / "s", bins, directory / "data")
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait_ready(directory: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(directory / "s"))
            return
        time.sleep(0.02)
    raise RuntimeError(f"mysqld did not start: {(directory / 'log').read_text(errors='replace')[-2000:]}")
