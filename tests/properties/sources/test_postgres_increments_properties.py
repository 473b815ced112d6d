"""Any file, any increment of it, however the one before was cut: what is stored is what pg_combinebackup would make."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from engine.sources.base import Member
from engine.sources.incremental import KeptPieces, Piece
from engine.sources.postgres.backup_manifest import ListedFile
from engine.sources.postgres.increments import Increment
from engine.sources.postgres.making import AHEAD, Making

_BLOCK = 4


@dataclass
class _Before:
    """One file of a copy. See `incremental.FilesBefore`."""

    cut: Sequence[bytes]
    read_now: list[int] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    """What was said to come next, at the first reading."""

    async def content(self, path: str, limit_bytes: int) -> bytes | None:
        raise NotImplementedError

    async def pieces(self, path: str) -> Sequence[Piece] | None:
        raise NotImplementedError

    async def read(self, path: str, number: int, ahead: Sequence[int] = ()) -> bytes:
        if not self.read_now:
            self.told = list(ahead)
        self.read_now.append(number)
        return self.cut[number]


@given(st.data())
def test_what_is_kept_and_made_is_the_whole_file(data: st.DataObject) -> None:
    """Each byte comes once, from where it must: those sent in their order, those before from the same place, others zero."""
    before = data.draw(st.binary(max_size=60))
    numbers = sorted(data.draw(st.sets(st.integers(0, 20), max_size=8)))
    found = Increment(numbers, data.draw(st.integers(0, 20)), _BLOCK)
    sent = {number: bytes([0x80 + number]) * _BLOCK for number in numbers}
    blocks = [before[at : at + _BLOCK] for at in range(0, len(before) // _BLOCK * _BLOCK, _BLOCK)]
    expected = b"".join(
        sent.get(number, blocks[number] if number < len(blocks) else bytes(_BLOCK))
        for number in range(found.size_bytes // _BLOCK)
    )
    cut: list[bytes] = []
    while (at := sum(map(len, cut))) < len(before):
        cut.append(before[at : at + data.draw(st.integers(1, len(before) - at))])
    pieces = [Piece(len(each), data.draw(st.booleans())) for each in cut]
    listed = ListedFile(len(before), "", "SHA256", hashlib.sha256(before).hexdigest())
    member = Member("base/5/1", "f", 0o600, 0, 0, "", "", 0, found.size_bytes)
    files, making = _Before(cut), Making(member, found, pieces, listed)

    assert asyncio.run(_stored(making, files, pieces, b"".join(sent.values()))) == expected
    assert files.read_now == sorted(set(files.read_now))
    assert files.told == files.read_now[1:AHEAD]
    known = making.listed()
    assert known.size_bytes == len(expected)
    assert known.checksum in ("", hashlib.sha256(expected).hexdigest())
    assert (
        known.checksum
        or (cut and numbers)
        or len(before) != len(expected)
        or not all(each.may_be_kept for each in pieces)
    )


async def _stored(making: Making, files: _Before, pieces: Sequence[Piece], sent: bytes) -> bytes:
    """The file as its parts are stored."""
    left = bytearray(sent)

    async def take(most: int) -> bytes:
        some = bytes(left[: max(1, most - 1)])
        del left[: len(some)]
        return some

    stored = bytearray()
    while making.steps:
        part = making.begin_step()
        at = part.member.offset if isinstance(part, KeptPieces) else part.offset
        assert at == len(stored)
        if isinstance(part, KeptPieces):
            numbers = range(part.first, part.first + part.pieces)
            assert all(pieces[each].may_be_kept for each in numbers)
            stored += b"".join(files.cut[each] for each in numbers)
        while piece := await making.read(files, take):
            stored += piece
    assert not left
    return bytes(stored)
