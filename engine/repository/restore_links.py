"""Hard links of a restore: which names are one file, and when they can be linked.

Names are one file only where inode and device agree, both are known, and the content is the same list of blobs: backups of other
programs, or of file systems that give inodes anew, hold files that agree in less and are not one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from engine.format.outline import Outline
from engine.repository.restore_folders import Folder


@dataclass(slots=True)
class Name:
    """One name of a linked file."""

    folder: Folder
    name: bytes
    node: bytes
    """Its JSON, for the case that it must be restored by itself."""
    outline: Outline


@dataclass(slots=True)
class Group:
    """The names of one file. One is restored, the others are linked to it."""

    leader: Name | None
    """None until there is one, or after it failed with no other name to take its place."""
    is_ready: bool = False
    waiting: list[Name] = field(default_factory=list)
    unseen: int = 0
    """Names that are still to come, if all lie in the snapshot."""


class Links:
    """All groups that are not complete. A group is forgotten when its last name was seen."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int, bytes], Group] = {}

    def add(self, name: Name) -> Group | None:
        """Takes a name up. Gives the group that it leads or belongs to; None where it is a file by itself."""
        outline = name.outline
        if outline.links < 2 or not outline.inode or not outline.device_id or outline.type != "file":
            return None
        key = (outline.device_id, outline.inode, hashlib.sha256(bytes(outline.content)).digest()[:16])
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(name, unseen=outline.links)
        group.unseen -= 1
        if group.unseen <= 0:
            del self._groups[key]
        return group
