"""What was there when a snapshot was written, so that the next backup need not look up every blob of its parent.

A snapshot is written when all its blobs are in index files. As long as those index files are all still there, so is everything that the
snapshot needs: prune and repair, which take something away, replace them. Which ones they were is remembered in the local cache; where
that is lost, or does not say so, each blob is looked up, which heals what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.format.ids import ID_BYTES
from engine.repository.repository import Repository

_FOLDER = "snapshots"
_KEPT = 256
"""Of so many snapshots it is remembered; only the last of each source is asked for."""


def record(repository: Repository, snapshot_id: str, written: Iterable[bytes]) -> None:
    """Remembers the index files of this moment: those that were loaded, and those `written` since. Blocks for a millisecond."""
    if repository.cache_directory is None:
        return
    folder = repository.cache_directory / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = folder / f".{snapshot_id}"
    partial.write_bytes(b"".join(sorted({*repository.index.index_ids, *written})))
    partial.rename(folder / snapshot_id)
    _forget_older(folder)


def is_whole(repository: Repository, snapshot_id: str) -> bool:
    """Whether the index proves that everything the snapshot needs is there. The index must have been loaded under the lock that is held."""
    if repository.cache_directory is None:
        return False
    try:
        ids = (repository.cache_directory / _FOLDER / snapshot_id).read_bytes()
    except OSError:
        return False
    known = repository.index.index_ids
    return bool(ids) and all(ids[at : at + ID_BYTES] in known for at in range(0, len(ids), ID_BYTES))


def _forget_older(folder: Path) -> None:
    files = sorted(folder.iterdir(), key=lambda each: each.stat().st_mtime_ns, reverse=True)
    for old in files[_KEPT:]:
        old.unlink(missing_ok=True)
