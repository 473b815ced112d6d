"""What a job gives back: the fields that scripts read (design of the command line), as frozen values."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.model.backup import Backup, Copy
from engine.model.definitions import Source
from engine.model.log_keeping import CopiedLog, LogCut, LostInstants, VerifiedLog
from engine.model.manifest import CheckResult


@dataclass(frozen=True, slots=True)
class SourceResult:
    """One source's part of a backup job."""

    backup_id: str
    source: str
    status: str
    started_at: datetime.datetime
    completed_at: datetime.datetime
    duration_s: float
    size_bytes: int = 0
    added_bytes: int = 0
    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    storages: Sequence[Copy] = ()
    warnings: Sequence[str] = ()
    error: str = ""
    kind: str = ""
    """full, incremental, differential: what it was in the end."""
    notes: Sequence[str] = ()
    """How it was read, and why in full where less was asked for."""


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What a backup job did."""

    job_id: str
    status: str
    """completed, incomplete, failed."""
    backups: Sequence[SourceResult]
    warnings: Sequence[str] = ()
    """Of the job as a whole: each source has its own."""


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What a restore did, or would do."""

    job_id: str
    status: str
    restored_files: int
    restored_bytes: int
    duration_s: float
    target: str
    safety_backup_id: str = ""
    warnings: Sequence[str] = ()
    skipped_files: int = 0
    deleted_files: int = 0
    is_dry_run: bool = False
    databases: Sequence[RestoredDatabase] = ()
    hooks: Sequence[HookResult] = ()
    backup_id: str = ""
    note: str = ""
    """What a person must know of what lies there now: where a server starts from, and what must be done before."""


@dataclass(frozen=True, slots=True)
class HookResult:
    """A command that was run before or after a restore."""

    when: str
    """before, after."""
    command: str
    status: int | None
    """Exit status; None where it never ended by itself."""
    output: str
    """The last lines of what it said, standard error among it."""
    duration_s: float


@dataclass(frozen=True, slots=True)
class RestoredDatabase:
    """One database that was brought back."""

    name: str
    into: str
    """The name that it has now."""
    aside: str = ""
    """The name under which what was live is kept; empty where nothing was replaced."""
    size_bytes: int = 0
    duration_s: float = 0.0
    checks: Sequence[CheckResult] = ()
    masked: Sequence[str] = ()
    """Columns that do not hold what was backed up, as `TABLE.COLUMN`."""


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """What a rollback or discard did."""

    job_id: str
    status: str
    restore_job: str
    databases: Sequence[str]
    warnings: Sequence[str] = ()
    restored_files: int = 0
    safety_backup_id: str = ""
    """What was there before the rollback, as a backup; of a discard: the one that was removed."""


@dataclass(frozen=True, slots=True)
class DrillStep:
    """One step of a drill."""

    step: str
    status: str
    """ok, failed, skipped."""
    duration_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PreviousDrill:
    """The drill of the same source before this one, so that a person sees whether it got slower."""

    job_id: str
    at: datetime.datetime
    """When it ended."""
    status: str
    level: str
    backup_id: str
    rto_s: float
    rpo_s: float
    steps: Sequence[DrillStep]

    def before(self, steps: Sequence[DrillStep]) -> list[DrillStep | None]:
        """For each of these steps the one of that drill: of the same name, and of several such the one in the same place."""
        mine: dict[str, list[DrillStep]] = {}
        for each in reversed(self.steps):
            mine.setdefault(each.step, []).append(each)
        return [mine[each.step].pop() if mine.get(each.step) else None for each in steps]


@dataclass(frozen=True, slots=True)
class KeptScratch:
    """A database that a drill made and kept for a while."""

    database: str
    """That it was restored from."""
    connect: str
    """The client's command, for a person on the source's host."""


@dataclass(frozen=True, slots=True)
class DrillResult:
    """What a drill proved."""

    job_id: str
    status: str
    """passed, failed, inconclusive."""
    source: str
    backup_id: str
    level: str
    steps: Sequence[DrillStep]
    checks: Sequence[CheckResult]
    rto_s: float
    """From the request to the last check."""
    rpo_s: float
    """How old what was restored is."""
    budget_s: float | None
    report: str
    """Path of the evidence, a JSON file in the home."""
    report_sha256: str = ""
    """Its digest, which is in the audit log too."""
    report_pdf: str = ""
    """Path of the same on one page, for people."""
    report_pdf_sha256: str = ""
    warnings: Sequence[str] = ()
    previous: PreviousDrill | None = None
    """None for a source's first drill."""
    scenario: str = ""
    """What was supposed to have happened; empty where nothing was."""
    kept: Sequence[KeptScratch] = ()
    kept_until: datetime.datetime | None = None
    """The latest instant; it may have been ended before."""


@dataclass(frozen=True, slots=True)
class SignOff:
    """That a person has seen the evidence of a drill and stands by it."""

    by: str
    note: str
    at: str
    """RFC 3339."""


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """The evidence of one drill."""

    job_id: str
    source: str
    backup_id: str
    status: str
    """The drill's verdict; damaged where the file cannot be understood."""
    level: str
    written_at: str
    """RFC 3339."""
    report: str
    rto_s: float = 0.0
    by: Sequence[str] = ()
    note: str = ""
    sign_offs: Sequence[SignOff] = ()


@dataclass(frozen=True, slots=True)
class EvidenceCheck:
    """A file of evidence, held against public keys."""

    file: str
    status: str
    """valid, changed, other-key, no-signature."""
    signed_by: str
    """Fingerprint of the key that its signature names; empty where there is none."""
    detail: str


@dataclass(frozen=True, slots=True)
class Damage:
    """One damaged or missing thing of a repository, and what it touches."""

    pack: str
    """The pack's or other file's id, 64 hex digits; empty where the damage is no file's."""
    message: str
    blobs: Sequence[str] = ()
    backups: Sequence[str] = ()
    paths: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What a verification proved."""

    job_id: str
    status: str
    """passed, damaged."""
    storage: str
    packs_read: int
    bytes_read: int
    duration_s: float
    damaged: Sequence[Damage] = ()
    """What is damaged at the end: after a repair, what could not be repaired."""
    hints: Sequence[str] = ()
    repaired: Sequence[Damage] = ()
    """What was damaged and is not any more."""
    fetched_blobs: int = 0
    """Blobs that came from other storages."""
    packs_unproved: int = 0
    """Packs that are left for another time: not read now, nor within the age that was asked for."""
    logs: Sequence[VerifiedLog] = ()
    """The logs between backups: of the storage, or behind the one backup."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What retention decided for one backup, and why."""

    backup_id: str
    snapshot_id: str
    source: str
    storage: str
    created_at: datetime.datetime
    is_kept: bool
    reasons: Sequence[str]
    kept_by: str = ""
    """person, rule or minimum; empty where it goes."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a forget stops and asks, rather than do what the policy says."""

    name: str
    """By which a person says that it was looked into."""
    storage: str
    message: str


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What a prune freed, or would free."""

    job_id: str
    status: str
    storage: str
    packs_deleted: int
    packs_rewritten: int
    freed_bytes: int
    unused_bytes_before: int
    unused_bytes_after: int
    duration_s: float
    is_dry_run: bool = False
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class OnlyHeld:
    """What nothing else in a storage needs."""

    storage: str
    size_bytes: int
    """As stored."""


@dataclass(frozen=True, slots=True)
class ForgetResult:
    """What a forget did, or would do."""

    job_id: str
    status: str
    fates: Sequence[Fate]
    prunes: Sequence[PruneResult] = ()
    is_dry_run: bool = False
    doubts: Sequence[Doubt] = ()
    """Of a dry run: what the forget would stop for."""
    warnings: Sequence[str] = ()
    only: Sequence[OnlyHeld] = ()
    """Of a dry run of a deletion: what only these backups hold, and a prune would free."""
    logs: Sequence[LogCut] = ()
    """What goes, or would go, of logs."""
    lost: Sequence[LostInstants] = ()
    """What sources can no longer be brought back to, or could not then."""


@dataclass(frozen=True, slots=True)
class MoveResult:
    """Where a storage lies now, and where it lay."""

    job_id: str
    status: str
    storage: str
    kind: str
    location: str
    old_location: str
    """It is left as it is."""
    snapshots: int
    """That the old place held, and the new one holds, too."""
    copied_bytes: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A backup that a copy could not bring over."""

    backup_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copy brought over."""

    job_id: str
    status: str
    copied: Sequence[Copy]
    skipped: int
    """Backups that were there already."""
    copied_bytes: int
    duration_s: float
    warnings: Sequence[str] = ()
    left_out: Sequence[LeftOut] = ()
    logs: Sequence[CopiedLog] = ()
    """What came of logs, for the bases that are there."""


@dataclass(frozen=True, slots=True)
class FileItem:
    """One entry of a backup's tree, for ls and find. `path` is printable; `raw_path` is base64 where the name is no UTF-8."""

    path: str
    type: str
    mode: str
    size_bytes: int
    modified_at: str
    user: str = ""
    group: str = ""
    uid: int = 0
    gid: int = 0
    target: str = ""
    raw_path: str = ""


@dataclass(frozen=True, slots=True)
class FoundItem:
    """A file found in a backup."""

    backup_id: str
    source: str
    created_at: datetime.datetime
    item: FileItem


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs between two backups, or between a backup and what is live: a path, or an object of a database."""

    path: str
    """Of a file from the host's root; of an object `databases/NAME/tables/SCHEMA.TABLE`, names as `format.layout.encode_name` writes them."""
    change: str
    """added, removed, modified, metadata."""
    size_bytes_before: int | None = None
    size_bytes_after: int | None = None
    what: str = ""
    """Of an object: schema or content. Of a live file: type, size, content, time, mode, owner, target; several with a comma between."""
    rows_before: int | None = None
    rows_after: int | None = None
    detail: str = ""
    """For people."""
    raw_path: str = ""
    """Base64 of a path that is no UTF-8."""


@dataclass(frozen=True, slots=True)
class Compared:
    """How far a comparison went: sentences for people."""

    compared: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()
    """What may differ and nobody looked at, and why."""


@dataclass(frozen=True, slots=True)
class LogLacks:
    """What stands between a source and its log."""

    source: str
    lines: Sequence[str] = ()
    """To add to its server's configuration, as they are."""
    note: str = ""
    """What else: why it could not be asked, or that nothing ships it."""


@dataclass(frozen=True, slots=True)
class HostReport:
    """What a test of a host found."""

    name: str
    duration_s: float
    hostname: str
    user: str
    tools: Sequence[tuple[str, str]]
    proposals: Sequence[str]
    """Source lines, ready to run."""
    uncovered: Sequence[str]
    """Data folders and databases that no source takes."""
    proposed: Sequence[Source] = ()
    """What the lines of `proposals` define; a REF `-` is of a secret that must be asked for."""
    logs: Sequence[LogLacks] = ()
    """Of its sources whose log is to be shipped, and cannot be as the server is set."""


@dataclass(frozen=True, slots=True)
class CopyCatalogResult:
    """Where the catalog was copied to."""

    job_id: str
    status: str
    storages: Sequence[str]
    failed: Mapping[str, str]
    """By the storage's name, why it has no copy."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A catalog that was rebuilt from a repository."""

    storage: str
    backups: Sequence[Backup]
    """Those of the storage that the catalog did not know before."""
    sources: Sequence[str]
    """Those that are named in the backups and are in no copy of the catalog: of files of this machine they are defined again."""
    catalog_at: datetime.datetime | None = None
    """When the copy of the catalog was made that was taken over; None where there is none."""
    has_secrets: bool = False
    """Whether the vault's secrets came back."""
    logs: Sequence[str] = ()
    """Sources whose logs between backups were found again."""
