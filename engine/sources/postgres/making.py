"""A file of the server that is put together of what was sent of it and what the copy before has, part by part as it is stored."""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from engine.sources.base import Member
from engine.sources.incremental import FilesBefore, KeptPieces, Piece
from engine.sources.postgres import increments
from engine.sources.postgres.backup_manifest import ListedFile
from engine.sources.postgres.increments import Increment, Span, Step

_READ_BYTES: Final = 1 << 20
AHEAD: Final = 8
"""So many pieces of a file are on their way from a storage at once: some MiB, but each costs a request."""
Sent = Callable[[int], Awaitable[bytes]]
"""Gives the next bytes that were sent of the file: at least one, at most so many."""


class Making:
    """A file that is put together of what was sent of it and what the copy before has."""

    def __init__(self, member: Member, found: Increment, pieces: Sequence[Piece], listed: ListedFile) -> None:
        """`member`: as it is stored. `pieces`: what the one before consists of; `listed`: what the manifest says of that."""
        size_before = sum(each.size_bytes for each in pieces)
        spans = increments.spans(found, size_before)
        steps = increments.steps(spans, pieces)
        self.member = member
        self.steps = deque(steps)
        """What was not begun of it."""
        self._spans = deque(spans)
        self._ends = list(itertools.accumulate(each.size_bytes for each in pieces))
        self._wanted = _wanted(steps, spans, self._ends)
        self._loaded: tuple[int, bytes] = (-1, b"")
        self._at = self._end = 0
        is_same = found.size_bytes == size_before and all(each.pieces for each in steps)
        self._known = listed if is_same else replace(listed, algorithm="", checksum="")
        self._hasher = None if any(each.pieces for each in steps) else hashlib.sha256()

    def begin_step(self) -> Member | KeptPieces:
        """The next part of the file as it is stored."""
        step = self.steps.popleft()
        self._at, self._end = step.begin, step.begin if step.pieces else step.end
        member = replace(self.member, offset=step.begin)
        return KeptPieces(member, step.first, step.pieces) if step.pieces else member

    async def read(self, files: FilesBefore, sent: Sent) -> bytes:
        """The next bytes of a part that is made; empty at its end. Raises: what `files` and `sent` raise."""
        while self._spans and self._spans[0].end <= self._at:
            self._spans.popleft()
        if self._at >= self._end:
            return b""
        span = self._spans[0]
        most = min(span.end, self._end, self._at + _READ_BYTES) - self._at
        if span.origin == "zero":
            data = bytes(most)
        else:
            data = await sent(most) if span.origin == "sent" else await self._read_before(files, most)
        self._at += len(data)
        if self._hasher is not None:
            self._hasher.update(data)
        return data

    async def _read_before(self, files: FilesBefore, most: int) -> bytes:
        number = bisect.bisect_right(self._ends, self._at)
        if self._loaded[0] != number:
            while self._wanted[0] != number:
                self._wanted.popleft()
            ahead = list(itertools.islice(self._wanted, 1, AHEAD))
            self._loaded = (number, await files.read(self.member.path, number, ahead))
        end, content = self._ends[number], self._loaded[1]
        begin = self._at - (end - len(content))
        return content[begin : begin + most]

    def listed(self) -> ListedFile:
        """What a manifest says of it, once all is read. Of one that is made in part no checksum is known: its pieces have their own."""
        known = replace(self._known, size_bytes=self.member.size_bytes)
        if self._hasher is None:
            return known
        return replace(known, algorithm="SHA256", checksum=self._hasher.hexdigest())


def _wanted(steps: Iterable[Step], spans: Iterable[Span], ends: Sequence[int]) -> deque[int]:
    """The pieces that will be read, in that order: those that hold bytes of the copy before between kept pieces."""
    found: deque[int] = deque()
    unchanged = deque(each for each in spans if each.origin == "before")
    for step in steps:
        while unchanged and unchanged[0].begin < step.end:
            begin, end = max(step.begin, unchanged[0].begin), min(step.end, unchanged[0].end)
            if begin < end and not step.pieces:
                numbers = range(bisect.bisect_right(ends, begin), bisect.bisect_left(ends, end) + 1)
                found.extend(each for each in numbers if not found or each > found[-1])
            if unchanged[0].end > step.end:
                break
            unchanged.popleft()
    return found
