"""PostgreSQL from Debian's package: servers of the tests' own, in folders of their own, as the account `postgres` or `nobody`.

A server answers on a Unix socket, where everybody is trusted, and on 127.0.0.1, where passwords and TLS are asked for what they are worth.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwnam, getpwuid, struct_passwd

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from engine.sources.postgres.spool import archive_command
from tests.servers.tools import free_port, missing, require_tool

PASSWORD = "p'a\"s $s\\w;o rd"
"""Of the roles `backup` and `owner`: protects nothing."""
_READY_TIMEOUT_S = 30.0
_BINARIES = Path("/usr/lib/postgresql")
_ACCESS = """\
local all all trust
local replication all trust
host all postgres 127.0.0.1/32 trust
host replication old_streamer 127.0.0.1/32 md5
host replication clear_streamer 127.0.0.1/32 password
host replication all 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""
_QUICK = """\
fsync = off
full_page_writes = off
synchronous_commit = off
shared_buffers = 32MB
max_wal_size = 256MB
"""
_SETTINGS = """\
listen_addresses = '127.0.0.1'
autovacuum = off
log_min_messages = warning
wal_level = replica
max_prepared_transactions = 4
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
"""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server."""

    directory: Path
    """Of the socket; the server's certificate lies there too, as `server.crt`."""
    port: int
    pid: int
    binaries: Path
    account: str
    """Of the machine, that it runs as."""

    @property
    def authority(self) -> Path:
        """The certificate to check the server's against."""
        return self.directory / "server.crt"

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.directory / "data"

    @property
    def spool(self) -> Path:
        """Where its log waits, where it is archiving."""
        return self.directory / "spool"

    @property
    def version(self) -> str:
        """As the server says it."""
        return self.psql("show server_version")

    def psql(self, statements: str, database: str = "postgres", user: str = "postgres") -> str:
        """What psql prints for the statements, as the superuser; fails the test where one of them fails."""
        quoted = database.replace("\\", "\\\\").replace("'", "\\'")
        words = [
            "-AtXq",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            str(self.directory),
            "-p",
            str(self.port),
            "-U",
            user,
        ]
        done = subprocess.run(
            [str(self.binaries / "psql"), *words, "-d", f"dbname='{quoted}'"],
            input=statements,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.removesuffix("\n")

    def options(
        self, **more: str | int | bool | Sequence[str]
    ) -> dict[str, str | int | bool | Sequence[str]]:
        """The options of a source for the superuser on the socket."""
        return {"socket": str(self.directory), "port": self.port, "user": "postgres", **more}


def _account() -> struct_passwd:
    """Whom the server runs as: not root."""
    if os.geteuid() != 0:
        return getpwuid(os.geteuid())
    try:
        return getpwnam("postgres")
    except KeyError:
        return getpwnam("nobody")


def binaries() -> Path:
    """The folder of the newest server that is installed, or what POSTGRES_BINARIES names: the tests run with any version."""
    if given := os.environ.get("POSTGRES_BINARIES"):
        return Path(given)
    require_tool("pg_ctlcluster")
    found = sorted(_BINARIES.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if not found:
        missing("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    return found[-1].parent


def _as(account: struct_passwd, *words: str) -> list[str]:
    if os.geteuid() != 0:
        return list(words)
    ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return [str(require_tool("setpriv")), *ids, "--", *words]


def as_server(*words: str) -> list[str]:
    """The command line that runs these as whom servers run."""
    return _as(_account(), *words)


def _make_certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(random.getrandbits(64) + 1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "data/server.key").write_bytes(private)
    shutil.copy(directory / "server.crt", directory / "data/server.crt")


def _initialise(
    directory: Path, folder: Path, account: struct_passwd, settings_text: str, segment_mib: int
) -> None:
    words = ["-D", str(directory / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    locale = ["--locale=C.UTF-8", "--no-sync", "--no-instructions", f"--wal-segsize={segment_mib}"]
    subprocess.run(
        _as(account, str(folder / "initdb"), *words, *locale), check=True, capture_output=True, cwd="/"
    )
    _make_certificate(directory)
    (directory / "data/pg_hba.conf").write_text(_ACCESS, encoding="utf-8")
    with (directory / "data/postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write(settings_text)
    if os.geteuid() == 0:
        for name in ("server.key", "server.crt"):
            os.chown(directory / "data" / name, account.pw_uid, account.pw_gid)
    (directory / "data/server.key").chmod(0o600)


def _start(
    directory: Path, folder: Path, account: struct_passwd, wanted_port: int = 0
) -> tuple[subprocess.Popen[bytes], int]:
    for _attempt in range(5):
        port = wanted_port or free_port()
        words = [
            str(folder / "postgres"),
            "-D",
            str(directory / "data"),
            "-k",
            str(directory),
            "-p",
            str(port),
        ]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                _as(account, *words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY_TIMEOUT_S
        ask = [str(folder / "pg_isready"), "-q", "-h", str(directory), "-p", str(port)]
        while time.monotonic() < deadline and process.poll() is None:
            if subprocess.run(ask, check=False).returncode == 0:
                return process, port
            time.sleep(0.02)
        process.kill()
        process.wait()
    raise RuntimeError(f"PostgreSQL did not start: {(directory / 'log').read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def running_postgres(
    *,
    is_durable: bool = False,
    is_archiving: bool = False,
    segment_mib: int = 16,
    settings: str = "",
    programs: Path | None = None,
) -> Iterator[Postgres]:
    """Starts a server with the roles `backup` (reads all) and `owner` (makes databases). Stopped, with its folder removed, at the end.

    `is_durable`: it writes as a server does that people rely on; else it is as quick as can be. `is_archiving`: its log goes into `spool`.
    `segment_mib`: of its log. `settings`: more lines of its configuration. `programs`: the folder of another version's.
    """
    folder, account = programs or binaries(), _account()
    # The socket's path must be short, and the account must be able to go there.
    directory = Path(tempfile.mkdtemp(prefix="hf-pg-", dir="/tmp"))
    directory.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(directory, account.pw_uid, account.pw_gid)
    try:
        lines = _SETTINGS + ("" if is_durable else _QUICK) + settings
        _initialise(
            directory,
            folder,
            account,
            lines + _spooling(directory, account, is_archiving=is_archiving),
            segment_mib,
        )
        with started_postgres(directory, programs=folder) as server:
            password = PASSWORD.replace("'", "''").replace("\\", "\\\\")
            server.psql(
                f"create role backup login password E'{password}'; grant pg_read_all_data to backup;"
                f"create role owner login createdb password E'{password}'"
            )
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _spooling(directory: Path, account: struct_passwd, *, is_archiving: bool) -> str:
    """Makes the spool; gives the lines of the configuration that have the log go there."""
    (directory / "spool").mkdir()
    if os.geteuid() == 0:
        os.chown(directory / "spool", account.pw_uid, account.pw_gid)
    command = archive_command(str(directory / "spool")).replace("'", "''")
    return f"archive_mode = on\narchive_command = '{command}'\n" if is_archiving else ""


@contextlib.contextmanager
def standby_of(server: Postgres) -> Iterator[Postgres]:
    """A second server that follows the first, with a spool of its own that it fills once it is promoted. Stopped and removed at the end."""
    account = _account()
    directory = Path(tempfile.mkdtemp(prefix="hf-pg-", dir="/tmp"))
    directory.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(directory, account.pw_uid, account.pw_gid)
    try:
        source = ("-h", str(server.directory), "-p", str(server.port), "-U", "postgres")
        copying = [str(server.binaries / "pg_basebackup"), *source, "-D", str(directory / "data"), "-R", "-c", "fast", "-N"]  # fmt: skip
        subprocess.run(_as(account, *copying), check=True, capture_output=True, cwd="/")
        shutil.copy(server.authority, directory)
        with (directory / "data/postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(_spooling(directory, account, is_archiving=True))
        with started_postgres(directory) as standby:
            yield standby
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def stop(server: Postgres, how: signal.Signals = signal.SIGINT) -> None:
    """Ends it now, cleanly or (SIGKILL) not, and waits until all of it is gone. It may be started again."""
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    os.kill(server.pid, how)
    psutil.wait_procs(processes, timeout=_READY_TIMEOUT_S)
    if how is signal.SIGKILL:
        (server.data / "postmaster.pid").unlink(missing_ok=True)


@contextlib.contextmanager
def started_postgres(directory: Path, port: int = 0, programs: Path | None = None) -> Iterator[Postgres]:
    """Starts a server on the folder `data` that lies there, whose access rules trust everybody on the socket; stopped at the end.

    `port`: 0 for any that is free. `programs`: the folder of another version's than `binaries` gives.
    """
    folder, account = programs or binaries(), _account()
    directory.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(directory, account.pw_uid, account.pw_gid)
    process, port = _start(directory, folder, account, port)
    try:
        yield Postgres(directory, port, process.pid, folder, account.pw_name)
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(10)


@contextlib.contextmanager
def controlled(server: Postgres) -> Iterator[Callable[[str], None]]:
    """What restarts the server, `fast` or `immediate`: it is another process then, which this context stops at its end."""
    control = [str(server.binaries / "pg_ctl"), "-D", str(server.data), "-s", "-w"]
    log = str(server.directory / "log.restarted")

    def restart(mode: str) -> None:
        words = _as(_account(), *control, "-t", "50", "-m", mode, "-l", log, "restart")
        subprocess.run(words, check=True, cwd="/", stdin=subprocess.DEVNULL)

    try:
        yield restart
    finally:
        subprocess.run(_as(_account(), *control, "-m", "immediate", "stop"), check=False, cwd="/")


def control(cluster: Postgres, verb: str) -> str:
    """A line that stops or starts the server."""
    ids = f"--reuid=$(id -u {cluster.account}) --regid=$(id -g {cluster.account}) --clear-groups"
    way = f"setpriv {ids} -- " if os.geteuid() == 0 else ""
    where = f"-k {cluster.directory} -p {cluster.port}"
    line = f"{cluster.binaries}/pg_ctl -D {cluster.data} -m fast -o '{where}' -l {cluster.directory}/restarted {verb}"
    return f"cd / && {way}{line} >/dev/null 2>&1 </dev/null"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole session; tests take databases of their own."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def other_postgres() -> Iterator[Postgres]:
    """A second server, so that what goes to the wrong one is seen."""
    with running_postgres() as server:
        yield server
