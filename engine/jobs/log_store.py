"""A source's log in a repository: one snapshot that grows.

Its tree is `/KIND/SOURCE/logs/IDENTITY/SERIES-GROUP/SEGMENT`, with what belongs to a series itself beside its groups. A group holds at most
256 segments, so that a shipment writes few small trees: all others are taken over. A segment's times are those of its first (`ctime`) and
last (`mtime`) transaction, its `inode` is its number; what has come of one that is being written has `.partial` behind its name. The newest such snapshot of a source stands for all before it, which a forget removes.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import engine
from engine.errors import DamagedError, IncompleteDumpError, ObjectMissingError
from engine.format import timestamps, tree
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.jobs.context import JobContext
from engine.jobs.snapshot_tags import HOST_TAG, JOB_TAG, SOURCE_KIND_TAG, tag_value
from engine.model import logs
from engine.model.definitions import LOCAL_HOST, Source
from engine.model.logs import SEGMENTS_PER_FOLDER, LogFork, LogRun, LogSegment
from engine.repository import dump
from engine.repository.reader import Trees
from engine.repository.repository import Repository
from engine.repository.writer import WriteSession
from engine.sources import registry as sources
from engine.sources.logs import TAIL_SUFFIX

LOGS_TAG: Final = "holdfast:logs-of="
"""Only log snapshots have it; `holdfast:source=` they lack, so that nobody takes one for a backup."""
FOLDER: Final = "logs"
_FOLDER_MODE: Final = tree.go_mode("d", 0o700)
_FILE_MODE: Final = tree.go_mode("f", 0o600)
_MOST_EXTRA_BYTES: Final = 1 << 20
_NEVER: Final = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment, or an extra, whose content is in the repository."""

    name: str
    content: tuple[bytes, ...]
    size_bytes: int
    segment: LogSegment | None
    """None for an extra."""


@dataclass(frozen=True, slots=True)
class Addition:
    """What is added to a log."""

    identity: str
    """Of the server."""
    stored: Sequence[StoredSegment]
    tails: Sequence[LogRun] = ()
    """Those that are kept before it."""


@dataclass(frozen=True, slots=True)
class LogTree:
    """The log of one source as one snapshot has it: folders above the groups, read."""

    tree_id: bytes = b""
    """Of the snapshot; empty where there is none."""
    identities: Mapping[str, Mapping[str, Node]] = field(default_factory=dict)
    """By server: its groups and extras, by name."""


def group_of(series: str, number: int) -> str:
    """The folder that a segment lies in."""
    return f"{series}-{number // SEGMENTS_PER_FOLDER:010X}"


def series_of(group: str) -> str:
    """What the segments of a group of that name are of."""
    return group.rpartition("-")[0]


def first_of(group: str) -> int:
    """The lowest number that a segment in it may have; 0 where its name does not tell."""
    try:
        return int(group.rpartition("-")[2], 16) * SEGMENTS_PER_FOLDER
    except ValueError:
        return 0


def place(source: Source) -> list[str]:
    """The folders from the root down to the servers' own."""
    return [source.kind, source.name, FOLDER]


async def load(repository: Repository, source: Source, snapshot: Snapshot | None) -> LogTree:
    """Raises: DamagedError, StorageError."""
    if snapshot is None:
        return LogTree()
    trees = Trees(repository)
    tree_id = snapshot.tree
    for part in place(source):
        nodes = {node.name: node for node in await trees.nodes(tree_id)}
        found = nodes.get(part.encode())
        if found is None or found.subtree is None:
            return LogTree(snapshot.tree)
        tree_id = found.subtree
    identities: dict[str, Mapping[str, Node]] = {}
    for node in await trees.nodes(tree_id):
        if node.subtree is not None:
            below = await trees.nodes(node.subtree)
            identities[node.name.decode()] = {each.name.decode(): each for each in below}
    return LogTree(snapshot.tree, identities)


async def segments(
    repository: Repository, held: LogTree, identity: str, only: str = "", *, is_newest_first: bool = False
) -> AsyncIterator[tuple[Node, LogSegment | None]]:
    """Everything that is kept of that server's log, or of that series alone, group by group; None for an extra. Raises: DamagedError, StorageError."""
    trees = Trees(repository)
    turned = -1 if is_newest_first else 1
    for name, node in sorted(held.identities.get(identity, {}).items())[::turned]:
        if only and series_of(name) != only:
            continue
        if node.subtree is None:
            yield node, None
            continue
        series = series_of(name)
        # Names of binary logs grow longer: by their names the millionth comes before the one before it.
        for each in sorted(await trees.nodes(node.subtree), key=lambda one: (one.inode, one.name))[::turned]:
            yield each, segment_of(each, series)


async def find(repository: Repository, held: LogTree, identity: str, group: str, name: str) -> Node | None:
    """The segment of that name in that group, or the extra where the group is empty; None where it is not kept. Raises: DamagedError, StorageError."""
    groups = held.identities.get(identity, {})
    if not group:
        return groups.get(name)
    folder = groups.get(group)
    if folder is None or folder.subtree is None:
        return None
    nodes = await Trees(repository).nodes(folder.subtree)
    return next((each for each in nodes if each.name == name.encode()), None)


def segment_of(node: Node, series: str) -> LogSegment:
    """What a node of a group says. Raises: DamagedError for a time that is none."""
    name = node.name.decode()
    begins_at, ends_at = (_instant(text) for text in (node.ctime, node.mtime))
    return LogSegment(name, series, node.inode, node.size, begins_at, ends_at, name.endswith(TAIL_SUFFIX))


async def runs(repository: Repository, held: LogTree) -> tuple[list[LogRun], list[LogRun]]:
    """What the snapshot holds, read from its trees, and the tails. Raises: DamagedError, StorageError."""
    found: list[LogRun] = []
    tails: list[LogRun] = []
    for identity in held.identities:
        kept = [each async for _, each in segments(repository, held, identity) if each is not None]
        found += logs.add([], identity, [each for each in kept if not each.is_tail])
        tails = logs.add_tails(tails, identity, [], [each for each in kept if each.is_tail])
    return found, tails


async def append(
    session: WriteSession,
    repository: Repository,
    source: Source,
    held: LogTree,
    addition: Addition,
) -> LogTree:
    """Stores the trees of the log with these added, but for tails that they stand for; every repository of the session holds all that `held` names.

    Raises: DamagedError, StorageError.
    """
    identity, stored, tails = addition.identity, addition.stored, addition.tails
    groups = dict(held.identities.get(identity, {}))
    added: dict[str, dict[bytes, Node]] = {}
    for each in stored:
        if each.segment is None:
            groups[each.name] = _node(each)
        else:
            added.setdefault(group_of(each.segment.series, each.segment.number), {})[each.name.encode()] = (
                _node(each)
            )
    trees = Trees(repository)
    kept = [each.segment for each in stored if each.segment is not None]
    whole, newer = [each for each in kept if not each.is_tail], [each for each in kept if each.is_tail]
    left = logs.add_tails(tails, identity, whole, newer)
    gone = {
        group_of(tail.series, tail.first) for tail in tails if tail.identity == identity and tail not in left
    }
    for name in {**added, **dict.fromkeys(gone & groups.keys())}:
        before = groups.get(name)
        series = series_of(name)
        there = await trees.nodes(before.subtree) if before is not None and before.subtree is not None else []
        remaining = {node.name: node for node in there if not _is_gone(node, series, left)}
        nodes = remaining | added.get(name, {})
        if nodes:
            groups[name] = await save_folder(session, name, nodes)
        else:
            del groups[name]
    return await save(session, source, {**held.identities, identity: groups})


async def save(
    session: WriteSession, source: Source, identities: Mapping[str, Mapping[str, Node]]
) -> LogTree:
    """Stores the folders above the groups. Raises: StorageError."""
    folders = {
        name.encode(): await save_folder(
            session, name, {each.encode(): node for each, node in groups.items()}
        )
        for name, groups in identities.items()
        if groups
    }
    for part in reversed(place(source)):
        folders = {part.encode(): await save_folder(session, part, folders)}
    return LogTree(await _save_tree(session, folders), identities)


def snapshot(context: JobContext, source: Source, hostname: str, tree_id: bytes) -> Snapshot:
    """The one that is written now."""
    now = context.clock.now()
    return Snapshot(
        time=now.astimezone(context.clock.local_offset(now)),
        tree=tree_id,
        paths=["/" + "/".join(place(source))],
        hostname=hostname,
        username="",
        tags=[
            f"{LOGS_TAG}{source.name}",
            f"{SOURCE_KIND_TAG}{source.kind}",
            f"{HOST_TAG}{source.host}",
            f"{JOB_TAG}{context.job_id}",
        ],
        program_version=f"holdfast {engine.__version__}",
    )


def newest(snapshots: Sequence[tuple[str, Snapshot]], source: str) -> tuple[str, Snapshot] | None:
    """The one that stands for all others of that source; None where there is none. `snapshots` are all of a repository, oldest first."""
    found = [each for each in snapshots if tag_value(each[1], LOGS_TAG) == source]
    return found[-1] if found else None


def tips(snapshots: Sequence[tuple[str, Snapshot]]) -> dict[str, list[tuple[str, Snapshot]]]:
    """By source, its log snapshots that none of the others was made from: what is in none of these was cut off. More than one
    where a job was killed, or two homes ship the same log. `snapshots` are all of a repository, oldest first."""
    found = [each for each in snapshots if tag_value(each[1], LOGS_TAG)]
    gone_on = {(tag_value(each, LOGS_TAG), each.parent) for _, each in found if each.parent is not None}
    by_source: dict[str, list[tuple[str, Snapshot]]] = {}
    for name, each in found:
        source = tag_value(each, LOGS_TAG)
        if (source, bytes.fromhex(name)) not in gone_on:
            by_source.setdefault(source, []).append((name, each))
    return by_source


def source_of(found: Snapshot) -> Source:
    """As far as a log snapshot tells of it."""
    return Source(
        tag_value(found, LOGS_TAG),
        tag_value(found, SOURCE_KIND_TAG),
        tag_value(found, HOST_TAG) or LOCAL_HOST,
    )


async def content_of(repository: Repository, node: Node, most_bytes: int) -> bytes:
    """All of a segment or an extra. Raises: DamagedError, also where it is longer than that; StorageError."""
    found = bytearray()

    async def take(piece: bytes) -> None:
        if len(found) + len(piece) > most_bytes:
            raise DamagedError(f"{node.name.decode()} is longer than {most_bytes} bytes")
        found.extend(piece)

    await dump.dump_node(repository, node, take)
    return bytes(found)


async def forks(repository: Repository, source: Source, held: LogTree) -> list[tuple[str, LogFork]]:
    """By server, where series left others, as the extras tell. What is damaged tells nothing. Raises: DamagedError, StorageError."""
    reader = sources.kept_log(source.kind)
    found: list[tuple[str, LogFork]] = []
    if reader is None:
        return found
    for identity, groups in held.identities.items():
        extras = {name: node for name, node in groups.items() if node.subtree is None}
        if not extras:
            continue
        sizes = [
            each.size_bytes
            async for _, each in segments(repository, held, identity)
            if each is not None and not each.is_tail
        ]
        if not sizes:
            continue
        for name, node in sorted(extras.items()):
            with suppress(IncompleteDumpError):
                content = await content_of(repository, node, _MOST_EXTRA_BYTES)
                found += [(identity, each) for each in reader.forks(name, content, max(sizes))]
    return list(dict.fromkeys(found))


async def open_head(repository: Repository, source: Source, snapshot_id: str) -> tuple[str, LogTree]:
    """The log as the repository has it: of that snapshot where it is still there, else of the newest. Raises: DamagedError, StorageError."""
    if snapshot_id:
        try:
            return snapshot_id, await load(repository, source, await repository.load_snapshot(snapshot_id))
        except (DamagedError, ObjectMissingError):
            pass
    found = newest(await repository.snapshots(on_damaged=lambda _name, _error: None), source.name)
    return ("", LogTree()) if found is None else (found[0], await load(repository, source, found[1]))


def _is_gone(node: Node, series: str, tails: Sequence[LogRun]) -> bool:
    """Whether it is a tail, and none of these."""
    return node.name.endswith(TAIL_SUFFIX.encode()) and not any(
        (tail.series, tail.first) == (series, node.inode) for tail in tails
    )


def _node(stored: StoredSegment) -> Node:
    segment = stored.segment
    begins_at, ends_at = (segment.begins_at, segment.ends_at) if segment is not None else (None, None)
    return Node(
        stored.name.encode(),
        "file",
        _FILE_MODE,
        mtime=_text(ends_at),
        atime=_text(ends_at),
        ctime=_text(begins_at),
        user=b"root",
        group=b"root",
        inode=segment.number if segment is not None else 0,
        size=stored.size_bytes,
        content=stored.content,
    )


async def save_folder(session: WriteSession, name: str, nodes: Mapping[bytes, Node]) -> Node:
    """Stores a folder of these. Raises: StorageError."""
    subtree = await _save_tree(session, nodes)
    return Node(
        name.encode(),
        "dir",
        _FOLDER_MODE,
        mtime=_NEVER,
        atime=_NEVER,
        ctime=_NEVER,
        user=b"root",
        group=b"root",
        subtree=subtree,
    )


async def _save_tree(session: WriteSession, nodes: Mapping[bytes, Node]) -> bytes:
    return await session.save_tree_blob(
        tree.encode_tree(tree.encode_node(nodes[name]) for name in sorted(nodes))
    )


def _text(instant: datetime.datetime | None) -> str:
    return timestamps.to_text(instant.astimezone(datetime.UTC)) if instant is not None else _NEVER


def _instant(text: str) -> datetime.datetime | None:
    return None if text == _NEVER else timestamps.from_text(text)
