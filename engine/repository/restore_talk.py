"""What is said between a restore and its workers, and the workers' end of it; see restore_pool.py for who says what."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from engine.errors import DamagedError
from engine.repository.blobs import Read
from engine.repository.frames import Frame, WorkerEnd

SETUP, FILES, DECIDE, COMPARE, CREATE, SEGMENT, FINISH, ABANDON = (
    b"S",
    b"F",
    b"D",
    b"C",
    b"T",
    b"G",
    b"E",
    b"A",
)
RESULT, WANT, RESCUE, DATA = b"R", b"W", b"Q", b"P"


class TaskReport:
    """What came of one task; `restore_pool.Report` on the other side."""

    def __init__(self) -> None:
        self.restored = self.unchanged = self.kept = self.done_bytes = self.fetched_bytes = 0
        self.failures: list[tuple[bytes, str]] = []
        self.unlinkable: list[bytes] = []
        self.answer: Any = None
        self.error = ""
        """Why the task as a whole failed."""

    def header(self) -> dict[str, Any]:
        """As it is sent."""
        return vars(self)


class Talk:
    """This end of the channel: tasks in order, and answers to what was asked for in between."""

    def __init__(self, end: WorkerEnd) -> None:
        self._end = end
        self._tasks: deque[Frame] = deque()

    def next_task(self) -> Frame | None:
        """The next task; None when there is none any more."""
        return self._tasks.popleft() if self._tasks else self._end.receive()

    def request(self, reads: Sequence[Read]) -> Iterator[bytes]:
        """Ranges of packs, from the parent; nothing for what cannot be had, so that it is rescued."""
        if reads:
            self._end.send(WANT, [(read.pack, read.offset, read.length) for read in reads])
        for _ in reads:
            yield bytes(self._answer().body)

    def rescue(self, blob_id: bytes) -> bytes:
        """A blob that was not whole where it was looked for. Raises: DamagedError where it is whole nowhere."""
        self._end.send(RESCUE, blob_id)
        answer = self._answer()
        if answer.header:
            raise DamagedError(answer.header)
        return bytes(answer.body)

    def _answer(self) -> Frame:
        while (frame := self._end.receive()) is not None:
            if frame.kind == DATA:
                return frame
            self._tasks.append(frame)
        raise BrokenPipeError
