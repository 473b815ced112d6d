"""Backups, and what is known of them."""

from __future__ import annotations

import datetime
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

SAFETY_TAG = "safety-backup"
"""Of a backup that a restore took of what it was about to replace. Nobody means it by `latest`."""

LABEL_MARK = "before="
"""What the tag begins with that says before which change a backup was taken."""


class BackupStatus(StrEnum):
    """How a backup ended."""

    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


class Scope(StrEnum):
    """What of a source a backup was asked to hold. Only one of all can bring the source back."""

    ALL = "all"
    SCHEMA = "schema"
    CONTENT = "content"
    ROLES = "roles"
    CONFIGURATION = "configuration"


class Proof(StrEnum):
    """The ladder of proof, lowest first."""

    TAKEN = "taken"
    READABLE = "readable"
    VERIFIED = "verified"
    DRILLED = "drilled"


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup as one storage holds it."""

    storage: str
    snapshot_id: str
    """64 hex digits; empty where this storage got none."""
    status: BackupStatus = BackupStatus.COMPLETED
    error: str = ""


@dataclass(frozen=True, slots=True)
class Backup:
    """One capture of one source at one instant."""

    backup_id: str
    source: str
    host: str
    kind: str
    """full, incremental, differential."""
    status: BackupStatus
    created_at: datetime.datetime
    """The instant that it stands for: when reading began. Aware."""
    completed_at: datetime.datetime | None
    size_bytes: int
    added_bytes: int
    files_new: int
    files_changed: int
    files_unmodified: int
    copies: Sequence[Copy]
    warnings: Sequence[str] = ()
    tags: Sequence[str] = ()
    proof: Proof = Proof.TAKEN
    proven_at: datetime.datetime | None = None
    is_protected: bool = False
    expires_at: datetime.datetime | None = None
    hold_reason: str = ""
    job_id: str = ""
    scope: Scope = Scope.ALL
    proven_by: str = ""
    """The verb and the job that brought it to its rung; empty for one that nobody proved."""

    @property
    def label(self) -> str:
        """Before which change it was taken; empty where nobody said."""
        return next((tag.removeprefix(LABEL_MARK) for tag in self.tags if tag.startswith(LABEL_MARK)), "")


def labelled(tags: Sequence[str], label: str) -> tuple[str, ...]:
    """The tags of a backup that was taken before that change; where none is named, the same."""
    return (*tags, f"{LABEL_MARK}{label}") if label else tuple(tags)


class Place(NamedTuple):
    """Where a page of backups ends: the next begins behind it."""

    created_at: datetime.datetime
    backup_id: str


@dataclass(frozen=True, slots=True)
class BackupFilter:
    """Which backups; what is left empty holds for all."""

    source: str = ""
    host: str = ""
    storage: str = ""
    tag: str = ""
    status: BackupStatus | None = None
    since: datetime.datetime | None = None
    """That instant and later."""
    until: datetime.datetime | None = None
    """Before that instant."""
    kind: str = ""
    """full, incremental, differential."""
    scope: Scope | None = None
    proof: Proof | None = None
    """The rung where it stands."""
    is_kept: bool = False
    """Those alone that are protected or held."""
    text: str = ""
    """Part of its id, source, host, tags, kind, status, proof or the reason why it is held; upper and lower case are one."""


class OrderBy(StrEnum):
    """What backups are sorted by."""

    CREATED = "created_at"
    SOURCE = "source"
    KIND = "kind"
    SIZE = "size_bytes"
    ADDED = "added_bytes"
    STATUS = "status"
    PROOF = "proof"
    PROVEN = "proven_at"
    EXPIRES = "expires_at"


_KEY_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Ordered:
    """Backups in an order, as keys of the catalog that hold as long as the catalog is open: a million of them are eight megabytes."""

    packed: bytes
    """Eight bytes each, as this machine has them."""

    def __len__(self) -> int:
        return len(self.packed) // _KEY_BYTES

    def keys(self, first: int, count: int) -> Sequence[int]:
        """Of at most `count` of them, from place `first` on."""
        return array("q", self.packed[first * _KEY_BYTES : (first + count) * _KEY_BYTES]).tolist()

    def place_of(self, key: int) -> int | None:
        """Where a key stands; None where it is not among them."""
        wanted = array("q", [key]).tobytes()
        found = self.packed.find(wanted)
        while found % _KEY_BYTES and found >= 0:
            found = self.packed.find(wanted, found + 1)
        return None if found < 0 else found // _KEY_BYTES


@dataclass(frozen=True, slots=True)
class ProofRecord:
    """One attempt to prove a backup, and how it ended."""

    backup_id: str
    storage: str
    proof: Proof
    """The rung of the ladder that was tried."""
    proven_at: datetime.datetime
    is_passed: bool
    job_id: str = ""
    detail: str = ""
    verb: str = "verify"
    """By what it was proved."""


def void(records: Sequence[ProofRecord]) -> Sequence[ProofRecord]:
    """Those of one backup's records whose bytes are no longer what the storage holds."""
    since: dict[str, datetime.datetime] = {}
    for each in records:
        if each.proof is Proof.TAKEN:
            since[each.storage] = max(each.proven_at, since.get(each.storage, each.proven_at))
    return [
        each
        for each in records
        if each.proof is not Proof.TAKEN and each.storage in since and each.proven_at <= since[each.storage]
    ]
