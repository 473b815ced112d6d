"""The rows of the audit log as they are kept: the newest each by itself, older ones a thousand to a block, in a fifth of the room.

A block is a version byte, the length of the hash before its first row, that hash, the hash of each row, and a raw deflate stream of the
records, one a line. What it gives back is the very rows: records and hashes as they stood, so that the chain is verified as before. The hash before
a row is not kept, for it is the one of the row before: rows of which that is not so were tampered with, and stay as they are, to be found out.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, NamedTuple

from engine.catalog.database import Database, Transaction, to_text
from engine.errors import CatalogDamagedError

BLOCK_ROWS: Final = 1_000
_VERSION: Final = 1
_HASH_BYTES: Final = 32
_LEVEL: Final = 9


class ChainRow(NamedTuple):
    """A row of the audit log."""

    sequence: int
    """From 1 on, without a gap."""
    record: str
    """JSON."""
    previous: bytes
    hash: bytes


def pack(rows: Sequence[ChainRow]) -> bytes | None:
    """A block of these rows; None where they are not as the log writes them."""
    first = rows[0]
    before = [first.previous, *(row.hash for row in rows)]
    for place, row in enumerate(rows):
        if row.sequence != first.sequence + place or row.previous != before[place]:
            return None
        if len(row.hash) != _HASH_BYTES or "\n" in row.record:
            return None
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    records = "\n".join(row.record for row in rows).encode()
    head = bytes((_VERSION, len(first.previous))) + first.previous
    return head + b"".join(row.hash for row in rows) + packer.compress(records) + packer.flush()


def unpack(first: int, last: int, packed: bytes) -> list[ChainRow]:
    """The rows of a block, which is all of `packed`. Raises: CatalogDamagedError."""
    count = last - first + 1
    try:
        version, length = packed[:2]
        hashes = 2 + length
        begin = hashes + count * _HASH_BYTES
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        records = (unpacker.decompress(packed[begin:]) + unpacker.flush()).decode().split("\n")
        is_whole = unpacker.eof and not unpacker.unused_data
        if version != _VERSION or len(records) != count or not is_whole:
            raise ValueError
    except (zlib.error, ValueError) as error:
        raise CatalogDamagedError(f"rows {first} to {last} of the audit log cannot be understood") from error
    found: list[ChainRow] = []
    previous = packed[2:hashes]
    for place, record in enumerate(records):
        begin = hashes + place * _HASH_BYTES
        found.append(ChainRow(first + place, record, previous, packed[begin : begin + _HASH_BYTES]))
        previous = found[-1].hash
    return found


class AuditRows:
    """The rows of the audit log; what they mean, and whether they hold, is engine.audit's to say."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, build: Callable[[int, bytes], Sequence[ChainRow]]) -> Sequence[ChainRow]:
        """Adds `build(sequence, hash of the newest)`, all or none, with no other writer in between. The first row follows 0 and an empty hash."""
        async with self._database.transaction() as transaction:
            head = await transaction.fetch_one("audit_head") or (0, b"")
            rows = build(*head)
            await transaction.execute_many(
                "add_audit_record",
                [
                    {
                        "sequence": row.sequence,
                        "record": to_text(row.record),
                        "previous": row.previous,
                        "hash": row.hash,
                    }
                    for row in rows
                ],
            )
            for row in rows:
                await _pack_oldest(transaction, row.sequence)
        return rows

    async def head(self) -> tuple[int, bytes]:
        """Sequence and hash of the newest row; (0, b"") where there is none."""
        row = await self._database.fetch_one("audit_head")
        return (0, b"") if row is None else (row[0], row[1])

    async def newest(self, limit: int) -> list[ChainRow]:
        """The newest rows, newest first; all where the limit is negative. Raises: CatalogDamagedError."""
        found = [ChainRow(*row) for row in await self._database.fetch_all("newest_audit", limit=limit)]
        before = found[-1].sequence if found else 1 << 62
        while (limit < 0 or len(found) < limit) and (
            block := await self._database.fetch_one("audit_block_before", before=before)
        ):
            rows = [row for row in unpack(*block) if row.sequence < before]
            found += rows[::-1] if limit < 0 else rows[::-1][: limit - len(found)]
            before = block[0]
        return found

    async def all(self, *, page: int = BLOCK_ROWS, is_lenient: bool = False) -> AsyncIterator[ChainRow]:
        """All rows, oldest first, read in pages. With `is_lenient` those of a block that cannot be read are missing.

        Raises: CatalogDamagedError.
        """
        after = -(1 << 62)
        while True:
            # Others may pack rows meanwhile: then they are found in the block that comes next.
            if rows := await self._database.fetch_all("list_audit", after=after, limit=page):
                found, last = [ChainRow(*row) for row in rows], rows[-1][0]
            elif block := await self._database.fetch_one("audit_block_after", after=after):
                found, last = _read(*block, is_lenient=is_lenient), block[1]
            else:
                return
            for row in found:
                if row.sequence > after:
                    yield row
            after = last


def _read(first: int, last: int, packed: bytes, *, is_lenient: bool) -> list[ChainRow]:
    try:
        return unpack(first, last, packed)
    except CatalogDamagedError:
        if is_lenient:
            return []
        raise


async def _pack_oldest(transaction: Transaction, head: int) -> None:
    """Makes one block where there are rows for one and as many newer ones; of an older catalog's, one at each new row."""
    oldest = await transaction.fetch_one("oldest_audit")
    if oldest is None or head - oldest[0] < 2 * BLOCK_ROWS:
        return
    rows = [
        ChainRow(*row)
        for row in await transaction.fetch_all("audit_to_pack", first=oldest[0], limit=BLOCK_ROWS)
    ]
    packed = pack(rows)
    if packed is not None and len(rows) == BLOCK_ROWS:
        await transaction.execute(
            "add_audit_block", first=rows[0].sequence, last=rows[-1].sequence, packed=packed
        )
        await transaction.execute("remove_packed_audit", first=rows[0].sequence, last=rows[-1].sequence)
