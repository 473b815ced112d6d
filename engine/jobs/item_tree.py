"""The trees above a source's items: plain folders and files, owned by root, readable by nobody else, where the source says nothing else of them."""

from __future__ import annotations

import datetime
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from engine.errors import IncompleteDumpError
from engine.format.tree import Node, encode_node, encode_tree, node_prefix, node_suffix
from engine.model.entry import Entry
from engine.repository.tree_parts import StreamResult
from engine.repository.writer import WriteSession
from engine.sources.base import Member, Renamed
from engine.sources.incremental import IncrementStream, KeptPieces


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One item as it was stored."""

    path: str
    """In the snapshot, without a leading slash; no part is empty, `.` or `..`."""
    content: tuple[bytes, ...]
    size_bytes: int
    member: Member | None = None
    """What is known of it, where it is one of many."""
    node: Node | None = None
    """Where it is a folder of an earlier snapshot, with all that is in it: its node there."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, which may be empty."""
        return self.member is not None and self.member.type == "d"


@dataclass(frozen=True, slots=True)
class _File:
    """A file or folder whose parts are being stored."""

    member: Member
    parts: dict[int, StreamResult] = field(default_factory=dict)
    """By where they lie in it, as they are done."""

    def stored(self, path: str) -> StoredItem:
        """All of it. Raises: IncompleteDumpError where a part is missing."""
        content: list[bytes] = []
        size_bytes = 0
        for offset in sorted(self.parts):
            part = self.parts[offset]
            if part.size_bytes and offset != size_bytes:
                raise IncompleteDumpError(f"{path} came without all of its parts")
            content += part.content
            size_bytes += part.size_bytes
        return StoredItem(path, tuple(content), size_bytes, self.member)


Kept = Callable[[KeptPieces], Awaitable[StreamResult]]
"""Gives pieces of a file of the backup before, as they are stored."""


async def read_folder(
    session: WriteSession,
    stream: IncrementStream,
    path: str,
    tell: Callable[[int], None],
    kept: Kept | None = None,
) -> list[StoredItem]:
    """Stores what a stream of many files brings; `path` is their folder's. Raises: what the stream raises."""
    files: dict[str, _File] = {}
    expected = done = 0

    async def pieces() -> AsyncIterator[bytes]:
        while piece := await stream.read():
            tell(len(piece))
            yield piece

    def stored(file: _File, offset: int, result: StreamResult) -> None:
        nonlocal done
        done += 1
        if result.size_bytes or offset not in file.parts:
            file.parts[offset] = result

    while (member := await stream.next_member()) is not None:
        if isinstance(member, Renamed):
            file = files.pop(member.path)
            files |= {member.to: file} if member.to else {}
            continue
        if isinstance(member, KeptPieces):
            assert kept is not None
            result = await kept(member)
            tell(result.size_bytes)
            files.setdefault(member.member.path, _File(member.member)).parts[member.member.offset] = result
            continue
        file = files.setdefault(member.path, _File(member))
        if member.type == "f":
            expected += 1
            await session.put_stream(pieces(), functools.partial(stored, file, member.offset))
    await session.wait_until(lambda: done == expected)
    return [file.stored(f"{path}/{name}" if name else path) for name, file in files.items()]


async def save(session: WriteSession, items: Sequence[StoredItem], instant: datetime.datetime) -> bytes:
    """Stores the trees from the leaves up; returns the root's id."""
    return await _save_folder(session, [(item.path.split("/"), item) for item in items], instant)


async def _save_folder(
    session: WriteSession, inside: Sequence[tuple[list[str], StoredItem]], instant: datetime.datetime
) -> bytes:
    folders: dict[str, list[tuple[list[str], StoredItem]]] = {}
    known: dict[str, StoredItem] = {}
    nodes: dict[bytes, bytes] = {}
    for parts, item in inside:
        if len(parts) == 1 and item.node is not None:
            nodes[item.node.name] = encode_node(item.node)
        elif len(parts) > 1 or item.is_folder:
            below = folders.setdefault(parts[0], [])
            if len(parts) > 1:
                below.append((parts[1:], item))
            else:
                known[parts[0]] = item
        else:
            entry = _entry(parts[0], item, instant)
            nodes[entry.path] = node_prefix(entry) + node_suffix((), 0, item.content, None)
    for name, below in folders.items():
        entry = _entry(name, known.get(name), instant, letter="d")
        nodes[entry.path] = node_prefix(entry) + node_suffix(
            (), 0, None, await _save_folder(session, below, instant)
        )
    return await session.save_tree_blob(encode_tree(nodes[name] for name in sorted(nodes)))


def _entry(name: str, item: StoredItem | None, instant: datetime.datetime, letter: str = "f") -> Entry:
    raw = name.encode("utf-8", "surrogateescape")
    size_bytes = item.size_bytes if item is not None else 0
    if item is None or item.member is None:
        mode = 0o700 if letter == "d" else 0o600
        seconds = b"%d.%06d" % (int(instant.timestamp()), instant.microsecond)
        return Entry(raw, letter, mode, 0, 0, b"root", b"root", size_bytes, seconds, seconds, 0, 0, 0, b"")
    member = item.member
    seconds = b"%d.0" % member.modified_s
    user, group = member.user.encode(), member.group.encode()
    owners = (member.uid, member.gid, user, group)
    return Entry(raw, letter, member.mode, *owners, size_bytes, seconds, seconds, 0, 0, 0, b"")
