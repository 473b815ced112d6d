"""The old end of logs goes from a storage, once no base there needs it: a log snapshot of smaller trees, and those that it stands for deleted.

In that order, with the catalog between them: killed anywhere, what the catalog names is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from engine.catalog.catalog import Catalog
from engine.errors import DamagedError
from engine.events import Warned
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.jobs import log_store
from engine.jobs.context import JobContext
from engine.jobs.log_store import LOGS_TAG, LogTree
from engine.jobs.opening import Opened
from engine.jobs.snapshot_tags import BACKUP_TAG, SOURCE_TAG, base_of, tag_value
from engine.model import log_keeping, logs
from engine.model.definitions import Source
from engine.model.log_keeping import LogCut, LostInstants
from engine.model.logs import Base, LogFork, LogHead, LogHoldings, LogRun, LogSegment, LogState
from engine.model.requests import ForgetRequest
from engine.model.results import Fate
from engine.repository import forget as forgetting
from engine.repository import writer
from engine.repository.reader import Trees
from engine.repository.repository import Repository
from engine.sources.logs import TAIL_SUFFIX

Snapshots = Sequence[tuple[str, Snapshot]]
_TAIL = TAIL_SUFFIX.encode()


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of a log in a storage."""

    cut: LogCut
    holdings: LogHoldings


@dataclass(slots=True)
class _Log:
    """The log of a source in a repository, while it is cut."""

    source: Source
    found: Snapshots
    """All its log snapshots, oldest first."""
    head: str
    """The one that the new one is made from."""
    groups: dict[str, dict[str, Node]]
    """By server, as the head has them."""
    changed: dict[tuple[str, str], dict[bytes, Node]] = field(default_factory=dict)
    """By server and group: what lies in it from now on."""
    is_changed: bool = False
    gone: list[LogSegment] = field(default_factory=list)


Known = Mapping[str, tuple[Sequence[Base], Sequence[LogHoldings], LogState | None]]
"""By source: its bases, what storages hold of its log, and what was seen of it."""


async def known(catalog: Catalog, only: Iterable[str] = ()) -> Known:
    """As the catalog has it; of all sources whose log is kept, where none is named."""
    logs_of = catalog.logs
    names = sorted(set(only) or {each.source for each in await logs_of.heads()})
    return {
        name: (await logs_of.bases(name), await logs_of.holdings(name), await logs_of.state(name))
        for name in names
    }


def lost(before: Known, fates: Sequence[Fate], kept: Sequence[Kept] = ()) -> tuple[LostInstants, ...]:
    """What sources cannot be brought back to any more, once those fates are carried out and so much is left of logs."""
    found = []
    for source, (bases, holdings, state) in before.items():
        gone: dict[str, set[str]] = {}
        for each in fates:
            if each.source == source and not each.is_kept:
                gone.setdefault(each.backup_id, set()).add(each.storage)
        left = {each.holdings.storage: each.holdings for each in kept if each.cut.source == source}
        after = [left.get(each.storage, each) for each in holdings]
        found.append(log_keeping.lost_by(source, (bases, holdings, state), gone, after))
    return tuple(each for each in found if each is not None)


async def cut(
    context: JobContext, opened: Opened, snapshots: Snapshots, request: ForgetRequest
) -> list[Kept]:
    """Cuts the log of each source, or of that one that the request names, behind the oldest base of it among `snapshots`: all that the repository is to hold, oldest
    first. One without a base there is left whole. What is left of each; nothing is written in a dry run.

    Raises: DamagedError, StorageError, LockLostError.
    """
    left: list[Kept] = []
    heads = {
        each.source: each.snapshot_id
        for each in await context.catalog.logs.heads()
        if each.storage == opened.definition.name
    }
    for name, tips in log_store.tips(snapshots).items():
        if request.source not in ("", name):
            continue
        found = [each for each in snapshots if tag_value(each[1], LOGS_TAG) == name]
        bases = log_keeping.counting(
            bases_in(snapshots, name, opened.definition.name), request.policy.logs_within_s
        )
        try:
            log = await _load(opened.repository, found, tips, heads.get(name, ""))
            left.append(await _cut_one(context, opened, log, bases, is_dry_run=request.is_dry_run))
        except DamagedError as error:
            context.emit(
                Warned(f"the log of {name} in {opened.definition.name} is left as it is: {error.message}")
            )
    return left


async def _cut_one(
    context: JobContext, opened: Opened, log: _Log, bases: Sequence[Base], *, is_dry_run: bool
) -> Kept:
    if bases:
        await _plan(opened.repository, log, bases)
    storage, name = opened.definition.name, log.source.name
    superseded = [each for each, _ in log.found if log.is_changed or each != log.head]
    kept = LogHoldings(storage, *await _holdings(opened.repository, log))
    if not is_dry_run:
        if log.is_changed:
            log.head = await _write(context, opened, log)
        if log.is_changed or superseded:
            await _remember(context, log, kept)
        await forgetting.forget(opened.repository, superseded, opened.lock, emit=context.emit)
    begins = [each.begins_at for each in log.gone if each.begins_at is not None]
    ends = [each.ends_at for each in log.gone if each.ends_at is not None]
    size_bytes = sum(each.size_bytes for each in log.gone)
    going = LogCut(
        name,
        storage,
        len(log.gone),
        size_bytes,
        min(begins, default=None),
        max(ends, default=None),
        len(superseded),
    )
    return Kept(going, kept)


async def _load(repository: Repository, found: Snapshots, tips: Snapshots, known: str) -> _Log:
    """All that there is of the log: of the head, and of what was not made from it nor is in it. Raises: DamagedError, StorageError."""
    head = next((each for each in tips if each[0] == known), tips[-1])
    source = log_store.source_of(head[1])
    tree = await log_store.load(repository, source, head[1])
    log = _Log(source, found, head[0], {name: dict(groups) for name, groups in tree.identities.items()})
    for _, other in (each for each in tips if each[0] != head[0]):
        for identity, groups in (await log_store.load(repository, source, other)).identities.items():
            await _join(repository, log, identity, groups)
    return log


async def _join(repository: Repository, log: _Log, identity: str, groups: Mapping[str, Node]) -> None:
    """What another log snapshot has of that server, into the log."""
    trees = Trees(repository)
    ours = log.groups.setdefault(identity, {})
    for name, node in groups.items():
        if name not in ours:
            ours[name], log.is_changed = node, True
        elif node.subtree is not None and node.subtree != ours[name].subtree:
            there = await _nodes(trees, log, identity, name)
            more = {each.name: each for each in await trees.nodes(node.subtree) if each.name not in there}
            if more:
                together = there | more
                # The beginning of a segment that is whole by now is no use.
                log.changed[identity, name] = {
                    each: one
                    for each, one in together.items()
                    if not each.endswith(_TAIL) or each.removesuffix(_TAIL) not in together
                }
                log.is_changed = True


async def _nodes(trees: Trees, log: _Log, identity: str, group: str) -> dict[bytes, Node]:
    """What lies in that group; nothing for an extra."""
    changed = log.changed.get((identity, group))
    subtree = log.groups[identity][group].subtree
    if changed is not None or subtree is None:
        return changed or {}
    return {each.name: each for each in await trees.nodes(subtree)}


async def _plan(repository: Repository, log: _Log, bases: Sequence[Base]) -> None:
    """Decides what goes."""
    trees = Trees(repository)
    forks = await log_store.forks(repository, log.source, LogTree(b"", log.groups))
    needed = log_keeping.first_needed(bases, forks)
    oldest = min(each.consistent_at for each in bases)
    for identity, groups in log.groups.items():
        for name in [name for name, node in sorted(groups.items()) if node.subtree is not None]:
            series = log_store.series_of(name)
            first = needed.get((identity, series))
            if first is not None and log_store.first_of(name) >= first:
                continue
            nodes = await _nodes(trees, log, identity, name)
            segments = {each: log_store.segment_of(node, series) for each, node in nodes.items()}
            if first is None:
                # No base leads there as far as is known: what was over before the oldest of them began is no use.
                over = [
                    one.number
                    for one in segments.values()
                    if one.ends_at is not None and one.ends_at < oldest
                ]
                first = max(over, default=-1) + 1
            going = {each: one for each, one in segments.items() if one.number < first}
            if going:
                log.changed[identity, name] = {each: nodes[each] for each in nodes if each not in going}
                log.gone += [one for one in going.values() if not one.is_tail]
                log.is_changed = True
    _drop_servers(log, {each.position.identity for each in bases})


def _drop_servers(log: _Log, needed: AbstractSet[str]) -> None:
    """Of servers that no segment is left of, and no base, what belongs to their series goes as well."""
    for identity, groups in log.groups.items():
        left = [
            name
            for name, node in groups.items()
            if node.subtree is not None and log.changed.get((identity, name), True)
        ]
        if not left and identity not in needed:
            log.groups[identity] = {}
            log.changed = {key: nodes for key, nodes in log.changed.items() if key[0] != identity}


async def _holdings(
    repository: Repository, log: _Log
) -> tuple[tuple[LogRun, ...], tuple[LogFork, ...], tuple[LogRun, ...]]:
    """Runs, forks and tails, as they are from now on."""
    trees = Trees(repository)
    runs: list[LogRun] = []
    tails: list[LogRun] = []
    for identity, groups in log.groups.items():
        kept = [
            log_store.segment_of(node, log_store.series_of(name))
            for name in sorted(groups)
            for node in (await _nodes(trees, log, identity, name)).values()
        ]
        runs = logs.add(runs, identity, [each for each in kept if not each.is_tail])
        tails = logs.add_tails(tails, identity, [], [each for each in kept if each.is_tail])
    forks = await log_store.forks(repository, log.source, LogTree(b"", log.groups))
    return tuple(runs), tuple(dict.fromkeys(fork for _, fork in forks)), tuple(tails)


async def _write(context: JobContext, opened: Opened, log: _Log) -> str:
    """Stores the log as it is from now on; gives its snapshot's id. Raises: StorageError, LockLostError."""
    found = dict(log.found)[log.head]
    lane = [(opened.repository, opened.lock)]
    async with writer.open_session(lane, clock=context.clock, emit=context.emit) as session:
        for (identity, name), nodes in log.changed.items():
            if nodes:
                log.groups[identity][name] = await log_store.save_folder(session, name, nodes)
            else:
                del log.groups[identity][name]
        held = await log_store.save(session, log.source, log.groups)
        parent = {opened.repository.id: bytes.fromhex(log.head)}
        taken = log_store.snapshot(context, log.source, found.hostname, held.tree_id)
        (done,) = await session.commit(taken, parent)
    assert done.snapshot_id is not None
    return done.snapshot_id


async def _remember(context: JobContext, log: _Log, kept: LogHoldings) -> None:
    """Where this home knows of the log at all: another's is its own to look after."""
    heads = await context.catalog.logs.heads(log.source.name)
    if any(each.storage == kept.storage for each in heads):
        head = LogHead(log.source.name, kept.storage, log.head, context.clock.now())
        await context.catalog.logs.put(head, kept.runs, (), kept.tails)


def bases_in(snapshots: Snapshots, source: str, storage: str) -> list[Base]:
    """The backups among them that the source's log can be replayed onto."""
    found = []
    for _, each in snapshots:
        at = base_of(each) if tag_value(each, SOURCE_TAG) == source else None
        if at is not None:
            found.append(Base(tag_value(each, BACKUP_TAG), at.position, at.consistent_at, (storage,)))
    return found
