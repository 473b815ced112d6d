"""What was there when a snapshot was written, so that the next backup need not look up every blob of its parent.

A snapshot is written when all its blobs are in index files. As long as those index files are all still there, so is everything that the
snapshot needs: prune and repair, which take something away, replace them. Which ones they were is remembered in the local cache; where
that is lost, or does not say so, each blob is looked up, which heals what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.format.ids import ID_BYTES
from engine.repository.folder_memory import FolderMemory
from engine.repository.repository import Repository

_FOLDER = "snapshots"
_FOLDERS = ".folders"
_KEPT = 512
"""So many files are kept, at most two a snapshot; only the last snapshot of each source is asked for."""


def record(
    repository: Repository, snapshot_id: str, written: Iterable[bytes], memory: FolderMemory | None
) -> None:
    """Remembers the index files of this moment: those that were loaded, and those `written` since; and what the directories looked like.

    Blocks for some milliseconds. Raises: OSError; then nothing is remembered.
    """
    if repository.cache_directory is None:
        return
    folder = repository.cache_directory / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if memory is not None:
        _replace(folder / (snapshot_id + _FOLDERS), memory.content())
    _replace(folder / snapshot_id, b"".join(sorted({*repository.index.index_ids, *written})))
    _forget_older(folder)


def folder_memory(repository: Repository, snapshot_id: str) -> FolderMemory:
    """What the directories of that snapshot looked like, as far as it is remembered. To be used only where `is_whole` says so."""
    if repository.cache_directory is None:
        return FolderMemory()
    return FolderMemory.load(repository.cache_directory / _FOLDER / (snapshot_id + _FOLDERS))


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


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}")
    partial.write_bytes(content)
    partial.rename(path)


def _forget_older(folder: Path) -> None:
    files = sorted(folder.iterdir(), key=lambda each: each.stat().st_mtime_ns, reverse=True)
    for old in files[_KEPT:]:
        old.unlink(missing_ok=True)
