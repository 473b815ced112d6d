"""restore, of databases: into fresh names, compared with the manifest, and only then, in place, swapped with what is live.

Nothing that is live is touched before its replacement is loaded whole and found right. What was live is kept aside under a name of its own;
`rollback` swaps it back, `discard` removes it. When the second of several databases fails, the first is swapped back too.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from engine.errors import HoldfastError, RefusedError, RestoreError, SourceError, UsageError
from engine.events import Noted, StepBegan, Warned
from engine.jobs import hooks, replayed_backup, restore_roles
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup, open_backup, open_database_source
from engine.model import masking
from engine.model.backup import Scope
from engine.model.definitions import Source
from engine.model.manifest import DatabaseFacts, compare
from engine.model.masking import MaskRule
from engine.model.requests import RestoreRequest
from engine.model.results import RestoredDatabase, RestoreResult
from engine.sources.base import Database, DatabaseSource, MaskingDatabase, Selection

NAME_LIMIT_BYTES = 63
"""PostgreSQL's; MariaDB's is 64 characters."""
_CLEANUP_S = 60.0


@dataclass(frozen=True, slots=True)
class Planned:
    """What becomes of one database."""

    facts: DatabaseFacts
    fresh: str
    """The name that it is loaded under."""
    live: str = ""
    """The name that it gets in the end; empty where that is the fresh one."""
    aside: str = ""
    """The name that what is live now gets; empty where there is nothing."""
    rules: Mapping[str, Sequence[MaskRule]] = field(default_factory=dict)
    """What is masked before it gets its name, by table."""

    @property
    def final(self) -> str:
        """Its name when all is done."""
        return self.live or self.fresh


def plan(
    request: RestoreRequest,
    chosen: Sequence[DatabaseFacts],
    present: Sequence[str],
    now: datetime.datetime,
    random_word: str,
    rules: Sequence[MaskRule] = (),
) -> list[Planned]:
    """What would be created, replaced, masked and kept aside. Pure: this is what a person is shown for consent.

    Raises: UsageError where the database that is to be made is there already.
    """
    there = set(present)
    planned = []
    for number, facts in enumerate(chosen):
        fresh = f"holdfast_restore_{random_word}_{number}"
        masked = masking.of_tables(rules, _tables(request, facts))
        if request.is_in_place and facts.name in there:
            planned.append(Planned(facts, fresh, facts.name, aside_name(facts.name, now), masked))
            continue
        name = facts.name if request.is_in_place else request.into
        if len(chosen) > 1 and not request.is_in_place:
            name = _limited(f"{request.into}_{facts.name}", "")
        if name in there:
            raise UsageError(
                f"database {name} is there already", hint="choose another name with --into, or drop it first"
            )
        planned.append(Planned(facts, fresh, name, "", masked) if masked else Planned(facts, name))
    return planned


def _tables(request: RestoreRequest, facts: DatabaseFacts) -> list[str]:
    """Those that will be there."""
    return [each.name for each in facts.tables if not request.tables or each.name in request.tables]


def aside_name(name: str, now: datetime.datetime, word: str = "before") -> str:
    """What a database is called that was put aside: its name, cut where it must be, why, and the instant in UTC."""
    return _limited(name, f"_{word}_{now.astimezone(datetime.UTC):%Y%m%d_%H%M%S}")


def _limited(name: str, ending: str) -> str:
    room = NAME_LIMIT_BYTES - len(ending.encode())
    return name.encode()[:room].decode(errors="ignore") + ending


async def run(context: JobContext, request: RestoreRequest) -> RestoreResult:
    """Restores, or says what it would do. Raises: UsageError, RefusedError, RestoreError, SourceError, HostError, RepositoryError."""
    began = context.clock.monotonic()
    _require_no_files(request)
    if replayed_backup.is_to_instant(request):
        await _require_answer(context, request)
    async with await _origin(context, request) as opened:
        _require_part(request, opened)
        target = await _target(context, request, opened.source)
        async with open_database_source(context, target) as source, AsyncExitStack() as stack:
            _require_loading(request, target, source)
            database = await stack.enter_async_context(source.database())
            await _guard(request, opened, database)
            chosen = opened.chosen(request.databases)
            if not chosen:
                raise RestoreError(
                    f"{opened.source.name} held no database then but its own",
                    hint="name that with --database, or restore the whole server with --to DIR",
                )
            rules = await _rules(context, request, opened.source, target)
            masking.require_tables(rules, [each.name for facts in chosen for each in facts.tables])
            planned = plan(
                request, chosen, await database.names(), context.clock.now(), secrets.token_hex(4), rules
            )
            await _require_room(request, database, planned)
            _tell(context, planned)
            restored: list[RestoredDatabase] = []
            log = hooks.HookLog()
            if request.is_dry_run:
                async with restore_roles.made(context, request, opened, database):
                    pass
            else:
                async with (
                    hooks.around(context, request, target.host) as log,
                    restore_roles.made(context, request, opened, database),
                ):
                    restored = await _restore(context, request, opened, database, planned)
    databases = restored or [RestoredDatabase(each.facts.name, each.final, each.aside, each.facts.size_bytes, masked=tuple(_masked(each))) for each in planned]  # fmt: skip
    return RestoreResult(
        job_id=context.job_id,
        status="completed" if log.is_well else "incomplete",
        restored_files=len(restored),
        restored_bytes=sum(each.size_bytes for each in databases),
        duration_s=context.clock.monotonic() - began,
        target=f"{target.name}: {', '.join(each.into for each in databases)}",
        is_dry_run=request.is_dry_run,
        databases=tuple(databases),
        hooks=tuple(log.results),
        backup_id=opened.backup.backup_id,
    )


async def _origin(
    context: JobContext, request: RestoreRequest
) -> AbstractAsyncContextManager[DatabaseBackup]:
    """What is restored: a backup, or a source as it was at an instant. Raises: UnknownNameError."""
    if replayed_backup.is_to_instant(request):
        return replayed_backup.opened(context, request)
    backup = await context.catalog.backups.find(request.backup)
    return open_backup(context, backup, request.storage, request.limits)


async def _require_answer(context: JobContext, request: RestoreRequest) -> None:
    """Before a log is replayed, which may take long. Raises: SourceError, HostError where the server that is to take databases is not there."""
    target = await context.catalog.sources.get(request.target_source or request.source)
    try:
        async with open_database_source(context, target) as source, source.database():
            pass
    except SourceError as error:
        lost = "where the server is lost, restore it whole: --to DIR"
        error.hint = f"{error.hint}; {lost}" if error.hint else lost
        raise


def _require_part(request: RestoreRequest, opened: DatabaseBackup) -> None:
    """Files of a server cannot be loaded, and a part of a database must not take the place of all of it. Raises: UsageError."""
    manifest, backup_id = opened.manifest, opened.backup.backup_id
    scope = manifest.scope
    if manifest.folder:
        raise UsageError(
            f"backup {backup_id} holds the files of a whole server, which no running server can load",
            hint=f"restore it with --to DIR, and start a server of version {manifest.server_version.split()[0]} on {manifest.folder} there",
        )
    if scope == Scope.ALL:
        return
    if scope != Scope.SCHEMA:
        raise UsageError(
            f"backup {backup_id} holds the {scope} alone, of which no database can be made",
            hint="restore it into a directory with --to DIR",
        )
    if request.is_in_place:
        raise UsageError(
            f"backup {backup_id} holds the schema alone: in place it would leave a database without its rows",
            hint="restore it beside with --into NAME",
        )


def _require_no_files(request: RestoreRequest) -> None:
    if request.include or request.exclude or request.is_deleting or request.is_verified:
        raise UsageError(
            "--include, --exclude, --delete and --verify are for files",
            hint="choose by --database and --table",
        )


async def _target(context: JobContext, request: RestoreRequest, origin: Source) -> Source:
    if request.tables and request.is_in_place:
        raise UsageError(
            "single tables cannot be put in place",
            hint="bring them back beside the live data with --into NAME",
        )
    if not request.target_source:
        return origin
    target = await context.catalog.sources.get(request.target_source)
    if target.kind != origin.kind:
        raise UsageError(f"{target.name} is of kind {target.kind}, and the backup of kind {origin.kind}")
    return target


def _require_loading(request: RestoreRequest, target: Source, source: DatabaseSource) -> None:
    """Before anything else is looked at: what cannot be done at all needs no other reason."""
    if request.tables and source.traits.is_whole:
        raise UsageError(
            f"a database of kind {target.kind} is one file: no single table of it can be brought back",
            hint="bring all of it back beside the live one with --into NAME, and copy the table from there",
        )
    if not source.traits.can_load:
        raise RefusedError(
            f"nothing can be loaded beside what the running server of {target.name} holds: {target.kind} loads a file only when it starts, and only whole",
            hint=source.traits.load_hint,
        )


async def _rules(
    context: JobContext, request: RestoreRequest, origin: Source, target: Source
) -> list[MaskRule]:
    """Those that were asked for, and, where the target is for staging, those of the source. Raises: UsageError, RefusedError."""
    is_staging = masking.is_staging(await context.catalog.hosts.get(target.host))
    if request.masks and request.is_in_place and not is_staging:
        raise RefusedError(
            f"{target.host} is not marked as a staging environment, and masking in place would replace real data",
            hint=f"holdfast host edit {target.host} --environment staging, or restore beside with --into NAME",
        )
    return masking.joined(request.masks, masking.stored(origin) if is_staging else ())


async def _guard(request: RestoreRequest, opened: DatabaseBackup, database: Database) -> None:
    """In place means: where it came from. Another server that merely has that address must not lose what it holds."""
    if not request.is_in_place or request.target_source:
        return
    found = await database.identity()
    if found != opened.manifest.identity:
        raise RefusedError(
            f"the server of {opened.source.name} is not the one that the backup was taken of: it is {found}, "
            f"and was {opened.manifest.identity}",
            hint=f"name it on purpose with --on {opened.source.name}, or restore beside with --into NAME",
        )


async def _require_room(request: RestoreRequest, database: Database, planned: Sequence[Planned]) -> None:
    free = await database.free_bytes()
    needed = sum(_size_bytes(request, each.facts) for each in planned)
    if free is not None and free < needed:
        raise RestoreError(
            f"the server has {free} bytes free, and {needed} are needed",
            hint="free some room, or choose fewer with --database",
        )


def _size_bytes(request: RestoreRequest, facts: DatabaseFacts) -> int:
    if not request.tables:
        return facts.size_bytes
    return sum(each.size_bytes for each in facts.tables if each.name in request.tables)


def _tell(context: JobContext, planned: Sequence[Planned]) -> None:
    for each in planned:
        what = f"create {each.final} from the backup of {each.facts.name}, {each.facts.size_bytes} bytes"
        what += f"; mask {', '.join(_masked(each))}" if each.rules else ""
        context.emit(Noted(f"{what}; what is live is kept as {each.aside}" if each.aside else what))


def _masked(planned: Planned) -> list[str]:
    return [f"{table}.{rule.column}" for table, rules in planned.rules.items() for rule in rules]


async def _restore(
    context: JobContext,
    request: RestoreRequest,
    opened: DatabaseBackup,
    database: Database,
    planned: Sequence[Planned],
) -> list[RestoredDatabase]:
    restored: list[RestoredDatabase] = []
    async with _undone_on_failure(context, database, planned, restored):
        for each in planned:
            context.emit(StepBegan(f"restore {each.facts.name}"))
            restored.append(await _load(context, request, opened, database, each))
        for number, each in enumerate(planned):
            if each.live:
                restored[number] = await _put_in_place(context, database, each, restored[number])
    return restored


async def _load(
    context: JobContext, request: RestoreRequest, opened: DatabaseBackup, database: Database, planned: Planned
) -> RestoredDatabase:
    """Loads one database under its fresh name, and compares it with the manifest. Raises: RestoreError where it is not what was backed up."""
    began = context.clock.monotonic()
    await database.create(planned.fresh, planned.facts)
    await opened.load(database, planned.facts, planned.fresh, Selection(tables=request.tables))
    checks = compare(planned.facts, await database.facts(planned.fresh), request.tables)
    wrong = [each for each in checks if not each.passed]
    if wrong:
        first = wrong[0]
        raise RestoreError(
            f"{planned.facts.name} did not come back as it was backed up: {first.check}: {first.actual} "
            f"instead of {first.expected}" + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""),
            hint="nothing that is live was touched; run verify on the backup, and a drill",
        )
    if planned.rules:
        context.emit(StepBegan(f"mask {planned.facts.name}"))
        if not isinstance(database, MaskingDatabase):
            raise UsageError(f"{planned.facts.name} cannot be masked: its kind of database has no way")
        key = await context.vault.own("masking")
        await database.mask(planned.fresh, planned.rules, key.reveal())
    return RestoredDatabase(
        planned.facts.name,
        planned.fresh,
        masked=tuple(_masked(planned)),
        size_bytes=planned.facts.size_bytes,
        duration_s=context.clock.monotonic() - began,
        checks=tuple(checks),
    )


async def _put_in_place(
    context: JobContext, database: Database, planned: Planned, loaded: RestoredDatabase
) -> RestoredDatabase:
    if planned.aside:
        warnings = await database.swap(planned.fresh, planned.live, planned.aside)
    else:
        assert isinstance(database, MaskingDatabase)
        warnings = await database.give_name(planned.fresh, planned.live, planned.facts)
    for warning in warnings:
        context.emit(Warned(f"{planned.live}: {warning}"))
    return dataclasses.replace(loaded, into=planned.live, aside=planned.aside)


@asynccontextmanager
async def _undone_on_failure(
    context: JobContext, database: Database, planned: Sequence[Planned], restored: Sequence[RestoredDatabase]
) -> AsyncIterator[None]:
    """Swaps back what was swapped and drops what was loaded, also when the job is cancelled. The body's error is the one that is raised."""
    try:
        yield
    except BaseException:
        try:
            await asyncio.shield(_undo(context, database, planned, restored))
        except TimeoutError:
            context.emit(Warned("the clean-up after the failed restore took too long and was left"))
        raise


async def _undo(
    context: JobContext, database: Database, planned: Sequence[Planned], restored: Sequence[RestoredDatabase]
) -> None:
    async with asyncio.timeout(_CLEANUP_S):
        by_name = {each.name: each for each in restored}
        for each in reversed(planned):
            done = by_name.get(each.facts.name)
            with contextlib.suppress(HoldfastError):
                if done is not None and done.aside and done.into == each.live:
                    await database.swap(each.aside, each.live, each.fresh)
                    context.emit(Warned(f"{each.live} is again what it was before the restore"))
                elif done is not None and each.live and done.into == each.live:
                    await database.drop(each.live)
            try:
                await database.drop(each.fresh)
            except HoldfastError as error:
                context.emit(Warned(f"{each.fresh} could not be removed: {error.message}"))
