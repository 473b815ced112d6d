"""Engine: the one door to everything that holdfast does, and the one place where its parts are wired together.

The console, the command line and scripts use nothing else. Every method takes and returns frozen values that serialise, so that the same
interface can be spoken over a socket later. Methods are grouped by noun, one file a group.
"""

from __future__ import annotations

import datetime
import functools
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from engine import events
from engine.audit import Actor, AuditLog
from engine.catalog.catalog import Catalog
from engine.catalog.jobs import SlotLimits
from engine.clock import Clock, SystemClock
from engine.config import CatalogSettings, Home, LimitSettings, LogSettings, Settings, read_settings
from engine.errors import RefusedError
from engine.jobs.runner import Runner
from engine.model import when
from engine.model.secret import Secret
from engine.model.spans import days
from engine.service.jobs import JobMethods
from engine.service.parts import Parts
from engine.service.schedules import ScheduleMethods
from engine.service.status import StatusMethods
from engine.vault import SecretResolver, open_vault

if TYPE_CHECKING:
    from engine.service.groups import AllMethods as _Methods
else:

    class _Methods(ScheduleMethods, JobMethods, StatusMethods):
        """Those that a first look needs."""


_OLD_COPY_S = 3600.0
"""A copy for readers that is older is told of: its worker is gone."""


class Use(Enum):
    """What an engine is opened for."""

    CHANGE = auto()
    """Everything."""
    READ = auto()
    """A short look that changes nothing: a catalog that cannot be written will do."""
    LOOK = auto()
    """A short look at the catalog alone: where the home is another user's, the copy for readers will do too."""


class Engine(_Methods):
    """All verbs. Made by `open_engine`; methods may be called concurrently.

    Only those of a first look are there at once. The others are loaded when one is asked for: the console's first screen waits for none of them.
    """

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_") or type(self) is not Engine:
                raise AttributeError(f"the engine has no {name}")
            self.complete()
            return getattr(self, name)

    def complete(self) -> None:
        """Loads all verbs now; blocks for a fifth of a second the first time."""
        self.__class__ = _whole()

    @property
    def home(self) -> Home:
        """Where everything is kept."""
        return self._parts.home

    def now(self) -> datetime.datetime:
        """The present instant by the engine's clock, aware, in UTC."""
        return self._parts.clock.now()

    def instant(self, text: str, *, is_ahead: bool = False) -> datetime.datetime:
        """The instant that a person means by a text, by this machine's clock; `is_ahead`: one to come, `2d` counts from now. Raises: UsageError."""
        parse = when.parse_ahead if is_ahead else when.parse
        return parse(text, self._parts.clock.now(), self._parts.clock.local_offset)


async def examine_closed(
    home: str | None, problem: str, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """`Engine.doctor` of a home whose catalog cannot be opened, for this reason. Raises: ConfigurationError."""
    from engine.service import doctor

    place = Home.locate(home, os.environ if environment is None else environment, os.getuid())
    return await doctor.examine_closed(place, problem)


@functools.cache
def _whole() -> type[Engine]:
    from engine.service.groups import AllMethods

    return type("WholeEngine", (Engine, AllMethods), {})


@asynccontextmanager
async def open_engine(  # noqa: PLR0913 -- what a process is, and what it is for
    home: str | None = None,
    *,
    clock: Clock | None = None,
    emit: events.Emit = events.ignore,
    environment: Mapping[str, str] | None = None,
    read_line: Callable[[], bytes] | None = None,
    is_logged: bool = False,
    use: Use = Use.CHANGE,
) -> AsyncIterator[Engine]:
    """Opens the engine on a home, which is created on first use. `read_line` reads a secret from standard input for the REF `-`;
    `is_logged` sends what this process logs to the home's log files, secrets blotted out, as long as the engine is open.

    A `use` that is less than `CHANGE` lets more homes do; what then tries more than that fails.

    Raises: ConfigurationError, CatalogError; RefusedError where there is a copy for readers alone.
    """
    environment = os.environ if environment is None else environment
    clock = clock or SystemClock()
    place = Home.locate(home, environment, os.getuid())
    is_copy = _is_for_readers(place, is_reading=use is Use.LOOK)
    if is_copy:
        settings = Settings(catalog=CatalogSettings(copies=False))
    else:
        place.ensure()
        settings = read_settings(place.settings)
    limits = _slot_limits(settings.limits)
    async with AsyncExitStack() as stack:
        register = (
            stack.enter_context(_logs(place, settings.logs, environment)) if is_logged else _ignore_secret
        )
        opening = (
            Catalog.open_copy(place.reading_copy, clock)
            if is_copy
            else Catalog.open(place.catalog, clock, is_reading=use is not Use.CHANGE)
        )
        catalog = await stack.enter_async_context(opening)
        if is_copy:
            _tell_age(place, clock, emit)
        if catalog.unwritable:
            emit(events.Warned(f"{catalog.unwritable}: this is what it held before, and nothing is noted"))
        vault = open_vault(catalog.secrets, place.vault_key, settings.vault.key, environment)
        resolver = SecretResolver(environment, vault, register=register)
        if read_line is not None:
            resolver = SecretResolver(environment, vault, read_line, register)
        parts = Parts(
            home=place,
            settings=settings,
            clock=clock,
            catalog=catalog,
            vault=vault,
            secrets=resolver,
            audit=AuditLog(catalog.audit_rows, vault, clock),
            actor=Actor.current(environment),
            runner=Runner(catalog, clock, limits),
            slot_limits=limits,
            emit=emit,
        )
        yield Engine(parts)


def _is_for_readers(place: Home, *, is_reading: bool) -> bool:
    """Whether the home is another user's, who lets this one read a copy of the catalog. Raises: RefusedError where that will not do."""
    is_own = os.access(place.directory, os.R_OK | os.W_OK | os.X_OK) or os.access(place.catalog, os.R_OK)
    if is_own or not os.access(place.reading_copy, os.R_OK):
        return False
    if not is_reading:
        raise RefusedError(
            f"the home {place.directory} is another user's, who lets you look at its catalog alone",
            hint="status, backups, show, jobs and other verbs that look at the catalog will do",
        )
    return True


def _tell_age(place: Home, clock: Clock, emit: events.Emit) -> None:
    age_s = clock.now().timestamp() - place.reading_copy.stat().st_mtime
    if age_s > _OLD_COPY_S:
        emit(events.Warned(f"the copy of the catalog is {days(age_s)} old: no worker renews it"))


@contextmanager
def _logs(
    home: Home, settings: LogSettings, environment: Mapping[str, str]
) -> Iterator[Callable[[Secret], None]]:
    """Opens the log files; gives what is to be told of each secret, so that no log shows it."""
    from engine.journal import Redactor, open_logs  # the logs' handlers, for those who write them

    redactor = Redactor()
    with open_logs(
        home.logs, redactor, file_bytes=settings.file_bytes, files=settings.files, environment=environment
    ):
        yield redactor.register


def _ignore_secret(_secret: Secret) -> None:
    """There is no log that could show it."""


def _slot_limits(limits: LimitSettings) -> SlotLimits:
    """By slot: a source one job at a time, hosts and storages as the administrator says."""
    each = {"host:*": limits.host_jobs, "storage:*": limits.storage_jobs}
    each |= {f"host:{name}": count for name, count in limits.hosts.items()}
    each |= {f"storage:{name}": count for name, count in limits.storages.items()}
    return SlotLimits(1, each, limits.jobs)
