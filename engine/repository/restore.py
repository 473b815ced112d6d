"""Restoring a snapshot, or a part of it, into a directory.

The trees are walked here; files are made by worker processes, one for each core (restore_pool.py). A file is written under a temporary name
and renamed when it is whole, with its metadata: a restore that is interrupted leaves whole files or none under their own names, and
starting it again only fetches what is missing. An existing file is read first, and only the blobs that it lacks are fetched.

Paths are laid out below the target as the snapshot has them: `/srv/a` becomes `TARGET/srv/a`. Directories get their metadata when all in
them is done. What goes wrong with single files is collected, and the rest goes on. Memory holds the level lists of one path, a few
thousand nodes on their way to workers, and the hard links that are not complete.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from engine import events
from engine.errors import RestoreError
from engine.format.snapshot import Snapshot
from engine.repository import restore_files, restore_pool
from engine.repository.frames import Channel
from engine.repository.reader import Trees, find_node
from engine.repository.repository import Repository
from engine.repository.restore_values import Failure, Overwrite, RestoreOptions, Tally, refuse_dangerous
from engine.repository.restore_walk import RestoreWalk

__all__ = ["Failure", "Overwrite", "RestoreOptions", "Tally", "restore"]


async def restore(
    repository: Repository,
    snapshot: Snapshot,
    options: RestoreOptions,
    *,
    emit: events.Emit = events.ignore,
    channels: Sequence[Channel] | None = None,
) -> Tally:
    """Restores; gives what was done. The repository's index must be loaded; its lock, shared, is the caller's.

    `channels` are workers of `restore_pool.start_processes` that were started early; else they are started here.

    Raises:
        RefusedError: deleting was asked for at the root of the file system.
        PathMissingError: the snapshot has no `sub_path`.
        RestoreError: the target cannot be made or opened.
        DamagedError: the tree of the root, or of `sub_path`, cannot be read.
        StorageError: the storage is gone; what was restored stays.
    """
    refuse_dangerous(options)
    if os.geteuid() != 0:
        emit(events.Warned("owners are not restored, because only root can give files away"))
    trees = Trees(repository)
    node = await find_node(trees, snapshot, options.sub_path)
    if node.type != "dir" or node.subtree is None:
        raise RestoreError(
            "only a directory can stand for the root of a restore", hint="name files by --include"
        )
    await trees.load(node.subtree)
    tally = Tally()
    _expect(tally, snapshot, options)
    async with AsyncExitStack() as stack:
        root = _open_target(options.target)
        stack.callback(os.close, root)
        if channels is None:
            channels = await stack.enter_async_context(restore_pool.start_processes())
        run = await stack.enter_async_context(_open_run(trees, options, root, channels, tally, emit))
        await run.run(node.subtree)
    return tally


@asynccontextmanager
async def _open_run(
    trees: Trees,
    options: RestoreOptions,
    root: int,
    channels: Sequence[Channel],
    tally: Tally,
    emit: events.Emit,
) -> AsyncIterator[RestoreWalk]:
    found = os.fstat(root)
    token = secrets.token_hex(4).encode()
    setup = {
        "target": os.fsencode(options.target),
        "target_inode": [found.st_dev, found.st_ino],
        "overwrite": options.overwrite,
        "is_deleting": options.is_deleting,
        "is_verifying": options.is_verifying,
        "token": token,
    }
    run = RestoreWalk(root, trees, options, tally, emit)
    try:
        async with restore_pool.open_pool(channels, trees.repository, setup) as pool:
            run.pool = pool
            yield run
    finally:
        run.close(token)


def _open_target(target: str) -> int:
    try:
        return restore_files.open_target(target)
    except (FileExistsError, NotADirectoryError) as error:
        raise RestoreError(
            f"the target {target} is not a directory", hint="name another with --to"
        ) from error
    except OSError as error:
        raise RestoreError(f"the target {target} cannot be opened: {error.strerror}") from error


def _expect(tally: Tally, snapshot: Snapshot, options: RestoreOptions) -> None:
    """Totals for the progress, where the snapshot's own summary tells them."""
    if snapshot.summary is None or options.sub_path or not options.selection.is_everything:
        return
    files = snapshot.summary.get("total_files_processed")
    size = snapshot.summary.get("total_bytes_processed")
    if isinstance(files, int) and isinstance(size, int):
        tally.total_files, tally.total_bytes = files, size
