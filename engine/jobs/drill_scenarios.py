"""What a drill supposes to have happened, and what it therefore goes without.

- `main-storage-gone`: the default storage is away. It is not touched; the backup comes from another one.
- `catalog-gone`: this home's catalog and vault are lost. A scratch home rebuilds them from the repository and its password alone.
- `kit-only`: a machine that knows nothing but the words of the recovery kit. As before, but place, password and keys are read from its text, and
  stock restic, where it is there, must list the backup by the kit's own line.
- `blind`: nobody chose the backup. One of all that can be restored, by a seed that the evidence has.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import random
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.audit import AuditLog
from engine.catalog.catalog import Catalog
from engine.config import Home
from engine.errors import RestoreError, ToolMissingError, UnknownNameError, UsageError
from engine.hosts import registry as hosts
from engine.hosts.base import Command
from engine.jobs import catalog_copies, drill_host, recover, recovery_kit
from engine.jobs.context import JobContext
from engine.jobs.drill_steps import DrillRecord, StepFailedError
from engine.jobs.opening import open_unlocked, storage_secrets
from engine.jobs.recovery_kit import Kit
from engine.model.backup import Backup, BackupFilter, BackupStatus, Copy
from engine.model.definitions import LOCAL_HOST, Host, OptionValue, Source, Storage
from engine.model.manifest import CheckResult
from engine.model.requests import DrillRequest, Limits
from engine.model.secret import Secret
from engine.vault import SecretResolver, open_vault

NAMES = ("main-storage-gone", "catalog-gone", "kit-only", "blind")
_RESTIC_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What the drill is done with."""

    context: JobContext
    request: DrillRequest
    backup: Backup

    def is_at(self, context: JobContext) -> bool:
        """Whether its catalog is that one, so that its storages are, too."""
        return self.context is context


def require_known(request: DrillRequest) -> None:
    """Raises: UsageError for a scenario that is none, or that goes without what else was asked for."""
    scenario = request.scenario
    if scenario and scenario not in NAMES:
        raise UsageError(f"there is no scenario {scenario}", hint=f"scenarios: {', '.join(NAMES)}")
    if scenario == "blind" and request.backup:
        raise UsageError("a blind drill chooses the backup by itself", hint="leave --backup out")
    if scenario in ("catalog-gone", "kit-only") and request.level == "database":
        raise UsageError(
            f"in the scenario {scenario} no live server is known that scratch databases could be made on",
            hint="take the level server",
        )


async def chosen(context: JobContext, request: DrillRequest, seed: int, record: DrillRecord) -> Backup:
    """The backup to drill. Raises: UnknownNameError, UsageError."""
    if request.scenario != "blind":
        return await context.catalog.backups.find(request.backup or f"latest:{request.source}")
    await context.catalog.sources.get(request.source)
    page = await context.catalog.backups.page(BackupFilter(source=request.source), limit=-1)
    fit = sorted(each.backup_id for each in page if is_restorable(each))
    if not fit:
        raise UnknownNameError(f"{request.source} has no backup that could be restored")
    with record.step("choose a backup blindly", is_proof=False) as detail:
        picked = random.Random(seed).choice(fit)  # noqa: S311 -- the seed is in the evidence, so that the pick can be made again
        detail.append(f"{picked}, one of {len(fit)}, seed {seed}")
    return await context.catalog.backups.get(picked)


def is_restorable(backup: Backup) -> bool:
    """Whether a storage holds it, as far as the catalog knows."""
    return backup.status is not BackupStatus.FAILED and any(each.snapshot_id for each in backup.copies)


@asynccontextmanager
async def staged(
    context: JobContext, request: DrillRequest, backup: Backup, record: DrillRecord
) -> AsyncIterator[Stage]:
    """Sets the scene, and clears it away. Raises on entering: StepFailedError, which is written down; UsageError."""
    match request.scenario:
        case "main-storage-gone":
            yield Stage(context, request, await _without_main(context, request, backup, record))
        case "catalog-gone" | "kit-only":
            async with _scratch_home(context, record) as home:
                yield await _rebuilt(context, home, request, backup, record)
        case _:
            yield Stage(context, request, backup)


async def _without_main(
    context: JobContext, request: DrillRequest, backup: Backup, record: DrillRecord
) -> Backup:
    """The backup as the other storages hold it."""
    storages = await context.catalog.storages.all()
    main = next((each.name for each in storages if each.is_default), "")
    main = main or next((each.storage for each in backup.copies), "")
    if request.storage and request.storage == main:
        raise UsageError(f"{main} is the main storage, which is gone in this scenario", hint="name another")
    others = [each for each in backup.copies if each.storage != main and each.snapshot_id]
    with record.step("do without the main storage") as detail:
        said = ", ".join(each.storage for each in others)
        record.checks.append(CheckResult("storages besides the main one", "at least one", said or "none", bool(others)))  # fmt: skip
        if not others:
            raise RestoreError(f"only {main} holds backup {backup.backup_id}")
        detail.append(f"{main} is not touched; held by {said}")
    return dataclasses.replace(backup, copies=tuple(others))


@asynccontextmanager
async def _scratch_home(context: JobContext, record: DrillRecord) -> AsyncIterator[JobContext]:
    """A home that knows nothing, with a vault, a catalog and an audit log of its own; gone at the end, which is looked at."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="holdfast-drill-", dir=context.home.cache))
    try:
        home = Home(folder)
        home.ensure()
        async with Catalog.open(home.catalog, context.clock) as catalog:
            vault = open_vault(catalog.secrets, home.vault_key, "", {})
            yield dataclasses.replace(
                context,
                catalog=catalog,
                home=home,
                secrets=SecretResolver({}, vault),
                vault=vault,
                audit=AuditLog(catalog.audit_rows, vault, context.clock),
            )
    finally:
        with contextlib.suppress(StepFailedError), record.step("remove the scratch home", is_proof=False) as detail:  # fmt: skip
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
            if await asyncio.to_thread(folder.exists):
                raise RestoreError(f"{folder} is still there")
            detail.append("scratch home gone: yes")


async def _rebuilt(
    context: JobContext, scratch: JobContext, request: DrillRequest, backup: Backup, record: DrillRecord
) -> Stage:
    """A catalog out of the repository alone, with just enough of the source to restore it."""
    held = next(
        (each for each in backup.copies if each.snapshot_id and request.storage in ("", each.storage)), None
    )
    with record.step("find a storage that is left"):
        if held is None:
            raise RestoreError(f"no storage holds backup {backup.backup_id}")
        definition = await context.catalog.storages.get(held.storage)
    if request.scenario == "kit-only":
        with record.step("read the recovery kit", is_proof=False) as detail:
            kit = await _printed(context, definition)
            storage = await _from_kit(context, scratch, kit)
            detail.append(f"of {definition.name}")
        await _listed_by_restic(scratch, kit, held.snapshot_id, record)
    else:
        storage = await _from_password(context, scratch, definition)
    with record.step("rebuild the catalog from the repository") as detail:
        found = await recover.rebuild(scratch, storage, takes_copy=False)
        detail.append(f"{len(found.backups)} backups found again")
        detail.extend(await _copy_opened(scratch, storage))
        record.checks += await _found_again(context, scratch, definition, storage)
        copies = (Copy(storage.name, held.snapshot_id),)
        again = dataclasses.replace(await scratch.catalog.backups.get(backup.backup_id), copies=copies)
    source = await context.catalog.sources.get(backup.source)
    host = LOCAL_HOST if request.scenario == "kit-only" else source.host
    await _define(context, scratch, drill_host.least(source, host), request.host)
    return Stage(scratch, dataclasses.replace(request, storage="", level=_level(request, source)), again)


def _level(request: DrillRequest, source: Source) -> str:
    """What is left to the drill's choice goes into a server of its own: there is no live one in this scenario."""
    return request.level or ("server" if drill_host.has_server(source.kind) else "")


async def _printed(context: JobContext, definition: Storage) -> Kit:
    """What a person reads off the storage's kit. Raises: StorageError, RepositoryError, VaultError, UsageError."""
    async with AsyncExitStack() as stack:
        repository = await open_unlocked(context, definition, Limits(), stack)
        password = await context.secrets(definition.password)
        secrets = await storage_secrets(context, definition.options)
        text = recovery_kit.text(
            definition, recovery_kit.place_of(repository), password, secrets, context.clock.now()
        )
    return recovery_kit.read(text)


async def _from_kit(context: JobContext, scratch: JobContext, kit: Kit) -> Storage:
    """The storage as the kit's text alone tells it."""
    options: dict[str, OptionValue] = dict(kit.options)
    for name, secret in kit.secrets.items():
        options[f"{name}_ref"] = await _laid_down(scratch, name, secret)
    if kit.host is not None:
        await _add_host(context, scratch, kit.host)
    reference = await _laid_down(scratch, "password", kit.password)
    return Storage("kit", kit.kind, options, reference, kit.repository_id, is_default=True)


async def _listed_by_restic(scratch: JobContext, kit: Kit, snapshot_id: str, record: DrillRecord) -> None:
    """The kit's own line for stock restic, with what it exports and nothing else. Skipped where this machine has none, or none can open it."""
    step = "list the backup with stock restic, as the kit says"
    if not kit.restic:
        record.skip(step, f"stock restic cannot open storages of kind {kit.kind}")
        return
    words = (*kit.restic, "--no-cache", "--no-lock", "snapshots", "--json", snapshot_id)
    secrets = {**kit.environment, "RESTIC_PASSWORD": kit.password}
    with record.step(step, is_proof=False, optional=ToolMissingError) as detail:
        folder = shlex.quote(str(scratch.home.directory))
        line = "\n".join([f"cd {folder}", *kit.first, 'exec "$@"'])
        command = Command(("sh", "-ec", line, "sh", *words), secrets=secrets)
        async with hosts.open_host(Host(LOCAL_HOST, "local"), resolve_secret=scratch.secrets) as host:
            done = await host.run(command, limit_bytes=8 << 20, timeout_s=_RESTIC_TIMEOUT_S)
        record.commands.append(shlex.join(words))
        is_listed = done.exit.is_success and snapshot_id.encode() in done.stdout
        said = done.exit.stderr.decode(errors="backslashreplace").strip().splitlines()[-1:]
        actual = "listed" if is_listed else f"not listed: {''.join(said)[:200]}"
        record.checks.append(CheckResult("the backup in stock restic's list", "listed", actual, is_listed))
        detail.append(actual)


async def _from_password(context: JobContext, scratch: JobContext, definition: Storage) -> Storage:
    """The storage as a person defines it again who has its password and its keys, and nothing that a vault held."""
    options = dict(definition.options)
    for name, value in definition.options.items():
        if name.endswith("_ref") and isinstance(value, str):
            options[name] = await _laid_down(scratch, name, await context.secrets(value))
    host = definition.options.get("host")
    if isinstance(host, str):
        await _add_host(context, scratch, await context.catalog.hosts.get(host))
    password = await _laid_down(scratch, "password", await context.secrets(definition.password))
    return Storage("recovered", definition.kind, options, password, is_default=True)


async def _add_host(context: JobContext, scratch: JobContext, host: Host) -> None:
    """The host that a storage lies on; what a person would be asked for is taken from where it is kept."""
    options = dict(host.options)
    kept = (await context.catalog.hosts.get(host.name)).options
    for name in ("passphrase", "password"):
        reference = kept.get(name)
        if isinstance(reference, str):
            options[name] = await _laid_down(scratch, f"host-{name}", await context.secrets(reference))
    await scratch.catalog.hosts.add(dataclasses.replace(host, options=options))


async def _laid_down(scratch: JobContext, name: str, secret: Secret) -> str:
    """The REF of a secret in a file of the scratch home, which its owner alone can read."""
    path = scratch.home.directory / name

    def write() -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret.reveal())

    await asyncio.to_thread(write)
    return f"file:{path}"


async def _found_again(
    context: JobContext, scratch: JobContext, definition: Storage, storage: Storage
) -> Sequence[CheckResult]:
    """Whether the repository is the one that was meant, and tells of every backup that the catalog knew in it."""
    rebuilt = await scratch.catalog.storages.get(storage.name)
    is_same = definition.repository_id in ("", rebuilt.repository_id)
    known = await context.catalog.backups.page(BackupFilter(storage=definition.name), limit=-1)
    wanted = {each.backup_id for each in known if _is_on(each, definition.name)}
    found = {each.backup_id for each in await scratch.catalog.backups.page(limit=-1)}
    return [
        CheckResult("repository", definition.repository_id, rebuilt.repository_id, is_same),
        CheckResult("backups found again", str(len(wanted)), str(len(wanted & found)), wanted <= found),
    ]


def _is_on(backup: Backup, storage: str) -> bool:
    return any(each.storage == storage and each.snapshot_id for each in backup.copies)


async def _copy_opened(scratch: JobContext, storage: Storage) -> list[str]:
    """What the newest copy of the catalog holds, where one is there. Raises: DamagedError, CatalogError."""
    async with AsyncExitStack() as stack:
        repository = await open_unlocked(scratch, storage, Limits(), stack)
        copies = catalog_copies.copies_in(await repository.snapshots())
        if not copies:
            return []
        await repository.load_index()
        async with catalog_copies.opened(scratch, repository, copies[0]) as catalog:
            hosts, sources = await catalog.hosts.all(), await catalog.sources.all()
    when = f"{copies[0].snapshot.time:%Y-%m-%d %H:%M}"
    return [f"copy of the catalog of {when}: {len(hosts)} hosts, {len(sources)} sources"]


async def _define(context: JobContext, scratch: JobContext, source: Source, drill_on: str) -> None:
    """The source again, with its host, and the host that the drill goes to, if it does."""
    known = {each.name for each in await scratch.catalog.hosts.all()} | {"", LOCAL_HOST}
    for host in {source.host, drill_on} - known:
        await scratch.catalog.hosts.add(await context.catalog.hosts.get(host))
    if source.name not in {each.name for each in await scratch.catalog.sources.all()}:
        await scratch.catalog.sources.add(source)
