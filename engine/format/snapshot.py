"""Snapshots: one captured tree, and what is known of it. Stored as unpacked JSON.

Fields that holdfast does not know (rustic's `label`, `delete`, ...) are kept and written again. Source: restic internal/data/snapshot.go.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from engine.errors import DamagedError
from engine.format import strict_json, timestamps
from engine.format.ids import Buffer, parse_id


class _SnapshotJson(msgspec.Struct):
    time: str
    tree: str
    parent: str | None = None
    paths: list[str] | None = None
    hostname: str = ""
    username: str = ""
    uid: int = 0
    gid: int = 0
    excludes: list[str] | None = None
    tags: list[str] | None = None
    original: str | None = None
    program_version: str = ""
    summary: dict[str, Any] | None = None


_DECODER: Final = msgspec.json.Decoder(_SnapshotJson)
_OBJECT_DECODER: Final = msgspec.json.Decoder(dict[str, Any])
_KNOWN: Final = frozenset(_SnapshotJson.__struct_fields__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as its file has it."""

    time: datetime.datetime
    """Aware. Its offset matters: restic's retention sorts by the local day."""
    tree: bytes
    """Identifier of the root tree."""
    paths: Sequence[str]
    hostname: str
    username: str = ""
    uid: int = 0
    gid: int = 0
    excludes: Sequence[str] = ()
    tags: Sequence[str] = ()
    parent: bytes | None = None
    original: bytes | None = None
    """Identifier of the snapshot that this one was first, before it was rewritten."""
    program_version: str = ""
    summary: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields that holdfast does not know."""
    time_text: str = ""
    """`time` as it was read, which may be finer than microseconds; written again as long as `time` is unchanged."""


def encode(snapshot: Snapshot) -> bytes:
    """The JSON, fields in restic's order, empty ones left out as restic does."""
    document: dict[str, Any] = {"time": _time_text(snapshot)}
    if snapshot.parent is not None:
        document["parent"] = snapshot.parent.hex()
    document["tree"] = snapshot.tree.hex()
    document["paths"] = [_as_go_writes(path) for path in snapshot.paths]
    optional = {
        "hostname": snapshot.hostname,
        "username": snapshot.username,
        "uid": snapshot.uid,
        "gid": snapshot.gid,
        "excludes": [_as_go_writes(pattern) for pattern in snapshot.excludes],
        "tags": list(snapshot.tags),
        "original": snapshot.original.hex() if snapshot.original is not None else "",
        "program_version": snapshot.program_version,
        "summary": snapshot.summary,
    }
    document |= {name: value for name, value in optional.items() if value}
    document |= snapshot.extra
    return msgspec.json.encode(document)


def _as_go_writes(text: str) -> str:
    """The text with U+FFFD for each byte that is no UTF-8, as Go's JSON has it: the tree holds the true names, these are for people."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _time_text(snapshot: Snapshot) -> str:
    if snapshot.time_text:
        read = timestamps.from_text(snapshot.time_text)
        if read == snapshot.time and read.utcoffset() == snapshot.time.utcoffset():
            return snapshot.time_text
    return timestamps.to_text(snapshot.time)


def decode(json: Buffer) -> Snapshot:
    """Read a snapshot of any origin.

    Raises:
        DamagedError: not a snapshot, or one without a tree.
    """
    parsed = strict_json.decode(_DECODER, json, "snapshot")
    everything = strict_json.decode(_OBJECT_DECODER, json, "snapshot")
    if not parsed.tree:
        raise DamagedError("a snapshot names no tree")
    return Snapshot(
        time=timestamps.from_text(parsed.time),
        tree=parse_id(parsed.tree),
        paths=tuple(parsed.paths or ()),
        hostname=parsed.hostname,
        username=parsed.username,
        uid=parsed.uid,
        gid=parsed.gid,
        excludes=tuple(parsed.excludes or ()),
        tags=tuple(parsed.tags or ()),
        parent=parse_id(parsed.parent) if parsed.parent else None,
        original=parse_id(parsed.original) if parsed.original else None,
        program_version=parsed.program_version,
        summary=parsed.summary,
        extra={name: value for name, value in everything.items() if name not in _KNOWN},
        time_text=parsed.time,
    )
