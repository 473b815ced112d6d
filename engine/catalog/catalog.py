"""The catalog as its users see it: one open file, one attribute for each noun."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.catalog import reading
from engine.catalog.alerts import Alerts, Silences, Windows
from engine.catalog.audit_rows import AuditRows
from engine.catalog.backups import Backups
from engine.catalog.database import Database, to_json
from engine.catalog.definitions import Hosts, Plans, Sources, Storages
from engine.catalog.jobs import Jobs
from engine.catalog.notices import Destinations, Notices
from engine.catalog.opening import Schema, newer
from engine.catalog.proofs import Proofs
from engine.catalog.schedules import Schedules, Timetable
from engine.catalog.settings import HostKeys, PackProofs, SealedSecrets, Settings
from engine.catalog.standing import Standing
from engine.catalog.takeover import Join
from engine.catalog.workers import Workers
from engine.clock import Clock
from engine.errors import CatalogReplacedError

if TYPE_CHECKING:
    from engine.catalog.batches import Batches
    from engine.catalog.history import History
    from engine.catalog.logs import Logs

TIMEOUT_S = 10.0
"""How long a write waits for another process's."""


def _identity(path: Path) -> tuple[int, int]:
    """Of the file that lies there; the same for none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


class Catalog:
    """All that holdfast knows. Every method may raise CatalogBusyError, CatalogDamagedError and CatalogError."""

    def __init__(self, database: Database, *, is_copy: bool = False, schema: Schema | None = None) -> None:
        self._schema = schema
        self._identity = _identity(database.path)
        self.is_copy = is_copy
        """Whether it is a copy for readers, that nobody writes."""
        self._database = database
        self.hosts = Hosts(database)
        self.sources = Sources(database)
        self.storages = Storages(database)
        self.plans = Plans(database)
        self.backups = Backups(database)
        self.proofs = Proofs(database)
        self.standing = Standing(database)
        self.jobs = Jobs(database)
        self.schedules = Schedules(database)
        self.timetable = Timetable(database)
        self.workers = Workers(database)
        self.alerts = Alerts(database)
        self.silences = Silences(database)
        self.windows = Windows(database)
        self.destinations = Destinations(database)
        self.notices = Notices(database)
        self.settings = Settings(database)
        self.host_keys = HostKeys(database)
        self.pack_proofs = PackProofs(database)
        self.secrets = SealedSecrets(database)
        self.audit_rows = AuditRows(database)

    @functools.cached_property
    def batches(self) -> Batches:
        """Jobs that run one after the other."""
        from engine.catalog.batches import Batches

        return Batches(self._database)

    @functools.cached_property
    def history(self) -> History:
        """All jobs of a time."""
        from engine.catalog.history import History  # reports and trends alone read it

        return History(self._database)

    @functools.cached_property
    def logs(self) -> Logs:
        """Logs between backups."""
        from engine.catalog.logs import Logs

        return Logs(self._database)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        clock: Clock,
        *,
        timeout_s: float = TIMEOUT_S,
        schema: Schema | None = None,
        is_reading: bool = False,
    ) -> AsyncIterator[Catalog]:
        """Opens the catalog at `path`; creates it where nothing is, migrates an older one after a copy of it was kept beside it.

        With `is_reading` one whose disk is full or read-only will do: see `unwritable`. It is kept from others where it has to be, so that
        nothing that takes long is to be done with it.

        Raises: CatalogVersionError (newer than this program, or older and still in use by a process, which it names),
        CatalogBusyError, CatalogDamagedError, CatalogError.
        """
        known = schema or Schema.current()
        async with Database.open(
            path, clock, timeout_s=timeout_s, schema=known, is_reading=is_reading
        ) as database:
            yield cls(database, schema=known)

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    @property
    def unwritable(self) -> str:
        """Why nothing can be written, where it was opened for reading all the same; else empty."""
        return self._database.unwritable

    async def apply(self, puts: Sequence[tuple[str, Any]], removals: Sequence[tuple[str, str]] = ()) -> None:
        """Defines and forgets all of these, in this order, or none: each by the name of its attribute here, `hosts` for one.

        Raises: UsageError, UnknownNameError: then nothing is changed.
        """
        async with self._database.transaction() as transaction:
            for table, definition in puts:
                await getattr(self, table).put_in(transaction, definition)
            for table, name in removals:
                await getattr(self, table).remove_in(transaction, name)

    async def data_version(self) -> int:
        """A number that changes whenever another connection changed something: cheap to ask several times a second."""
        row = await self._database.fetch_one("data_version")
        return row[0] if row else 0

    async def version(self) -> int:
        """The version of the catalog's shape."""
        row = await self._database.fetch_one("catalog_version")
        return row[0] if row else 0

    def require_same_file(self) -> None:
        """Cheap. A copy for readers may be renewed at any time. Raises: CatalogReplacedError where what was opened lies there no more."""
        if not self.is_copy and _identity(self.path) != self._identity:
            raise CatalogReplacedError(
                f"the catalog {self.path} was removed or replaced while it was open",
                hint="what is done from here on would be lost: start again, with the catalog that is there now",
            )

    async def require_known_version(self) -> None:
        """Raises: CatalogVersionError where a newer holdfast changed the catalog's shape while it was open."""
        version = await self.version()
        if self._schema is not None and version > self._schema.version:
            raise newer(self.path, version, self._schema)

    async def reading_state(self) -> str:
        """Changes with all that people do and with each job that comes, begins or ends; cheap."""
        return to_json(await self._database.fetch_one("reading_state"))

    @classmethod
    @asynccontextmanager
    async def open_copy(cls, path: Path, clock: Clock) -> AsyncIterator[Catalog]:
        """Opens a copy for readers, which is never written: what would write raises CatalogError. Raises: CatalogError, CatalogVersionError."""
        async with reading.open_copy(path, Schema.current()) as connection:
            yield cls(Database(connection, path, clock), is_copy=True)

    async def copy_to(self, path: Path) -> None:
        """Writes a whole copy, as it is at one instant, to a path where nothing is; sealed secrets stay sealed. Raises: CatalogError."""
        await self._database.copy_to(path)

    async def take_over(self, path: Path, tables: Sequence[str], join: Join | None = None) -> int:
        """Adds what the copy at `path`, of this version, knows in these tables and this catalog does not; how many rows. Raises: CatalogError."""
        return await self._database.take_over(path, tables, join)

    async def check(self) -> list[str]:
        """What SQLite finds wrong with the file; nothing where it is whole. Reads all of it."""
        found = [row[0] for row in await self._database.fetch_all("quick_check") if row[0] != "ok"]
        loose = await self._database.fetch_all("foreign_key_check")
        return found + [f"a row of {row[0]} belongs to no row of {row[2]}" for row in loose]
