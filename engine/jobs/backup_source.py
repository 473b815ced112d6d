"""One source, captured: its tree or its items into a snapshot in each repository."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import engine
from engine.errors import DamagedError, HoldfastError, HostError, SourceError
from engine.events import Noted, Progress, Warned
from engine.format.snapshot import Snapshot
from engine.hosts.base import OpenHost
from engine.jobs import anchors, backup_parents, files_before, increments, item_tree, log_bases
from engine.jobs.context import JobContext
from engine.jobs.increments import Chain
from engine.jobs.item_tree import StoredItem
from engine.jobs.opening import Opened
from engine.jobs.snapshot_tags import (
    BACKUP_TAG,
    BEFORE_TAG,
    EXPIRES_TAG,
    HOST_TAG,
    JOB_TAG,
    KIND_TAG,
    POSITION_TAG,
    SCOPE_TAG,
    SOURCE_KIND_TAG,
    SOURCE_TAG,
    STATUS_TAG,
    position_text,
)
from engine.model.backup import Backup, BackupStatus, Copy, Scope
from engine.model.definitions import Source
from engine.model.entry import Failure
from engine.model.requests import BackupRequest
from engine.repository import writer
from engine.repository.finishing import Committed
from engine.repository.lanes import LaneStatistics
from engine.repository.pool import Processes
from engine.repository.spill import SpillOptions
from engine.repository.tree_parts import FileKey, StreamResult, TreeCounts, TreeResult
from engine.repository.writer import Parent, WriteOptions, WriteSession
from engine.scope import task_scope
from engine.sources import registry as sources
from engine.sources.base import (
    DirectStream,
    FolderStream,
    Item,
    ItemStream,
    OpenSource,
    PartedItem,
    PartialSource,
)
from engine.sources.chaining import ChainingSource
from engine.sources.incremental import IncrementalSource, NoIncrementError
from engine.sources.logs import BasePosition, LogSource

_READINGS = 5
"""So often a tree is read once more for the sake of files that came spoiled."""
NAMED_FAILURES = 100
"""So many files are named in the warnings; the log has them all."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What is captured, and as what."""

    context: JobContext
    request: BackupRequest
    source: Source
    host: OpenHost
    backup_id: str
    started_at: datetime.datetime
    last: Backup | None
    """The backup to decide against."""
    spill: SpillOptions | None = None
    """Where packs of slow storages wait."""
    chunker_seed: int | None = None
    """What is cut by; None: as the first storage cuts."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a capture left in the repositories."""

    copies: Sequence[Copy]
    size_bytes: int
    added_bytes: int
    counts: TreeCounts
    warnings: Sequence[str]
    is_whole: bool
    """Whether all that was asked for is in it."""
    base: BasePosition | None = None
    """Where the source's log goes on from it; None where it keeps none."""
    kind: str = ""
    """full, incremental, differential: what it was in the end."""
    notes: Sequence[str] = ()
    """What is worth knowing of how it was read, and no warning."""


@dataclass(slots=True)
class _Read:
    """What was read, before the snapshot."""

    tree_id: bytes
    counts: TreeCounts
    paths: Sequence[str]
    warnings: list[str] = field(default_factory=list)
    failures: Sequence[Failure] = ()
    excludes: Sequence[str] = ()
    is_partial: bool = False
    """Whether an item of several could not be read."""
    base: BasePosition | None = None
    kind: str = ""
    """Where it is another one than was asked for."""
    notes: list[str] = field(default_factory=list)


async def capture(
    job: Capture, opened: Sequence[Opened], processes: Processes, keep: Callable[[Kept], Awaitable[None]]
) -> Kept:
    """Reads the source once and commits it to each repository. `keep` hears what there is when some have it and others have not yet.

    Raises: SourceError, HostError; RepositoryError where none took it.
    """
    context = job.context
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(
            sources.open_source(job.source, job.host, await sources.secrets_of(job.source, context.secrets))
        )
        parents = {} if job.request.kind == "full" else await backup_parents.find(job, opened)
        session = await stack.enter_async_context(
            writer.open_session(
                [(each.repository, each.lock) for each in opened],
                clock=context.clock,
                processes=processes,
                options=WriteOptions(
                    spill=job.spill, most_bytes=job.request.most_bytes, chunker_seed=job.chunker_seed
                ),
                emit=context.emit,
            )
        )
        read = await _read(job, source, session, opened, parents)
        if isinstance(source, LogSource) and _is_whole(read):
            read.base = await log_bases.unless_behind(
                context.catalog, job.source.name, await source.base_position(), job.started_at, read.warnings
            )
        warnings = _warnings(read)
        for warning in warnings:
            context.emit(Warned(warning))

        async def tell(committed: Sequence[Committed]) -> None:
            await keep(_kept(job, read, warnings, opened, committed))

        committed = await session.commit(
            await _snapshot(job, read),
            {key: bytes.fromhex(found[0]) for key, found in parents.items()},
            complete=functools.partial(_completed, read.counts),
            tell=tell,
        )
    return _kept(job, read, warnings, opened, committed)


def _kept(
    job: Capture,
    read: _Read,
    warnings: Sequence[str],
    opened: Sequence[Opened],
    committed: Sequence[Committed],
) -> Kept:
    return Kept(
        copies=[_copy(each, done) for each, done in zip(opened, committed, strict=True)],
        size_bytes=read.counts.total_bytes,
        added_bytes=max(done.statistics.stored_bytes for done in committed),
        counts=read.counts,
        warnings=warnings,
        is_whole=_is_whole(read),
        base=read.base,
        kind=read.kind or job.request.kind,
        notes=read.notes,
    )


async def _read(
    job: Capture,
    source: OpenSource,
    session: WriteSession,
    opened: Sequence[Opened],
    parents: Mapping[str, tuple[str, Snapshot]],
) -> _Read:
    is_whole = job.request.scope is Scope.ALL
    if is_whole and isinstance(source, ChainingSource | IncrementalSource) and source.folder:
        return await _read_since(job, source, session, opened, parents)
    if source.traits.shape == "items":
        return await _read_items(job, await _items(job, source), session)
    result, warnings = await _read_tree(source, session, opened, backup_parents.parent(opened, parents))
    paths, excludes = backup_parents.option(job.source, "path"), backup_parents.option(job.source, "exclude")
    return _Read(result.tree_id, result.counts, paths, warnings, result.failures, excludes)


async def _read_since(
    job: Capture,
    source: ChainingSource | IncrementalSource,
    session: WriteSession,
    opened: Sequence[Opened],
    parents: Mapping[str, tuple[str, Snapshot]],
) -> _Read:
    """What changed since the backup before, where that can be had; else all, and why."""
    read, notes = None, []
    if job.request.kind != "full":
        try:
            read = await _read_increment(job, source, session, opened, parents)
        except (NoIncrementError, DamagedError) as error:
            notes.append(f"{job.source.name} was read in full: {error.message}")
        else:
            notes.append(
                f"{source.received_bytes} bytes of {job.source.name} came from {job.host.name}, of {read.counts.total_bytes}"
            )
    if read is None:
        read = await _read_items(job, await _items(job, source), session)
        read.kind = "full"
    for note in notes:
        job.context.emit(Noted(note))
    read.notes += notes
    return read


async def _read_increment(
    job: Capture,
    source: ChainingSource | IncrementalSource,
    session: WriteSession,
    opened: Sequence[Opened],
    parents: Mapping[str, tuple[str, Snapshot]],
) -> _Read:
    backup_parents.require(opened, parents)
    if isinstance(source, ChainingSource):
        chain = await increments.begin(job.source, source, opened, parents)
        return await _read_items(job, await source.items(), session, chain)
    async with files_before.of(job.source, source.folder, opened, parents) as before:
        return await _read_items(job, await source.items_since(before), session, before.kept)


async def _items(job: Capture, source: OpenSource) -> Sequence[Item]:
    if job.request.scope is Scope.ALL:
        return await source.items()
    assert isinstance(source, PartialSource)
    return await source.partial_items(job.request.scope)


async def _read_tree(
    source: OpenSource, session: WriteSession, opened: Sequence[Opened], parent: Parent | None
) -> tuple[TreeResult, list[str]]:
    """Stores the source's tree; gives it with the warnings.

    Content that is not the file's must not pass for it, now or as the next backup's parent. Where some came, the tree is read once more,
    with all else taken over as it is: without those that cannot be read, and with those that perhaps only became shorter read again.
    """
    async with source.tree() as feed:
        result = await session.save_tree(feed, parent)
        warnings = list(feed.warnings())
    counts, failures = result.counts, list(result.failures)
    left_out: set[FileKey] = set()
    readings = 0
    while result.spoiled:
        if readings == _READINGS:
            raise SourceError(
                "files could not be read to their end, and each time other ones",
                hint="look after the host's disk",
            )
        doubted = {key for key, each in result.spoiled.items() if each.reason == "changed" and not readings}
        left_out |= result.spoiled.keys() - doubted
        await session.flush()
        async with source.tree() as feed:
            last = Parent(session.whole_repository, result.tree_id)
            result = await session.save_tree(feed, last, left_out, doubted)
            warnings += [warning for warning in feed.warnings() if warning not in warnings]
        failures += result.failures
        readings += 1
    return dataclasses.replace(result, counts=counts, failures=_worst(failures)), warnings


def _worst(failures: Sequence[Failure]) -> list[Failure]:
    """One failure a path: that it changed says less than any other."""
    found: dict[bytes, Failure] = {}
    for failure in failures:
        if failure.path not in found or found[failure.path].reason == "changed":
            found[failure.path] = failure
    return list(found.values())


async def _read_items(
    job: Capture,
    items: Sequence[Item],
    session: WriteSession,
    before: item_tree.Kept | Chain | None = None,
) -> _Read:
    kept, chain = (None, before) if isinstance(before, Chain) else (before, increments.NOTHING)
    root = "" if job.source.kind == "stdin" else f"{job.source.kind}/{job.source.name}/"
    stored: list[StoredItem] = []
    warnings: list[str] = []
    failed: list[HoldfastError] = []
    for item in items:
        if failed and len(failed) == len(items) - 1 and not stored:
            break  # what describes the others, and there are none
        try:
            stored += await _read_item(job, item, root + item.path, _Storing(session, warnings, kept))
        except NoIncrementError:
            raise
        except (SourceError, HostError) as error:
            # Its bytes are in the repository and nothing names them: a half dump is no item.
            failed.append(error)
            warnings.append(f"{item.path} is not in the backup: {error.message}")
    if failed and not stored:
        raise failed[0]
    tree_id = await item_tree.save(session, [*chain.items, *stored], job.started_at)
    files = [each for each in stored if not each.is_folder]
    counts = TreeCounts(
        files_new=len(files),
        files_unmodified=chain.files,
        total_bytes=chain.size_bytes + sum(each.size_bytes for each in files),
    )
    paths = [f"/{stored[0].path}"] if not root else [f"/{root.rstrip('/')}"]
    return _Read(tree_id, counts, paths, warnings, is_partial=bool(failed))


@dataclass(frozen=True, slots=True)
class _Storing:
    """Where items go."""

    session: WriteSession
    warnings: list[str]
    kept: item_tree.Kept | None


async def _read_item(job: Capture, item: Item, path: str, storing: _Storing) -> list[StoredItem]:
    tell, session, warnings = _teller(job, path), storing.session, storing.warnings
    if isinstance(item, PartedItem):
        return await _read_parts(item, path.removesuffix(item.path), session, warnings, tell)
    async with item.open() as stream:
        if isinstance(stream, FolderStream):
            stored = await item_tree.read_folder(session, stream, path, tell, storing.kept)
        else:
            result = await _save(session, stream, tell)
            stored = [StoredItem(path, result.content, result.size_bytes)]
        warnings += await stream.judge()
    return stored


async def _read_parts(
    item: PartedItem, root: str, session: WriteSession, warnings: list[str], tell: Callable[[int], None]
) -> list[StoredItem]:
    """All parts at once. What one of them raises ends the others, and none is in the backup."""
    async with item.open_parts() as parts:
        async with task_scope() as tasks:
            reading = [tasks.create_task(_read_part(each, root, session, tell)) for each in parts.items]
        of_all = await parts.judge()
    warnings += [*(warning for each in reading for warning in each.result()[1]), *of_all]
    return [each.result()[0] for each in reading]


async def _read_part(
    part: Item, root: str, session: WriteSession, tell: Callable[[int], None]
) -> tuple[StoredItem, Sequence[str]]:
    async with part.open() as stream:
        result = await _save(session, stream, tell)
        return StoredItem(root + part.path, result.content, result.size_bytes), await stream.judge()


async def _save(session: WriteSession, stream: ItemStream, tell: Callable[[int], None]) -> StreamResult:
    """Stores a stream, and tells how far it is."""

    async def read_into(direct: DirectStream, room: memoryview) -> int:
        if count := await direct.read_into(room):
            tell(count)
        return count

    async def pieces() -> AsyncIterator[bytes]:
        while piece := await stream.read():
            tell(len(piece))
            yield piece

    if isinstance(stream, DirectStream):
        return await session.save_read(functools.partial(read_into, stream))
    return await session.save_stream(pieces())


def _teller(job: Capture, path: str) -> Callable[[int], None]:
    """Takes how many bytes more were read of an item, and tells how far it is."""
    done_bytes = 0

    def tell(count: int) -> None:
        nonlocal done_bytes
        done_bytes += count
        job.context.emit(Progress("read", done_bytes, _expected_bytes(job), current=path))

    return tell


def _expected_bytes(job: Capture) -> int | None:
    """What the last backup had: a fair guess at a total that nobody knows, for the time left."""
    return job.last.size_bytes if job.last is not None else None


async def _snapshot(job: Capture, read: _Read) -> Snapshot:
    """But for what was added, which each repository has a figure of its own for."""
    clock = job.context.clock
    facts = await job.host.facts()
    local = job.started_at.astimezone(clock.local_offset(job.started_at))
    summary = {
        "backup_start": local.isoformat(),
        "backup_end": clock.now().astimezone(local.tzinfo).isoformat(),
    }
    return Snapshot(
        time=local,
        tree=read.tree_id,
        paths=list(read.paths),
        hostname=facts.hostname,
        username=facts.user,
        excludes=list(read.excludes),
        tags=[*_tags(job, read), await anchors.tag(job.context.audit)],
        program_version=f"holdfast {engine.__version__}",
        summary=summary,
    )


def _completed(counts: TreeCounts, snapshot: Snapshot, added: LaneStatistics) -> Snapshot:
    """With the summary of a repository to which so much was added."""
    summary = {
        "files_new": counts.files_new,
        "files_changed": counts.files_changed,
        "files_unmodified": counts.files_unmodified,
        "dirs_new": counts.dirs_new,
        "dirs_changed": counts.dirs_changed,
        "dirs_unmodified": counts.dirs_unmodified,
        "data_blobs": added.data_blobs,
        "tree_blobs": added.tree_blobs,
        "data_added": added.added_bytes,
        "data_added_packed": added.stored_bytes,
        "total_files_processed": counts.files,
        "total_bytes_processed": counts.total_bytes,
    }
    return dataclasses.replace(snapshot, summary={**(snapshot.summary or {}), **summary})


def _tags(job: Capture, read: _Read) -> list[str]:
    """What `recover` rebuilds the catalog from, and what the person gave."""
    tags = [
        f"{BACKUP_TAG}{job.backup_id}",
        f"{SOURCE_TAG}{job.source.name}",
        f"{KIND_TAG}{read.kind or job.request.kind}",
        f"{SOURCE_KIND_TAG}{job.source.kind}",
        f"{HOST_TAG}{job.source.host}",
        f"{JOB_TAG}{job.context.job_id}",
    ]
    if not _is_whole(read):
        tags.append(f"{STATUS_TAG}incomplete")
    if job.request.scope is not Scope.ALL:
        tags.append(f"{SCOPE_TAG}{job.request.scope.value}")
    if job.request.expires_at is not None:
        tags.append(f"{EXPIRES_TAG}{job.request.expires_at.isoformat()}")
    if read.base is not None:
        tags.append(f"{POSITION_TAG}{position_text(read.base)}")
    if job.request.label:
        tags.append(f"{BEFORE_TAG}{job.request.label}")
    return [*tags, *job.request.tags]


def _is_whole(read: _Read) -> bool:
    """A file that changed while it was read is there, as it was at some instant or between two; all other failures left something out."""
    return not read.is_partial and all(failure.reason == "changed" for failure in read.failures)


def _copy(opened: Opened, done: Committed) -> Copy:
    if done.snapshot_id is not None:
        return Copy(opened.definition.name, done.snapshot_id)
    error: HoldfastError | None = done.error
    said = error.message if error else "it was still behind when the others were done"
    return Copy(opened.definition.name, "", BackupStatus.FAILED, said)


def _warnings(read: _Read) -> list[str]:
    said = {
        "vanished": "vanished before it was read",
        "unreadable": "could not be read",
        "changed": "changed while it was read",
    }
    named = [
        f"/{failure.path.decode('utf-8', 'backslashreplace')} {said[failure.reason]}"
        for failure in read.failures[:NAMED_FAILURES]
    ]
    if len(read.failures) > NAMED_FAILURES:
        named.append(f"and {len(read.failures) - NAMED_FAILURES} more files")
    return [*read.warnings, *named]
