"""The trees above a source's items: plain folders and files, owned by root, readable by nobody else."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from engine.format.tree import encode_tree, node_prefix, node_suffix
from engine.model.entry import Entry
from engine.repository.writer import WriteSession


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One item as it was stored."""

    path: str
    """In the snapshot, without a leading slash; no part is empty, `.` or `..`."""
    content: tuple[bytes, ...]
    size_bytes: int


async def save(session: WriteSession, items: Sequence[StoredItem], instant: datetime.datetime) -> bytes:
    """Stores the trees from the leaves up; returns the root's id."""
    return await _save_folder(session, [(item.path.split("/"), item) for item in items], instant)


async def _save_folder(
    session: WriteSession, inside: Sequence[tuple[list[str], StoredItem]], instant: datetime.datetime
) -> bytes:
    folders: dict[str, list[tuple[list[str], StoredItem]]] = {}
    nodes: dict[bytes, bytes] = {}
    for parts, item in inside:
        if len(parts) == 1:
            entry = _entry(parts[0], "f", item.size_bytes, instant)
            nodes[entry.path] = node_prefix(entry) + node_suffix((), 0, item.content, None)
        else:
            folders.setdefault(parts[0], []).append((parts[1:], item))
    for name, below in folders.items():
        entry = _entry(name, "d", 0, instant)
        nodes[entry.path] = node_prefix(entry) + node_suffix(
            (), 0, None, await _save_folder(session, below, instant)
        )
    return await session.save_tree_blob(encode_tree(nodes[name] for name in sorted(nodes)))


def _entry(name: str, letter: str, size_bytes: int, instant: datetime.datetime) -> Entry:
    mode = 0o700 if letter == "d" else 0o600
    seconds = b"%d.%06d" % (int(instant.timestamp()), instant.microsecond)
    return Entry(
        name.encode(), letter, mode, 0, 0, b"root", b"root", size_bytes, seconds, seconds, 0, 0, 0, b""
    )
