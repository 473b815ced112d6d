"""A file of an incremental base backup: which blocks of it the server sent, and what the whole file is made of.

Where only some blocks of a relation's file changed since the backup before, the server sends `INCREMENTAL.NAME` in place of `NAME`: a header, and
those blocks in the order of their numbers. All others are as they were. Pure. Source: PostgreSQL 17's
src/backend/backup/basebackup_incremental.c (GetFileBackupMethod, GetIncrementalHeaderSize) and src/bin/pg_combinebackup/reconstruct.c. Numbers
are in the byte order of the server's machine: little-endian on all that are read.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from engine.errors import IncompleteDumpError

PREFIX: Final = "INCREMENTAL."
HEAD_BYTES: Final = 12
BLOCK_SIZES: Final = frozenset(1 << power for power in range(10, 16))
"""That a server can be built with."""
_RELATIONS: Final = frozenset(("base", "global", "pg_tblspc"))
"""The folders that relations lie in."""
FINE_BYTES: Final = 128 << 10
"""Pieces of what changed in part have about so many: an eighth of what files are cut into, and eight times as many to be known."""
_HEAD: Final = struct.Struct("<III")
_MAGIC: Final = 0xD3AE1F0D
_MOST_FILE_BYTES: Final = 1 << 36
"""A relation's files have 1 GiB unless the server was built in another way."""


@dataclass(frozen=True, slots=True)
class Increment:
    """What the header says."""

    blocks: Sequence[int]
    """The numbers of those that follow, each larger than the one before."""
    least_blocks: int
    """The file was never shorter since: what it held from there on before does not count any more."""
    block_bytes: int

    @property
    def header_bytes(self) -> int:
        """Behind which the first block lies."""
        return header_bytes(len(self.blocks), self.block_bytes)

    @property
    def size_bytes(self) -> int:
        """Of the whole file."""
        return max(self.least_blocks, self.blocks[-1] + 1 if self.blocks else 0) * self.block_bytes


Origin = Literal["sent", "before", "zero"]
"""The next bytes that were sent; what the backup before has at the same place; or nothing, where it was shorter."""


class Span(NamedTuple):
    """A part of the whole file."""

    begin: int
    end: int
    """In bytes, exclusive."""
    origin: Origin


def plain_name(path: str) -> str:
    """The path of the file that an increment of that path is of; empty where it is none."""
    folder, slash, name = path.rpartition("/")
    is_one = name.startswith(PREFIX) and folder.partition("/")[0] in _RELATIONS
    return folder + slash + name.removeprefix(PREFIX) if is_one else ""


def header_bytes(blocks: int, block_bytes: int) -> int:
    """How long the header for so many blocks is."""
    length = HEAD_BYTES + 4 * blocks
    return length + -length % block_bytes if blocks else length


def count(head: bytes) -> int:
    """How many blocks follow a header that begins so. Raises: IncompleteDumpError where it is none."""
    magic, blocks, _least = _HEAD.unpack(head[:HEAD_BYTES])
    if magic != _MAGIC:
        raise IncompleteDumpError("an increment of the base backup does not begin as one")
    return int(blocks)


def parse(header: bytes, block_bytes: int, sent_bytes: int) -> Increment:
    """What a whole header says, of a file of which so many bytes were sent. Raises: IncompleteDumpError where it cannot be."""
    number = count(header)
    _magic, _blocks, least = _HEAD.unpack(header[:HEAD_BYTES])
    if sent_bytes != header_bytes(number, block_bytes) + number * block_bytes:
        raise IncompleteDumpError("an increment of the base backup is not as long as it says")
    blocks = struct.unpack_from(f"<{number}I", header, HEAD_BYTES)
    if any(after <= before for before, after in itertools.pairwise(blocks)):
        raise IncompleteDumpError("an increment of the base backup has its blocks in no order")
    found = Increment(blocks, least, block_bytes)
    if found.size_bytes > _MOST_FILE_BYTES:
        raise IncompleteDumpError("an increment of the base backup is of a file that cannot be")
    return found


def spans(found: Increment, before_bytes: int) -> list[Span]:
    """The whole file from its beginning to its end, where the one before had so many bytes: neighbours of one origin are one."""
    block_bytes, size = found.block_bytes, found.size_bytes
    known = min(before_bytes // block_bytes * block_bytes, size)
    made: list[Span] = []

    def add(begin: int, end: int, origin: Origin) -> None:
        if begin >= end:
            return
        if made and made[-1].origin == origin:
            begin = made.pop().begin
        made.append(Span(begin, end, origin))

    at = 0
    for begin in (*(number * block_bytes for number in found.blocks), size):
        add(at, min(begin, known), "before")
        add(max(at, min(begin, known)), begin, "zero")
        if begin < size:
            add(begin, begin + block_bytes, "sent")
        at = begin + block_bytes
    return made


class Step(NamedTuple):
    """A part of the whole file as it is stored: pieces of the one before as they are, or bytes that are stored anew."""

    begin: int
    end: int
    first: int = 0
    pieces: int = 0
    """So many pieces from that one on are kept; none: these bytes are made."""


def steps(made_of: Sequence[Span], pieces: Sequence[tuple[int, bool]]) -> list[Step]:
    """How a file is stored that is made of these, where the one before was stored in `pieces`: the length of each, and whether it may be kept.

    A piece is kept where all of it is as before. One that changed in part is made again in smaller ones: what changes all over a file then
    costs little more than that from the second time on. What is new as a whole is made in one, to be cut as any file is.
    """
    found: list[Step] = []
    size, begin, is_new = made_of[-1].end if made_of else 0, 0, False
    for number, (length, origins) in enumerate(_origins(made_of, pieces)):
        end = min(begin + length, size)
        if begin >= end:
            continue
        last, was_new, is_new = found[-1] if found else None, is_new, "before" not in origins
        if origins == {"before"} and end == begin + length and pieces[number][1]:
            if last is not None and last.pieces:
                found[-1] = last._replace(end=end, pieces=last.pieces + 1)
            else:
                found.append(Step(begin, end, number, 1))
        elif is_new and was_new and last is not None:
            found[-1] = last._replace(end=end)
        else:
            parts = max(1, (end - begin) // FINE_BYTES) if len(origins) > 1 else 1
            at = [begin + (end - begin) * part // parts for part in range(parts + 1)]
            found += [Step(*each) for each in itertools.pairwise(at)]
        begin = end
    if begin < size:
        if is_new:
            begin = found.pop().begin
        found.append(Step(begin, size))
    return found


def _origins(
    made_of: Sequence[Span], pieces: Sequence[tuple[int, bool]]
) -> Iterator[tuple[int, AbstractSet[Origin]]]:
    """Of each piece its length, and where the bytes come from that lie in its place."""
    begin = at = 0
    for length, _ in pieces:
        end = begin + length
        while at < len(made_of) and made_of[at].end <= begin:
            at += 1
        origins: set[Origin] = set()
        after = at
        while after < len(made_of) and made_of[after].begin < end:
            origins.add(made_of[after].origin)
            after += 1
        yield length, origins
        begin = end
