"""What a server sends of an incremental base backup, taken apart and put together with the copy before."""

from __future__ import annotations

import asyncio
import hashlib
import io
import struct
import tarfile
from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from engine.errors import SourceError
from engine.hosts.base import OpenHost
from engine.model.manifest import Tablespace
from engine.sources.incremental import KeptPieces, Piece
from engine.sources.postgres import backup_manifest
from engine.sources.postgres.backup_manifest import BackupManifest, ListedFile, LogRange
from engine.sources.postgres.base_backup import BaseReader, Event
from engine.sources.postgres.connection import Connection
from engine.sources.postgres.dumping import Gathered, Wanted
from engine.sources.postgres.facts import ServerFacts
from engine.sources.postgres.incremental import Before, IncrementItem, IncrementStream
from engine.sources.postgres.physical import Asked, BaseItem

_BLOCK = 1024
_LABEL = b"START WAL LOCATION: 0/B000028 (file 00000001000000000000000B)\nSTART TIMELINE: 1\n"
_FROM = b"INCREMENTAL FROM LSN: 0/9000028\nINCREMENTAL FROM TLI: 1\n"
_OLD = {"base/5/1": b"a" * _BLOCK * 3, "base/5/2": b"b" * _BLOCK, "base/5/3": b"c" * _BLOCK * 2}
_NEW = b"new " * (_BLOCK // 4)


def _increment(blocks: Sequence[int], least: int) -> bytes:
    head = struct.pack(f"<III{len(blocks)}I", 0xD3AE1F0D, len(blocks), least, *blocks)
    return head + bytes(-len(head) % _BLOCK if blocks else 0) + _NEW * len(blocks)


_SENT = {
    "backup_label": _LABEL + _FROM,
    "base/5/INCREMENTAL.1": _increment([1], 3),
    "base/5/INCREMENTAL.2": _increment([], 1),
    "base/5/INCREMENTAL.3": _increment([0, 1], 2),
    "base/5/4": b"whole",
    "pg_wal/000000010000000000000001": b"log",
}


class _Files:
    """The copy before, each file in pieces of one block. See `incremental.FilesBefore`."""

    async def content(self, path: str, limit_bytes: int) -> bytes | None:
        raise NotImplementedError

    async def pieces(self, path: str) -> Sequence[Piece] | None:
        return [Piece(_BLOCK, True)] * (len(_OLD[path]) // _BLOCK) if path in _OLD else None

    async def read(self, path: str, number: int, ahead: Sequence[int] = ()) -> bytes:
        return _OLD[path][number * _BLOCK : (number + 1) * _BLOCK]


class _Sent:
    """An archive as it comes. See `physical.Copy`."""

    def __init__(self, archive: bytes) -> None:
        self.reader = BaseReader()
        self._left = archive

    async def next(self) -> Sequence[Event] | None:
        piece, self._left = self._left[:700], self._left[700:]
        return self.reader.feed(piece) if piece else None

    async def end(self) -> Sequence[str]:
        return ()

    def tablespaces(self) -> Sequence[Tablespace]:
        return ()


def _manifest(files: Mapping[str, bytes], system: int = 7) -> BackupManifest:
    listed = {
        path: ListedFile(len(each), "then", "SHA256", hashlib.sha256(each).hexdigest())
        for path, each in files.items()
        if not path.startswith("pg_wal/")
    }
    return BackupManifest(2, system, listed, [LogRange(1, "0/B000028", "0/B000120")])


def _archive(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return written.getvalue()


async def _stored(sent: Mapping[str, bytes], system: int = 7) -> Mapping[str, bytes]:
    """The files as they are stored."""
    archive = _archive({**sent, backup_manifest.NAME: backup_manifest.encode(_manifest(sent, system))})
    gathered = Gathered()
    base = BaseItem(Wanted(cast("OpenHost", None), Connection()), "postgres", gathered)
    before = Before(_Files(), b"", _manifest(_OLD), (b"0/9000028", b"1"))
    server = ServerFacts("17.0", 0.0, "", "", False)
    copy = _Sent(archive)
    stream = IncrementStream(IncrementItem(base, before, _BLOCK), copy, Asked(server, (), {}, {}))
    found: dict[str, bytes] = {}
    while (member := await stream.next_member()) is not None:
        if isinstance(member, KeptPieces):
            kept = _OLD[member.member.path][member.first * _BLOCK : (member.first + member.pieces) * _BLOCK]
            found[member.member.path] = found.get(member.member.path, b"") + kept
            continue
        content = b""
        while piece := await stream.read():
            content += piece
        assert member.type == "d" or len(found.get(member.path, b"")) == member.offset
        found[member.path] = found.get(member.path, b"") + content
    copy.reader.require_whole()
    assert gathered.received_bytes >= sum(map(len, sent.values()))
    return found


def test_what_is_stored_is_a_whole_copy_with_its_own_manifest() -> None:
    """The next one is taken against it, and a server starts from it: nothing tells that it came in parts."""
    found = asyncio.run(_stored(_SENT))
    files = {
        "backup_label": _LABEL,
        "base/5/1": b"a" * _BLOCK + _NEW + b"a" * _BLOCK,
        "base/5/2": _OLD["base/5/2"],
        "base/5/3": _NEW * 2,
        "base/5/4": b"whole",
        "pg_wal/000000010000000000000001": b"log",
    }
    manifest = backup_manifest.parse(found[backup_manifest.NAME])
    assert {path: each for path, each in found.items() if path not in ("", backup_manifest.NAME)} == files
    expected = dict(_manifest(files).files)
    expected["base/5/1"] = ListedFile(3 * _BLOCK, "then")
    assert manifest.files == expected
    assert (manifest.system, manifest.ranges) == (7, [LogRange(1, "0/B000028", "0/B000120")])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"backup_label": _LABEL}, "another backup"),
        ({"backup_label": _LABEL + _FROM.replace(b"0/9", b"0/8")}, "another backup"),
        ({"base/5/INCREMENTAL.9": _increment([], 1)}, "holds no 'base/5/9'"),
        ({"base/5/INCREMENTAL.1": _increment([1], 3)[:-1]}, "as long as it says"),
        ({"base/5/INCREMENTAL.1": _increment([1], 3)[:8]}, "ends before its end"),
        ({"base/5/INCREMENTAL.1": _increment([1], 3)[:14]}, "shorter than its own header"),
        ({"base/5/INCREMENTAL.1": b"no increment"}, "does not begin as one"),
        ({"base/5/1": b"and whole besides"}, "brought 'base/5/1' twice"),
    ],
)
def test_what_cannot_be_put_together_is_no_backup(changed: Mapping[str, bytes], said: str) -> None:
    """A copy that is wrong in one file would be found when it is needed."""
    with pytest.raises(SourceError, match=said):
        asyncio.run(_stored({**_SENT, **changed}))


def test_what_came_from_another_server_is_no_backup() -> None:
    """Blocks of one server in the files of another would be damage that nothing tells."""
    with pytest.raises(SourceError, match="another server"):
        asyncio.run(_stored(_SENT, system=8))
