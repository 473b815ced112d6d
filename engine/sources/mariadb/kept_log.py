"""What can be told of binary logs as a storage has them. See `logs.KeptLog`."""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.logs import LogFork
from engine.sources.mariadb.binlog import BinlogReader


def forks(name: str, content: bytes, segment_bytes: int) -> Sequence[LogFork]:
    """See `logs.KeptLog.forks`: nothing but logs is kept, and none leaves another."""
    del name, content, segment_bytes
    return ()


def require_whole(name: str, content: bytes | bytearray, identity: str) -> None:
    """See `logs.KeptLog.require_whole`. A log does not say whose it is."""
    del identity
    reader = BinlogReader(name)
    reader.feed(bytes(content))
    reader.require_whole(len(content))
