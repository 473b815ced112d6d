"""One long file of a restore: decided on, compared where one is there, written in segments by all workers, finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import msgspec

from engine.errors import DamagedError
from engine.format import tree
from engine.format.ids import parse_id
from engine.format.outline import Outline
from engine.repository import restore_content, restore_talk
from engine.repository.index import Index
from engine.repository.restore_content import Piece
from engine.repository.restore_pool import Report, RestorePool

SEGMENT_BYTES: Final = 16 << 20

_CONTENT: Final = msgspec.json.Decoder(list[str])


@dataclass(frozen=True, slots=True)
class LongFile:
    """What is restored, and where to."""

    parts: tuple[bytes, ...]
    is_fresh: bool
    name: bytes
    node: bytes
    """JSON of its node."""
    pieces: Sequence[Piece]

    @property
    def size_bytes(self) -> int:
        """By its blobs, whatever its node says."""
        return sum(piece.length for piece in self.pieces)


def content_of(index: Index, outline: Outline) -> list[Piece]:
    """The pieces of a file. Raises: DamagedError where its list is none, or names a blob that no index file knows."""
    try:
        texts = _CONTENT.decode(bytes(outline.content))
    except msgspec.MsgspecError as error:
        raise DamagedError(f"its list of content cannot be read: {error}") from error
    return restore_content.pieces(index, [parse_id(text) for text in texts])


async def restore_long(pool: RestorePool, file: LongFile, take: Any) -> str:
    """Restores one file; gives why it failed, or nothing. `take` is called with each report as it comes."""
    body = tree.encode_tree([file.node])
    place = {"parts": file.parts, "name": file.name, "size": file.size_bytes}
    folder = {"folders": [(file.parts, file.is_fresh, len(body))], **place}
    decided = await _ask(pool, restore_talk.DECIDE, folder, [body], take)
    if decided.error or decided.answer == "done":
        return decided.error
    differs: set[int] | None = None
    if decided.answer in ("same size", "other size"):
        differs = await _compare(pool, file, take)
        if not differs and decided.answer == "same size":
            return (await _ask(pool, restore_talk.FINISH, {**folder, "temporary": None}, [body], take)).error
    created = await _ask(pool, restore_talk.CREATE, place, [], take)
    if created.error:
        return created.error
    temporary = {"temporary": created.answer}
    error = await _write(pool, file, differs, {**place, **temporary}, take)
    if not error:
        finished = await _ask(pool, restore_talk.FINISH, {**folder, **temporary}, [body], take)
        error = finished.error
    if error:
        await _ask(pool, restore_talk.ABANDON, {**place, **temporary}, [], take)
    return error


async def _ask(pool: RestorePool, kind: bytes, header: Any, body: Sequence[bytes], take: Any) -> Report:
    report = await (await pool.ask(kind, header, body))
    take(report)
    return report


def _segments(pieces: Sequence[Piece]) -> list[tuple[int, Sequence[Piece]]]:
    """The pieces in groups of a segment's size, each with the number of its first."""
    groups: list[list[Piece]] = []
    held = SEGMENT_BYTES
    for piece in pieces:
        if held + piece.length > SEGMENT_BYTES and (held or not groups):
            groups.append([])
            held = 0
        groups[-1].append(piece)
        held += piece.length
    begins = accumulate((len(group) for group in groups), initial=0)
    return list(zip(begins, groups, strict=False))


async def _compare(pool: RestorePool, file: LongFile, take: Any) -> set[int]:
    asked = []
    for begin, group in _segments(file.pieces):
        header = {"parts": file.parts, "name": file.name, "pieces": group}
        asked.append((begin, await pool.ask(restore_talk.COMPARE, header)))
    differs: set[int] = set()
    for begin, answer in asked:
        report = await answer
        take(report)
        differs.update(begin + number for number in report.answer or ())
    return differs


async def _write(
    pool: RestorePool, file: LongFile, differs: set[int] | None, place: dict[str, Any], take: Any
) -> str:
    asked = []
    for begin, group in _segments(file.pieces):
        own = None if differs is None else [n for n in range(len(group)) if begin + n in differs]
        header = {**place, "pieces": group, "differs": own}
        asked.append(await pool.ask_for_content(header, group, None if own is None else set(own)))
    error = ""
    for answer in asked:
        report = await answer
        take(report)
        error = error or report.error
    return error
