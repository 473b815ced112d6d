"""The log of a source in a repository, all of it: what its log snapshots have together, changed, and written down as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.jobs import log_store
from engine.jobs.context import JobContext
from engine.jobs.log_store import LogTree
from engine.jobs.opening import Opened
from engine.jobs.snapshot_tags import BACKUP_TAG, SOURCE_TAG, base_of, tag_value
from engine.model import logs
from engine.model.definitions import Source
from engine.model.logs import Base, LogHead, LogHoldings, LogRun, LogSegment
from engine.repository import writer
from engine.repository.reader import Trees
from engine.repository.repository import Repository
from engine.repository.writer import WriteSession
from engine.sources.logs import TAIL_SUFFIX

Snapshots = Sequence[tuple[str, Snapshot]]
_TAIL = TAIL_SUFFIX.encode()


@dataclass(slots=True)
class Log:
    """The log of a source in a repository, while it is cut."""

    source: Source
    found: Snapshots
    """All its log snapshots, oldest first."""
    head: str
    """The one that the new one is made from; empty where there is none."""
    hostname: str
    groups: dict[str, dict[str, Node]]
    """By server, as the head has them."""
    changed: dict[tuple[str, str], dict[bytes, Node]] = field(default_factory=dict)
    """By server and group: what lies in it from now on."""
    is_changed: bool = False
    gone: list[LogSegment] = field(default_factory=list)


async def load(repository: Repository, found: Snapshots, tips: Snapshots, known: str) -> Log:
    """All that there is of the log: of the head, and of what was not made from it nor is in it. Raises: DamagedError, StorageError."""
    head = next((each for each in tips if each[0] == known), tips[-1])
    source = log_store.source_of(head[1])
    tree = await log_store.load(repository, source, head[1])
    groups_of = {name: dict(groups) for name, groups in tree.identities.items()}
    log = Log(source, found, head[0], head[1].hostname, groups_of)
    trees = Trees(repository)
    for _, other in (each for each in tips if each[0] != head[0]):
        for identity, groups in (await log_store.load(repository, source, other)).identities.items():
            ours = log.groups.setdefault(identity, {})
            for name, node in groups.items():
                if node.subtree is not None and (name not in ours or ours[name].subtree != node.subtree):
                    more = {each.name: each for each in await trees.nodes(node.subtree)}
                    await join(repository, log, (identity, name, node), more)
                elif name not in ours:
                    ours[name], log.is_changed = node, True
    return log


async def join(
    repository: Repository, log: Log, place: tuple[str, str, Node], more: Mapping[bytes, Node]
) -> list[Node]:
    """Takes into that group of that server what the log lacks of these; gives those. Its node is the one that it has elsewhere.

    Raises: DamagedError, StorageError.
    """
    identity, group, node = place
    ours = log.groups.setdefault(identity, {})
    there = await nodes(Trees(repository), log, identity, group) if group in ours else {}
    # Of a segment that was being written the longest beginning counts, until it is whole.
    lacking = {
        name: each
        for name, each in more.items()
        if (name not in there or (name.endswith(_TAIL) and each.size > there[name].size))
        and not (name.endswith(_TAIL) and name.removesuffix(_TAIL) in {*there, *more})
    }
    if lacking:
        ours.setdefault(group, node)
        together = there | lacking
        log.changed[identity, group] = {
            name: each
            for name, each in together.items()
            if not (name.endswith(_TAIL) and name.removesuffix(_TAIL) in together)
        }
        log.is_changed = True
    return list(lacking.values())


async def nodes(trees: Trees, log: Log, identity: str, group: str) -> dict[bytes, Node]:
    """What lies in that group; nothing for an extra."""
    changed = log.changed.get((identity, group))
    subtree = log.groups[identity][group].subtree
    if changed is not None or subtree is None:
        return changed or {}
    return {each.name: each for each in await trees.nodes(subtree)}


async def holdings(repository: Repository, log: Log, storage: str) -> LogHoldings:
    """What there is from now on. Raises: DamagedError, StorageError."""
    trees = Trees(repository)
    runs: list[LogRun] = []
    tails: list[LogRun] = []
    for identity, groups in log.groups.items():
        kept = [
            log_store.segment_of(node, log_store.series_of(name))
            for name in sorted(groups)
            for node in (await nodes(trees, log, identity, name)).values()
        ]
        runs = logs.add(runs, identity, [each for each in kept if not each.is_tail])
        tails = logs.add_tails(tails, identity, [], [each for each in kept if each.is_tail])
    forks = await log_store.forks(repository, log.source, LogTree(b"", log.groups))
    return LogHoldings(
        storage,
        tuple(runs),
        tuple(dict.fromkeys(replace(fork, identity=identity) for identity, fork in forks)),
        tuple(tails),
    )


async def write(
    context: JobContext,
    opened: Opened,
    log: Log,
    fill: Callable[[WriteSession], Awaitable[None]] | None = None,
) -> str:
    """Stores the log as it is from now on; gives its snapshot's id. `fill` stores content before. Raises: StorageError, LockLostError."""
    lane = [(opened.repository, opened.lock)]
    async with writer.open_session(lane, clock=context.clock, emit=context.emit) as session:
        if fill is not None:
            await fill(session)
        for (identity, name), nodes in log.changed.items():
            if nodes:
                log.groups[identity][name] = await log_store.save_folder(session, name, nodes)
            else:
                del log.groups[identity][name]
        held = await log_store.save(session, log.source, log.groups)
        parent = {opened.repository.id: bytes.fromhex(log.head)} if log.head else None
        taken = log_store.snapshot(context, log.source, log.hostname, held.tree_id)
        (done,) = await session.commit(taken, parent)
    assert done.snapshot_id is not None
    return done.snapshot_id


async def remember(context: JobContext, repository: Repository, log: Log, storage: str) -> None:
    """As `put`, where this home knows of the log at all: another's is its own to look after."""
    if any(each.storage == storage for each in await context.catalog.logs.heads(log.source.name)):
        await put(context, repository, log, storage)


async def put(context: JobContext, repository: Repository, log: Log, storage: str) -> None:
    """Writes down what there is of the log, and that its head has it. Raises: CatalogError, DamagedError, StorageError."""
    kept = await holdings(repository, log, storage)
    forks = await log_store.forks(repository, log.source, LogTree(b"", log.groups))
    head = LogHead(log.source.name, storage, log.head, context.clock.now())
    await context.catalog.logs.put(head, kept.runs, forks, kept.tails)


def bases_in(snapshots: Snapshots, source: str, storage: str) -> list[Base]:
    """The backups among them that the source's log can be replayed onto."""
    found = []
    for _, each in snapshots:
        at = base_of(each) if tag_value(each, SOURCE_TAG) == source else None
        if at is not None:
            found.append(Base(tag_value(each, BACKUP_TAG), at.position, at.consistent_at, (storage,)))
    return found
