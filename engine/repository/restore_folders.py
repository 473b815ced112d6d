"""Directories of a restore: made before what is in them, given their metadata after the last of it.

A directory counts what is still to come in it; when that is nothing, it gets its metadata and is done with, so that only those on the way
are held, however many the tree has.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import DamagedError, RestoreError
from engine.format import tree
from engine.repository import restore_files
from engine.repository.restore_files import Descent, MetadataError, Rights

OnFailure = Callable[[bytes, str], None]


@dataclass(slots=True, eq=False)
class Folder:
    """One directory on the way."""

    parts: tuple[bytes, ...]
    parent: Folder | None
    """None for the target itself, which is there."""
    node: bytes
    """JSON of its node; empty for the target."""
    is_wanted: bool
    """Whether it is restored itself, and not only on the way to something that is."""
    is_made: bool = False
    is_fresh: bool = False
    """Whether this restore made it."""
    has_failed: bool = False
    pending: int = 1
    """Tasks, directories and links that are not done, and one for the walk through it."""

    @property
    def path(self) -> bytes:
        """From the target, for people."""
        return b"/".join(self.parts)


class Folders:
    """Makes and finishes directories. For one thread."""

    def __init__(self, root: int, overwrite: str, on_failure: OnFailure) -> None:
        self._making = Descent(root)
        self._finishing = Descent(root)
        self._overwrite = overwrite
        self._on_failure = on_failure
        self._rights = Rights.mine()
        self.made = 0
        with contextlib.suppress(OSError):
            restore_files.sweep_dead(root)

    def enter(self, parts: tuple[bytes, ...]) -> int:
        """A descriptor of that directory, good until the next call of anything here. Raises: OSError."""
        return self._making.enter(parts)

    def make(self, folder: Folder) -> bool:
        """Makes a directory and those above it, where they are not there; tells whether it can be used. Failures are reported once."""
        missing: list[Folder] = []
        current: Folder | None = folder
        while current is not None and not current.is_made and not current.has_failed:
            missing.append(current)
            current = current.parent
        is_usable = current is None or not current.has_failed
        for each in reversed(missing):
            is_usable = is_usable and self._make_one(each)
            each.has_failed = not is_usable
        return is_usable

    def _make_one(self, folder: Folder) -> bool:
        name = folder.parts[-1]
        try:
            above = self._making.enter(folder.parts[:-1])
            try:
                os.mkdir(name, 0o700, dir_fd=above)
                folder.is_fresh = True
            except FileExistsError:
                folder.is_fresh = self._take_over(above, name)
            opened = self._making.enter(folder.parts)
            if folder.is_fresh:
                restore_files.refuse_inheritance(opened)
            else:
                restore_files.sweep_dead(opened)
        except (OSError, RestoreError) as error:
            self._on_failure(folder.path, restore_files.reason(error))
            return False
        folder.is_made = True
        self.made += 1
        return True

    def _take_over(self, above: int, name: bytes) -> bool:
        """Uses the directory that is there, or puts one in the place of something else; tells whether it was made."""
        found = restore_files.status(above, name)
        if found is not None and stat.S_ISDIR(found.st_mode):
            return False
        if found is not None and self._overwrite == "never":
            raise RestoreError("something that is no directory is in the way")
        os.unlink(name, dir_fd=above)
        os.mkdir(name, 0o700, dir_fd=above)
        return True

    def exists(self, parts: tuple[bytes, ...]) -> bool:
        """Whether that directory is there."""
        try:
            self._making.enter(parts)
        except OSError:
            return False
        return True

    def release(self, folder: Folder) -> None:
        """One thing in a directory is done; what is then complete is finished, and so on upwards."""
        current: Folder | None = folder
        while current is not None:
            current.pending -= 1
            if current.pending:
                return
            self._finish(current)
            current = current.parent

    def _finish(self, folder: Folder) -> None:
        if not folder.is_made or not folder.node:
            return
        if not folder.is_fresh and self._overwrite == "never":
            return
        try:
            [node] = tree.decode_tree(tree.encode_tree([folder.node]), strict=False)
            opened = self._finishing.enter(folder.parts)
            restore_files.apply_to_open(opened, node, self._rights, is_fresh=folder.is_fresh)
        except (OSError, DamagedError, MetadataError) as error:
            message = restore_files.reason(error)
            self._on_failure(folder.path, f"not all of its metadata is restored: {message}")

    def close(self) -> None:
        """Closes what is open."""
        self._making.forget()
        self._finishing.forget()
