"""Opens the catalog's file: creates it, migrates it, or says in one sentence why not.

All of it blocks, and runs in the catalog's own thread. What is there is never changed before a copy of it was kept.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import re
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import CatalogBusyError, CatalogDamagedError, CatalogError, CatalogVersionError
from engine.process import Liveness, ProcessIdentity

_FOLDER = Path(__file__).parent
_INDEX_BYTES = 32 << 10
"""The least that SQLite makes beside the catalog: the index of its log, for all processes (sqlite.org/walformat.html)."""
_WAY_OUT = (
    "move it aside, for nothing is written over it; `holdfast recover` makes a new one from a repository"
)


@dataclass(frozen=True, slots=True)
class Schema:
    """What a program knows of the catalog's shape."""

    whole: str
    """Creates all that a new catalog has."""
    migrations: Mapping[int, str]
    """Version -> what leads to it from the version before. The highest is the program's own."""

    @property
    def version(self) -> int:
        """The version that this program reads and writes."""
        return max(self.migrations)

    @classmethod
    @functools.cache
    def current(cls) -> Schema:
        """The one that lies beside this module."""
        steps = {
            int(path.name[:4]): path.read_text(encoding="utf-8")
            for path in (_FOLDER / "migrations").glob("[0-9][0-9][0-9][0-9]_*.sql")
        }
        return cls((_FOLDER / "schema.sql").read_text(encoding="utf-8"), steps)


@functools.cache
def load_queries() -> Mapping[str, str]:
    """Name -> SQL, from queries.sql."""
    text = (_FOLDER / "queries.sql").read_text(encoding="utf-8")
    _, *parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    names = parts[::2]
    if len(set(names)) != len(names):
        raise AssertionError("queries.sql has two queries of one name")
    return {name: sql.partition(";")[0].strip() for name, sql in zip(names, parts[1::2], strict=True)}


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turns every error of SQLite into one of ours. Raises: CatalogBusyError, CatalogDamagedError, CatalogError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path) from error


def _translate(error: sqlite3.Error, path: Path) -> CatalogError:
    # The low byte is the kind of error, the rest says more of it (sqlite.org/rescode.html).
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return CatalogBusyError(
            f"the catalog {path} is locked by another process",
            hint="another holdfast writes to it, or another program has it open: try again when that is done",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return CatalogDamagedError(f"the catalog {path} is damaged: {error}", hint=_ways_out(path))
    reasons = {
        sqlite3.SQLITE_FULL: ("the disk is full", f"free some space on the disk of {path.parent}"),
        sqlite3.SQLITE_READONLY: ("it is read-only", "see to its permissions and its file system"),
        sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", f"see to the permissions of {path.parent}"),
        sqlite3.SQLITE_IOERR: ("its disk fails, or is full", f"see to the disk of {path.parent}"),
    }
    if code == sqlite3.SQLITE_IOERR and is_full(path):
        code = sqlite3.SQLITE_FULL
    reason, hint = reasons.get(code, (str(error), None))
    return CatalogError(f"the catalog {path} could not do what was asked: {reason}", hint=hint)


def is_full(path: Path) -> bool:
    """Whether the disk of the catalog has less room than SQLite needs beside the file to open it."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path.parent).free < _INDEX_BYTES
    return False


def _ways_out(path: Path) -> str:
    copies = sorted(path.parent.glob(f"{path.name}.version-*"))
    if not copies:
        return _WAY_OUT
    return f"{_WAY_OUT}; {copies[-1]} is a copy that was kept before the last migration"


def connect(path: Path, *, now: datetime.datetime, timeout_s: float, schema: Schema) -> sqlite3.Connection:
    """A connection to the catalog at `path`, created or migrated where it has to be; its user closes it.

    Raises: CatalogVersionError (newer than this program, or older and still in use), CatalogBusyError, CatalogDamagedError,
    CatalogError.
    """
    with translated(path):
        _create_file(path)
        connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
        try:
            _configure(connection)
            version = _version(connection)
            if version != schema.version:
                _bring_to_version(connection, path, now, schema)
            connection.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            connection.close()
            raise
        return connection


def _create_file(path: Path) -> None:
    """Makes an empty file that only its owner reads: SQLite's own would be as open as the umask lets it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise CatalogError(
            f"the catalog {path} cannot be opened: {error.strerror}",
            hint=f"see to the permissions, the disk and the file system of {path.parent}",
        ) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CatalogError(f"the catalog {path} is no file")
    finally:
        os.close(descriptor)


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    # FULL syncs the log at each commit: a job or backup that was said to be written outlives a power cut.
    connection.execute("PRAGMA synchronous = FULL")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _bring_to_version(
    connection: sqlite3.Connection, path: Path, now: datetime.datetime, schema: Schema
) -> None:
    version = _version(connection)
    if version > schema.version:
        raise newer(path, version, schema)
    in_the_way: list[str] = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been faster while this one waited for the transaction.
        version = _version(connection)
        if version != schema.version:
            if _tables(connection):
                _refuse_while_in_use(connection, path, now, in_the_way)
                _keep_copy(path, version, now)
                steps = [schema.migrations[step] for step in range(version + 1, schema.version + 1)]
            else:
                steps = [schema.whole]
            for step in steps:
                run_script(connection, step)
            connection.execute(f"PRAGMA user_version = {schema.version:d}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        _tell_to_stop(connection, in_the_way)
        raise


def newer(path: Path, version: int, schema: Schema) -> CatalogVersionError:
    """The error for a catalog that a later version of the program has changed."""
    return CatalogVersionError(
        f"the catalog {path} is of version {version}, and this holdfast knows versions up to {schema.version}",
        hint="a newer holdfast has been here: use that one",
    )


def _tell_to_stop(connection: sqlite3.Connection, owners: Sequence[str]) -> None:
    """Tells older workers to take no more jobs, and to end when those that they run are over; versions that can be told so have a column."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(workers)")}
    if "is_stopping" in columns:
        for owner in owners:
            connection.execute("UPDATE workers SET is_stopping = 1 WHERE owner = ?", (owner,))


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Runs a script's statements inside the transaction that is open (executescript would commit it first)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def _keep_copy(path: Path, version: int, now: datetime.datetime) -> None:
    """Copies the catalog as it is to `<name>.version-<n>-<time>`, written aside and synced first.

    While the transaction that migrates is open: nothing changes between the two, and of several processes one alone copies. SQLite
    copies nothing through a connection that is writing, so that another one reads.
    """
    final = path.with_name(f"{path.name}.version-{version}-{now:%Y%m%dT%H%M%SZ}")
    aside = path.with_name(f".{final.name}.{os.getpid()}")
    try:
        _create_file(aside)
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(aside)) as target,
        ):
            source.backup(target)
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(final)
    finally:
        aside.unlink(missing_ok=True)
    folder = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _refuse_while_in_use(
    connection: sqlite3.Connection, path: Path, now: datetime.datetime, in_the_way: list[str]
) -> None:
    """A process of the older version would write rows that the newer shape has no place for; those that are found are added to the list."""
    if not {"workers", "jobs"} <= _tables(connection):
        raise CatalogDamagedError(f"{path} is a database, but no catalog of holdfast", hint=_WAY_OUT)
    microseconds = int(now.timestamp() * 1_000_000)
    for owner, what, _until in connection.execute(load_queries()["live_leases"], {"now": microseconds}):
        identity = ProcessIdentity.parse(owner)
        if identity is None or identity.liveness() is Liveness.DEAD or identity == ProcessIdentity.current():
            continue
        in_the_way.append(owner)
        raise CatalogVersionError(
            f"the catalog {path} has to be brought to this version, but {what} still runs as process {identity.pid} on {identity.host}",
            hint=f"a worker was told to stop, and does so when its jobs are over: try again then. `systemctl stop holdfast-worker` or "
            f"`kill {identity.pid}` on {identity.host} stops it sooner",
        )
