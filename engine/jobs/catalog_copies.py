"""Copies of the catalog in the storages: what no snapshot tells of hosts, sources, storages, plans and proofs outlives this machine with them.

A copy is a snapshot tagged `holdfast:own`, with `/holdfast/catalog.db` and, where there is one, `/holdfast/config.toml`. The vault's secrets lie
in it as they lie in the catalog: sealed under the vault's key, which is on the recovery kit and in no repository.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import getpass
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import engine
from engine.catalog.catalog import Catalog
from engine.catalog.takeover import AUDIT, DEFINED, KNOWN, SEALED, Join
from engine.errors import CatalogError, DamagedError, HoldfastError, PathMissingError, VaultError
from engine.events import Warned
from engine.format.allocator import give_back
from engine.format.chunker import MIN_BYTES
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.jobs import audit_join, catalog_state, item_tree
from engine.jobs.context import JobContext
from engine.jobs.item_tree import StoredItem
from engine.jobs.opening import Opened
from engine.model.definitions import Storage
from engine.model.secret import Secret
from engine.process import ProcessIdentity
from engine.repository import dump, reader, writer
from engine.repository.packing import PackingOptions
from engine.repository.reader import Named
from engine.repository.repository import Repository
from engine.repository.writer import WriteOptions, WriteSession
from engine.vault import is_sealed_under, parse_keys

OWN_TAG: Final = "holdfast:own"
LOG_TAG: Final = "holdfast:log="
"""Tells the copies of this home from those of others that share the storage."""
KEPT: Final = 8
"""Copies that a forget leaves."""
_FOLDER: Final = "holdfast"
_NAME: Final = "catalog.db"
_CONFIG: Final = "config.toml"
_LONGEST_S: Final = 60.0
"""A backup must not wait longer for a storage that does not answer."""
_PACK_BYTES: Final = 1 << 20
"""Small: the memory of packs comes on top of what the job has still."""
_PIECE_BYTES: Final = 1 << 20


async def keep(context: JobContext, opened: Sequence[Opened]) -> None:
    """Seals a copy into those of the locked storages whose last one is another, or a day old. What goes wrong is told, and stops nothing."""
    try:
        found = await catalog_state.fingerprint(context.catalog, context.vault, context.home)
        now = context.clock.now()
        due = [
            each
            for each in opened
            if await catalog_state.is_due(context.catalog, each.definition.name, found, now)
        ]
        if due:
            async with asyncio.timeout(_LONGEST_S):
                await _keep(context, due, found)
    except TimeoutError:
        context.emit(Warned(f"the catalog was not copied into the storages within {_LONGEST_S:.0f} s"))
    except HoldfastError as error:
        context.emit(Warned(f"the catalog was not copied into the storages: {error.message}"))


async def keep_now(context: JobContext, opened: Sequence[Opened]) -> dict[str, str]:
    """Seals a copy into each of the locked storages; by the name of those that did not take it, why. Raises: HoldfastError where none did."""
    found = await catalog_state.fingerprint(context.catalog, context.vault, context.home)
    return await _keep(context, opened, found)


async def _keep(context: JobContext, due: Sequence[Opened], fingerprint: str) -> dict[str, str]:
    now = context.clock.now()
    give_back()
    async with _room(context) as room:
        await context.catalog.copy_to(room / _NAME)
        files = [room / _NAME]
        if context.home.settings.is_file():
            files.append(context.home.settings)
        async with writer.open_session(
            [(each.repository, each.lock) for each in due],
            clock=context.clock,
            options=WriteOptions(PackingOptions(pack_bytes=_PACK_BYTES)),
            emit=context.emit,
        ) as session:
            stored = [await _store(session, path) for path in files]
            tree_id = await item_tree.save(session, stored, now)
            committed = await session.commit(await _snapshot(context, tree_id, now))
    failed = {}
    for each, done in zip(due, committed, strict=True):
        name = each.definition.name
        if done.snapshot_id is None:
            failed[name] = done.error.message if done.error is not None else "it was dropped"
        else:
            await catalog_state.remember(context.catalog, name, fingerprint, now, done.snapshot_id)
    return failed


async def _snapshot(context: JobContext, tree_id: bytes, now: datetime.datetime) -> Snapshot:
    return Snapshot(
        time=now.astimezone(context.clock.local_offset(now)),
        tree=tree_id,
        paths=[f"/{_FOLDER}"],
        hostname=ProcessIdentity.current().host,
        username=getpass.getuser(),
        tags=[OWN_TAG, LOG_TAG + await context.audit.identity()],
        program_version=f"holdfast {engine.__version__}",
    )


async def _store(session: WriteSession, path: Path) -> StoredItem:
    """A small file as one blob: a chunker takes 50 MiB, at the end of a job that has its own memory still."""
    name = f"{_FOLDER}/{path.name}"
    if (await asyncio.to_thread(path.stat)).st_size > MIN_BYTES:
        result = await session.save_stream(_pieces(path))
        return StoredItem(name, result.content, result.size_bytes)
    content = await asyncio.to_thread(path.read_bytes)
    ids: list[bytes] = []
    if content:
        putting = session.put_small(content, None, lambda _tokens, blob_id: ids.append(bytes(blob_id)))
        if putting is not None:
            await putting
        await session.wait_until(lambda: bool(ids))
    return StoredItem(name, tuple(ids), len(content))


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece


@asynccontextmanager
async def _room(context: JobContext) -> AsyncIterator[Path]:
    """A folder that only this account reads, gone afterwards."""
    room = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="catalog-", dir=context.home.cache))
    try:
        yield room
    finally:
        await asyncio.to_thread(shutil.rmtree, room, ignore_errors=True)


async def superseded(context: JobContext, snapshots: Sequence[tuple[str, Snapshot]]) -> list[str]:
    """Those among all of a repository's snapshots, oldest first, that are this home's copies and that newer ones stand for."""
    own = LOG_TAG + await context.audit.identity()
    copies = [name for name, each in snapshots if OWN_TAG in each.tags and own in each.tags]
    return copies[:-KEPT]


def copies_in(snapshots: Sequence[tuple[str, Snapshot]]) -> list[Named]:
    """The copies among them, newest first."""
    return [Named(*each) for each in reversed(snapshots) if OWN_TAG in each[1].tags]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a copy gave back."""

    copied_at: datetime.datetime
    storage: str
    """The name that the storage had, and has again."""


async def take_over(
    context: JobContext,
    repository: Repository,
    copies: Sequence[Named],
    storage: Storage,
    vault_key: Secret | None,
) -> Taken | None:
    """Takes over what the newest of these copies knows that can be read; None where there is none.

    The storage lies where it is said to lie now, under the name that it had. Without the vault's key no secret comes, and no audit log.
    Raises: VaultError where copies can be read and the key is none of theirs; then nothing was changed.
    """
    await repository.load_index()
    refusal: VaultError | None = None
    for copy in copies:
        try:
            async with _room(context) as room:
                await _fetch(repository, copy, room)
                async with Catalog.open(room / _NAME, context.clock) as found:
                    await _require_key(found, vault_key)
                    known = [
                        each for each in await found.storages.all() if each.repository_id == repository.id
                    ]
                    join = await audit_join.plan(context, found, vault_key)
                lost = _Lost(copy, room, known[0] if known else None, join)
                return await _take(context, lost, storage, vault_key)
        except VaultError as error:
            refusal = error
        except (DamagedError, PathMissingError, CatalogError) as error:
            when = f"{copy.snapshot.time:%Y-%m-%d %H:%M}"
            context.emit(Warned(f"the copy of the catalog of {when} is passed over: {error.message}"))
    if refusal is not None:
        raise refusal
    return None


@asynccontextmanager
async def opened(context: JobContext, repository: Repository, copy: Named) -> AsyncIterator[Catalog]:
    """The catalog as that copy has it; the index is loaded. Raises: DamagedError, PathMissingError, CatalogError."""
    async with _room(context) as room:
        await _fetch(repository, copy, room)
        async with Catalog.open(room / _NAME, context.clock) as catalog:
            yield catalog


async def _require_key(found: Catalog, vault_key: Secret | None) -> None:
    """Raises: VaultError where the copy's secrets were sealed under another key."""
    if vault_key is None:
        return
    (key,) = parse_keys(vault_key.reveal(), "what was given as the vault's key")[:1]
    for _, sealed, _ in await found.secrets.all():
        if not is_sealed_under(key, sealed):
            raise VaultError(
                "the secrets of the lost catalog were sealed under another key than the one that was given",
                hint="take it from the newest recovery kit; without --vault-key all but the secrets comes back",
            )


@dataclass(frozen=True, slots=True)
class _Lost:
    """A copy that was laid down."""

    copy: Named
    room: Path
    storage: Storage | None
    """The one that it was found in, as it was defined."""
    join: Join | None


async def _take(context: JobContext, lost: _Lost, given: Storage, vault_key: Secret | None) -> Taken:
    room, known = lost.room, lost.storage
    tables = [*DEFINED, *KNOWN]
    if vault_key is not None:
        await context.vault.add_key(vault_key)
        tables += [*SEALED, *AUDIT]
    await context.catalog.take_over(room / _NAME, tables, lost.join)
    if known is None:
        name = given.name
    else:
        name = known.name
        is_kept = vault_key is not None and known.password.startswith("vault:")
        password = known.password if is_kept else given.password
        here = dataclasses.replace(
            known, options={**known.options, **given.options}, password=password, is_enabled=True
        )
        await context.catalog.storages.replace(here)
    if (room / _CONFIG).exists() and not context.home.settings.exists():
        await asyncio.to_thread(shutil.move, room / _CONFIG, context.home.settings)
    return Taken(lost.copy.snapshot.time, name)


async def _fetch(repository: Repository, copy: Named, room: Path) -> None:
    """Lays the copy's files down. Raises: DamagedError, PathMissingError where it is no copy of ours."""
    trees = reader.Trees(repository)
    await _lay_down(repository, await reader.find_node(trees, copy.snapshot, _path(_NAME)), room / _NAME)
    with contextlib.suppress(PathMissingError):
        await _lay_down(
            repository, await reader.find_node(trees, copy.snapshot, _path(_CONFIG)), room / _CONFIG
        )


def _path(name: str) -> bytes:
    return f"{_FOLDER}/{name}".encode()


async def _lay_down(repository: Repository, node: Node, path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:

        async def write(data: bytes) -> None:
            await asyncio.to_thread(file.write, data)

        await dump.dump_node(repository, node, write)
