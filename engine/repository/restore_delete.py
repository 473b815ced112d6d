"""Deleting what a target holds and the backup does not: only what the selection would have restored, never on another file system."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection

from engine.errors import RestoreError
from engine.repository import restore_files
from engine.repository.patterns import Parts, Selection

OnFailure = Callable[[bytes, str], None]


def delete_extras(
    folder: int, parts: Parts, kept: Collection[bytes], selection: Selection, on_failure: OnFailure
) -> int:
    """Deletes from an open directory all names but those `kept`, with all that is in them; gives how many things that were.

    Blocking, for a thread; `folder` stays the caller's. `on_failure` is told the paths of what could not be deleted.
    """
    device = os.fstat(folder).st_dev
    deleted = 0
    for name in restore_files.names_in(folder):
        if name in kept:
            continue
        path = (*parts, name)
        try:
            if selection.is_everything:
                deleted += restore_files.remove(folder, name, device=device)
            else:
                deleted += _delete_selected(folder, path, selection, device, on_failure)
        except RecursionError:
            on_failure(b"/".join(path), "could not be deleted: it is too deep")
        except (OSError, RestoreError) as error:
            on_failure(b"/".join(path), f"could not be deleted: {restore_files.reason(error)}")
    return deleted


def _delete_selected(
    folder: int, path: tuple[bytes, ...], selection: Selection, device: int, on_failure: OnFailure
) -> int:
    """Deletes what the selection means of one name; a directory goes only when nothing is left in it."""
    name = path[-1]
    found = restore_files.status(folder, name)
    if found is None or selection.excludes_path(path):
        return 0
    if not stat.S_ISDIR(found.st_mode):
        if not selection.selects(path):
            return 0
        os.unlink(name, dir_fd=folder)
        return 1
    if found.st_dev != device:
        raise RestoreError("it lies on another file system")
    opened = os.open(name, restore_files.DIRECTORY_FLAGS, dir_fd=folder)
    try:
        deleted = delete_extras(opened, path, (), selection, on_failure)
        is_empty = not restore_files.names_in(opened)
    finally:
        os.close(opened)
    if is_empty and selection.selects(path):
        os.rmdir(name, dir_fd=folder)
        deleted += 1
    return deleted
