"""What stands in a pax extended header: records, extended attributes, and the maps of sparse files. Pure.

Source: POSIX.1-2008 pax, "pax Extended Header"; GNU tar manual, "Storing Sparse Files".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.errors import SourceError

_XATTR = b"SCHILY.xattr."


class Extended(NamedTuple):
    """What an extended header says of the member that follows it."""

    path: bytes | None
    """None where the plain header has it."""
    size: int | None
    """Bytes of the member's content in the stream, a sparse map included."""
    xattrs: tuple[tuple[bytes, bytes], ...]
    """In the order of the records, which is that in which the host's kernel lists them: restic writes them so too."""
    sparse: Sparse | None


class Sparse(NamedTuple):
    """That a member is sparse."""

    real_size: int
    """Bytes of the whole file, holes included."""
    extents: tuple[tuple[int, int], ...] | None
    """Offset and length of what is no hole; None where the map stands before the content (format 1.0)."""


def parse_extended(payload: bytes) -> Extended:
    """Reads the records. Raises: SourceError."""
    records: dict[bytes, bytes] = {}
    xattrs: list[tuple[bytes, bytes]] = []
    offsets: list[bytes] = []
    lengths: list[bytes] = []
    begin = 0
    while begin < len(payload):
        space = payload.find(b" ", begin, begin + 12)
        length = _number(payload[begin:space]) if space > 0 else 0
        end = begin + length
        keyword, equals, value = payload[space + 1 : end - 1].partition(b"=")
        if length <= 0 or end > len(payload) or not equals or payload[end - 1 : end] != b"\n":
            raise SourceError("the tar stream holds a damaged extended header")
        begin = end
        if keyword.startswith(_XATTR):
            xattrs.append((_decode_keyword(keyword[len(_XATTR) :]), value))
        elif keyword == b"GNU.sparse.offset":
            offsets.append(value)
        elif keyword == b"GNU.sparse.numbytes":
            lengths.append(value)
        else:
            records[keyword] = value
    size = records.get(b"size")
    path = records.get(b"GNU.sparse.name", records.get(b"path"))
    return Extended(
        path,
        None if size is None else _number(size),
        tuple(xattrs),
        _sparse(records, offsets, lengths),
    )


def parse_map(text: Sequence[bytes], stored_bytes: int, real_size: int) -> tuple[tuple[int, int], ...]:
    """Offsets and lengths, alternating, as extents; checked to ascend, to lie in the file and to add up to what is stored.

    Raises: SourceError.
    """
    numbers = list(map(_number, text))
    extents = tuple(zip(numbers[0::2], numbers[1::2], strict=True)) if len(numbers) % 2 == 0 else ((0, -1),)
    reached = 0
    for offset, length in extents:
        if length < 0 or offset < reached:
            raise SourceError("the tar stream holds a damaged map of a sparse file")
        reached = offset + length
    if reached > real_size or sum(length for _, length in extents) != stored_bytes:
        raise SourceError("the tar stream holds a map of a sparse file that does not fit its content")
    return extents


def _sparse(records: Mapping[bytes, bytes], offsets: list[bytes], lengths: list[bytes]) -> Sparse | None:
    if records.get(b"GNU.sparse.major") == b"1":
        return Sparse(_number(records.get(b"GNU.sparse.realsize", b"")), None)
    if b"GNU.sparse.size" not in records:
        return None
    real_size = _number(records[b"GNU.sparse.size"])
    if b"GNU.sparse.map" in records:
        numbers = records[b"GNU.sparse.map"].split(b",") if records[b"GNU.sparse.map"] else []
    elif len(offsets) == len(lengths):
        numbers = [number for pair in zip(offsets, lengths, strict=True) for number in pair]
    else:
        raise SourceError("the tar stream holds a damaged map of a sparse file")
    stored = sum(map(_number, numbers[1::2]))
    return Sparse(real_size, parse_map(numbers, stored, real_size))


def _decode_keyword(keyword: bytes) -> bytes:
    """GNU tar writes `=` and `%` of an attribute's name as %3D and %25."""
    return keyword.replace(b"%3D", b"=").replace(b"%25", b"%") if b"%" in keyword else keyword


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise SourceError("the tar stream holds what is no number where one must be")
    return int(text)
