"""Logs go along where their bases are copied, so that the other storage alone brings a source back to an instant.

What goes is what bases there need: segments that it lacks, wherever in the log, and what belongs to their series.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.errors import HoldfastError
from engine.events import Warned
from engine.format.tree import Node
from engine.jobs import log_adopting, log_merge, log_store
from engine.jobs.context import JobContext
from engine.jobs.log_merge import Log, Snapshots
from engine.jobs.log_store import LOGS_TAG, LogTree
from engine.jobs.opening import Opened, open_repositories
from engine.jobs.snapshot_tags import tag_value
from engine.model import log_keeping
from engine.model.definitions import Storage
from engine.model.log_keeping import CopiedLog
from engine.model.logs import LogHoldings
from engine.model.requests import Limits
from engine.repository import copy as copying
from engine.repository.reader import Trees
from engine.repository.writer import WriteSession
from engine.sources.logs import TAIL_SUFFIX


async def wanted(
    context: JobContext, target: str, storages: Iterable[str], sources: Iterable[str]
) -> dict[str, list[str]]:
    """By storage: of which of these sources it has segments that bases in the target need and that one lacks. Asks the catalog alone."""
    catalog = context.catalog.logs
    found: dict[str, list[str]] = {}
    for name in sorted(set(sources)):
        bases = [each for each in await catalog.bases(name) if target in each.storages]
        held = {each.storage: each for each in await catalog.holdings(name)}
        there = held.get(target, LogHoldings(target))
        servers = {each.position.identity for each in bases}
        for storage in storages:
            ours = held.get(storage)
            if ours is None or storage == target:
                continue
            forks = [(server, fork) for server in servers for fork in ours.forks if fork.is_of(server)]
            needed = log_keeping.first_needed(bases, forks)
            if any(log_keeping.lacks(there, run, needed) for run in (*ours.runs, *ours.tails)):
                found.setdefault(storage, []).append(name)
    return found


async def copy(
    context: JobContext, storages: Sequence[Storage], into: Opened, sources: Iterable[str], limits: Limits
) -> tuple[list[CopiedLog], list[str]]:
    """Brings over what is wanted, and why what did not come did not. The target is locked, its index loaded. Raises: StorageError of the target."""
    done: list[CopiedLog] = []
    failed: list[str] = []
    target = into.definition.name
    sources = list(sources)
    for storage in storages:
        # Anew each time: one storage may have brought what the next has as well.
        names = (await wanted(context, target, [storage.name], sources)).get(storage.name, [])
        if not names:
            continue
        opening = open_repositories(context, [storage], is_exclusive=False, limits=limits, is_reading=True)
        try:
            async with opening as opened:
                for name in names:
                    copied = await _bring(context, opened.opened[0], into, name)
                    done += [copied] if copied is not None else []
        except HoldfastError as error:
            failed.append(f"logs are not copied from {storage.name}: {error.message}")
            context.emit(Warned(failed[-1]))
    return done, failed


async def _bring(context: JobContext, first: Opened, into: Opened, name: str) -> CopiedLog | None:
    """None where nothing was lacking. Raises: DamagedError, StorageError."""
    ours = await _load(context, first, name)
    there = await into.repository.snapshots()
    await log_adopting.take_up(context, into.definition.name, into.repository, there, only={name})
    theirs = await _load(context, into, name)
    bases = log_merge.bases_in(there, name, into.definition.name)
    if ours is None or not bases:
        return None
    if theirs is None:
        theirs = Log(ours.source, (), "", ours.hostname, {})
    forks = [
        *await log_store.forks(first.repository, ours.source, LogTree(b"", ours.groups)),
        *await log_store.forks(into.repository, ours.source, LogTree(b"", theirs.groups)),
    ]
    needed = log_keeping.first_needed(bases, forks)
    missing = await _missing(first, into, (ours, theirs), needed)
    if not missing:
        return None

    async def fill(session: WriteSession) -> None:
        content = [blob_id for node in missing for blob_id in node.content or ()]
        await copying.bring_content(first.repository, into.repository, session, content, emit=context.emit)

    theirs.head = await log_merge.write(context, into, theirs, fill)
    await log_merge.put(context, into.repository, theirs, into.definition.name)
    segments = [each for each in missing if each.inode and not each.name.endswith(TAIL_SUFFIX.encode())]
    return CopiedLog(name, first.definition.name, len(segments), sum(each.size for each in missing))


async def _missing(
    first: Opened, into: Opened, logs_of: tuple[Log, Log], needed: dict[tuple[str, str], int]
) -> list[Node]:
    """What the second log lacks of the first; it has it from now on, but for the content."""
    ours, theirs = logs_of
    missing: list[Node] = []
    servers = {identity for identity, _ in needed}
    for identity, groups in ours.groups.items():
        if identity not in servers:
            continue
        known = theirs.groups.setdefault(identity, {})
        for group, node in groups.items():
            if node.subtree is None:
                if group not in known:
                    known[group], theirs.is_changed = node, True
                    missing.append(node)
                continue
            first_number = needed.get((identity, log_store.series_of(group)))
            if first_number is None:
                continue
            nodes = await log_merge.nodes(Trees(first.repository), ours, identity, group)
            kept = {name: each for name, each in nodes.items() if each.inode >= first_number}
            missing += await log_merge.join(into.repository, theirs, (identity, group, node), kept)
    return missing


async def _load(context: JobContext, opened: Opened, name: str) -> Log | None:
    snapshots: Snapshots = await opened.repository.snapshots(on_damaged=lambda _name, _error: None)
    tips = log_store.tips(snapshots).get(name)
    if not tips:
        return None
    heads = {each.storage: each.snapshot_id for each in await context.catalog.logs.heads(name)}
    found = [each for each in snapshots if tag_value(each[1], LOGS_TAG) == name]
    return await log_merge.load(opened.repository, found, tips, heads.get(opened.definition.name, ""))
