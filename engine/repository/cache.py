"""The local cache of a repository: packed index files. Nothing in it is needed; whatever is missing, stale or damaged is made anew.

A packed file covers a set of index files. What appeared since is packed into a further small file, so that a backup never rewrites a
large one; small files are merged as they become many, each merge at least doubling the file, so that there are only a few.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import errno
import os
import shutil
import tempfile
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.clock import Clock
from engine.errors import DamagedError, RepositoryError
from engine.repository.index import Index
from engine.repository.index_builder import IndexBuilder
from engine.repository.packed_index import TEMPORARY, PackedIndex, file_name
from engine.scope import task_scope

KEPT_UNUSED = datetime.timedelta(days=1)
"""How long a packed file that nobody opened stays: another process may be about to open it by its path."""

MERGED_BELOW_BLOBS = 20_000
"""Packed files smaller than this are always merged: it costs less than looking in two."""
_FETCHES_AT_ONCE = 5

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOENT})
"""Errors of a cache that cannot be written: its disk is full, or read-only, or it could not be made."""

Fetch = Callable[[bytes], Awaitable[bytes]]
"""Hands out the JSON of the index file of that id."""


@dataclass(slots=True)
class _Choice:
    """What of the cached files serves: as they are, in part, and which index files none of them covers."""

    whole: list[PackedIndex] = field(default_factory=list)
    partly: list[tuple[PackedIndex, frozenset[bytes]]] = field(default_factory=list)
    missing: set[bytes] = field(default_factory=set)


async def load_index(
    names: Collection[bytes],
    fetch: Fetch,
    directory: Path,
    clock: Clock,
    on_damaged: Callable[[bytes, DamagedError], None] | None = None,
) -> Index:
    """Makes the index over the index files `names`, fetching only those that no cached file covers.

    With `on_damaged` an index file that cannot be read is handed to it and left out, else it raises. Where the directory cannot be written
    the machine's folder for temporary files takes what is made, as long as the index is in use.

    Raises: DamagedError, naming the index file; RepositoryError where there is room nowhere.
    """
    choice = await asyncio.to_thread(_choose, directory, frozenset(names), clock.now())
    _plan_merges(choice)
    if choice.missing or choice.partly:
        choice.whole.append(await _build_somewhere(choice, fetch, directory, on_damaged))
    return Index(choice.whole)


async def _build_somewhere(
    choice: _Choice, fetch: Fetch, directory: Path, on_damaged: Callable[[bytes, DamagedError], None] | None
) -> PackedIndex:
    told: dict[bytes, DamagedError] = {}
    on_each = None if on_damaged is None else told.setdefault
    made = None
    scratch = None
    try:
        try:
            made = await _build(choice, fetch, directory, on_each)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            scratch = Path(tempfile.mkdtemp(prefix="holdfast-index-"))
            made = await _build(choice, fetch, scratch, on_each)
            weakref.finalize(made, shutil.rmtree, scratch, ignore_errors=True)
    except OSError as error:
        raise RepositoryError(
            f"the repository's index cannot be kept in {scratch or directory}: {error.strerror}",
            hint="free some space there, or name another folder for temporary files by TMPDIR",
        ) from error
    finally:
        if made is None and scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    if on_damaged is not None:
        for index_id, damage in told.items():
            on_damaged(index_id, damage)
    return made


def _choose(directory: Path, names: frozenset[bytes], now: datetime.datetime) -> _Choice:
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
    choice = _Choice(missing=set(names))
    paths = sorted(directory.glob("index-*"))
    for path in paths:
        if path.suffix == TEMPORARY:
            _discard_leftover(path, now)
    finished = [path for path in paths if path.suffix != TEMPORARY]
    opened = [file for path in finished if (file := _open(path)) is not None]
    for file in sorted(opened, key=len, reverse=True):
        covered = frozenset(file.index_ids)
        serves = covered & choice.missing
        choice.missing -= serves
        if serves == covered:
            choice.whole.append(file)
            with contextlib.suppress(OSError):
                os.utime(file.path, (now.timestamp(), now.timestamp()))
        elif serves:
            choice.partly.append((file, serves))
        else:
            _discard(file, now)
    return choice


def _open(path: Path) -> PackedIndex | None:
    try:
        return PackedIndex.open(path)
    except DamagedError:
        path.unlink(missing_ok=True)
    except OSError:
        pass
    return None


def _discard(file: PackedIndex, now: datetime.datetime) -> None:
    file.close()
    _discard_leftover(file.path, now)


def _discard_leftover(path: Path, now: datetime.datetime) -> None:
    """Removes a file of the cache that was not used for long. One that is being written is another job's, and is let alone."""
    with contextlib.suppress(OSError):
        used = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
        if now - used > KEPT_UNUSED:
            path.unlink()


def _plan_merges(choice: _Choice) -> None:
    """Moves files that are to be merged with what comes new from `whole` to `partly`."""
    if not choice.missing and not choice.partly:
        return
    new = sum(len(file) for file, _ in choice.partly)
    choice.whole.sort(key=len, reverse=True)
    while choice.whole and len(choice.whole[-1]) <= max(MERGED_BELOW_BLOBS, 2 * new):
        file = choice.whole.pop()
        choice.partly.append((file, frozenset(file.index_ids)))
        new += len(file)


async def _build(
    choice: _Choice, fetch: Fetch, directory: Path, on_damaged: Callable[[bytes, DamagedError], object] | None
) -> PackedIndex:
    builder = IndexBuilder(directory)
    try:
        await asyncio.to_thread(_add_packed, builder, choice.partly)
        async with _fetched(sorted(choice.missing), fetch) as files:
            async for index_id, json in files:
                try:
                    if isinstance(json, DamagedError):
                        raise json
                    await asyncio.to_thread(builder.add_index, index_id, json)
                except DamagedError as error:
                    if on_damaged is None:
                        raise
                    on_damaged(index_id, error)
        path = directory / file_name(builder.index_ids)
        await asyncio.to_thread(builder.finish, path)
        return await asyncio.to_thread(PackedIndex.open, path, is_checked=False)
    finally:
        builder.close()


def _add_packed(builder: IndexBuilder, parts: Sequence[tuple[PackedIndex, frozenset[bytes]]]) -> None:
    for file, wanted in parts:
        builder.add_packed(file, wanted)


@contextlib.asynccontextmanager
async def _fetched(
    names: Sequence[bytes], fetch: Fetch
) -> AsyncIterator[AsyncIterator[tuple[bytes, bytes | DamagedError]]]:
    """Fetches several index files at once and hands them out as they come; a few wait at most."""
    waiting = iter(names)
    ready: asyncio.Queue[tuple[bytes, bytes | DamagedError]] = asyncio.Queue(maxsize=_FETCHES_AT_ONCE)

    async def work() -> None:
        for name in waiting:
            try:
                await ready.put((name, await fetch(name)))
            except DamagedError as error:
                await ready.put((name, error))

    async def each() -> AsyncIterator[tuple[bytes, bytes | DamagedError]]:
        for _ in names:
            yield await ready.get()

    async with task_scope() as group:
        workers = [group.create_task(work()) for _ in range(min(_FETCHES_AT_ONCE, len(names)))]
        try:
            yield each()
        finally:
            for worker in workers:
                worker.cancel()
