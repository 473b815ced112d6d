"""What the files of a log tell without a server: which timelines they left, and whether a segment is whole."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import IncompleteDumpError
from engine.model.logs import LogFork
from engine.sources.postgres import wal


def forks(name: str, content: bytes, segment_bytes: int) -> Sequence[LogFork]:
    """Where the timeline of that history left others, and these left others before; none for what is no history.

    Raises: IncompleteDumpError for a history that tells nothing.
    """
    timeline = wal.history_timeline(name)
    if timeline is None:
        return ()
    found = wal.parse_history(content)
    if not found or found[-1].timeline >= timeline:
        raise IncompleteDumpError(f"{name} does not tell which timeline it left")
    gone_on = [*(each.timeline for each in found[1:]), timeline]
    return [
        LogFork(f"{series:08X}", f"{left.timeline:08X}", left.position // segment_bytes)
        for left, series in zip(found, gone_on, strict=True)
    ]


def require_whole(name: str, content: bytes | bytearray, identity: str) -> None:
    """Raises: IncompleteDumpError where it is not, to its end, the segment of that name of that server."""
    wal.require_whole(content, name, identity)
