"""What a person or a schedule asks for: one frozen value a verb, which serialises, so that a worker elsewhere can take it up."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.model.backup import Scope
from engine.model.definitions import OptionValue, Storage
from engine.model.schedules import Hooks


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that hold for any job."""

    wait_lock_s: float = 0.0
    timeout_s: float | None = None
    upload_kib_s: int | None = None
    download_kib_s: int | None = None


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """Back up these sources, one backup each, to these storages."""

    sources: tuple[str, ...]
    storages: tuple[str, ...] = ()
    """Empty: the default storage."""
    kind: str = "incremental"
    """full reads everything again; incremental decides against the last backup; differential against the last full."""
    scope: Scope = Scope.ALL
    tags: tuple[str, ...] = ()
    label: str = ""
    """`--before LABEL`: taken before this change."""
    expires_at: datetime.datetime | None = None
    stdin_filename: str = ""
    """Where set, there is one source, and its content is this process's standard input."""
    most_bytes: int | None = None
    """That a backup may add to a storage; one that would add more fails, and leaves no snapshot."""
    limits: Limits = field(default_factory=Limits)
    hooks: Hooks = field(default_factory=Hooks)


@dataclass(frozen=True, slots=True)
class ShipRequest:
    """Bring the logs of these sources into these storages."""

    sources: tuple[str, ...]
    storages: tuple[str, ...] = ()
    """Empty: the default storage. A segment leaves its host once all of these have it."""
    follow_s: float = 0.0
    """Go on so long, looking at the log again and again; 0: once."""
    poll_s: float = 10.0
    """How long to wait between two looks."""
    limits: Limits = field(default_factory=Limits)
    hooks: Hooks = field(default_factory=Hooks)


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """Bring a backup back: its files into a directory (`to`), or its databases into a server (`into` or `is_in_place`)."""

    backup: str
    """A backup id, an unambiguous beginning of one, or latest:SOURCE; empty where `source` names what is replayed."""
    to: str = ""
    """The target directory: absolute paths are laid out below it."""
    host: str = ""
    """The host that the target directory lies on; empty: this machine."""
    into: str = ""
    """A database beside the live one: its name. Several databases get it as the beginning of theirs."""
    is_in_place: bool = False
    """Where it came from; what is live there is kept aside, or in a safety backup."""
    is_safety_left_out: bool = False
    """Whether no safety backup is taken of what will be replaced."""
    target_source: str = ""
    """The source whose server takes the databases; empty: the one that they came from."""
    databases: tuple[str, ...] = ()
    """Empty: all that the backup holds."""
    tables: tuple[str, ...] = ()
    """By the manifest's names; empty: whole databases."""
    storage: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    overwrite: str = "always"
    """always, if-changed, never."""
    is_deleting: bool = False
    """Whether files of the target that the backup does not hold are deleted."""
    is_dry_run: bool = False
    is_verified: bool = False
    is_with_roles: bool = False
    """Whether roles of the backup that the server lacks are made first."""
    masks: tuple[str, ...] = ()
    """Rules for columns, `TABLE.COLUMN=hash|null|replace:TEXT`, besides those of the source, which hold where the target is for staging."""
    before_hook: str = ""
    """A line for the shell of the host that it goes to, run before anything is changed; no secret. Empty: none."""
    after_hook: str = ""
    """The same, run when it is over, however it ended."""
    hook_timeout_s: float = 300.0
    tablespaces: tuple[str, ...] = ()
    """OLD=NEW: where a server's tablespace goes, OLD by its place or name; one that is not among them goes below the target."""
    limits: Limits = field(default_factory=Limits)
    source: str = ""
    """Restored as it was at an instant, by a base and the log behind it: `at`, or one of the next two; none: as far as the log goes."""
    at: datetime.datetime | None = None
    at_transaction: str = ""
    at_point: str = ""
    """A restore point that somebody named."""
    is_before: bool = False
    """Just before it."""
    is_whole_server: bool = False
    """In place: the server's data folder is put aside for another one, in place of database by database."""


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """Bring back what a restore put aside, or (`is_discarding`) remove it."""

    restore_job: str
    is_discarding: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class DrillRequest:
    """Restore the newest backup of a source into a scratch target, check it, time it, throw it away."""

    source: str
    backup: str = ""
    """Empty: the newest one."""
    level: str = ""
    """bytes, parse, database, server, files, point-in-time; empty: the highest that can run."""
    host: str = ""
    """Where the throwaway server is started, and what is live is not; empty: on the source's own host."""
    storage: str = ""
    budget_s: float | None = None
    checks: tuple[tuple[str, str, str], ...] = ()
    """Database (empty: each), statement, and the expected value as `psql -At` prints it."""
    keep_s: float | None = None
    """How long the scratch target is kept; None: not at all."""
    scenario: str = ""
    """What is supposed to have happened: main-storage-gone, catalog-gone, kit-only, blind; empty: nothing."""
    seed: int | None = None
    """Of the random choice of files, and of the backup where it is blind; None: a fresh one."""
    by: tuple[str, ...] = ()
    """Who takes part."""
    note: str = ""
    limits: Limits = field(default_factory=Limits)
    hooks: Hooks = field(default_factory=Hooks)
    at: datetime.datetime | None = None
    """The instant that the source is brought back to, or one of the next two; with the level point-in-time and none of them a random instant that
    can be reached."""
    at_transaction: str = ""
    at_point: str = ""
    """A restore point that somebody named."""
    is_before: bool = False
    """Just before it."""


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """Prove that what a storage holds, or one backup of it, is whole."""

    backup: str = ""
    storage: str = ""
    is_reading_data: bool = False
    subset: tuple[int, int] | None = None
    """(n, m): the n-th of m slices of the packs."""
    slice_percent: float | None = None
    slice_bytes: int | None = None
    """At most so much is read: of packs that were not proved for the longest time."""
    max_age_days: float | None = None
    """Packs proved within this many days are passed over."""
    is_repairing: bool = False
    """Whether packs that are damaged are made anew, with the help of other storages."""
    repair_from: tuple[str, ...] = ()
    """The storages that are asked for lost blobs; empty: all that are enabled."""
    limits: Limits = field(default_factory=Limits)
    hooks: Hooks = field(default_factory=Hooks)


@dataclass(frozen=True, slots=True)
class KeepPolicy:
    """A retention policy: restic's keep rules, bounds on what they keep, and what stays whatever they say.

    Counts of -1 never end. Spans count from the newest backup, so that a source that stopped loses nothing as time goes by.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within_s: float | None = None
    within_hourly_s: float | None = None
    """The newest of each hour that is within this span; likewise the others."""
    within_daily_s: float | None = None
    within_weekly_s: float | None = None
    within_monthly_s: float | None = None
    within_yearly_s: float | None = None
    within_bytes: int | None = None
    """The newest are kept as long as their sizes together stay within this."""
    tags: tuple[str, ...] = ()
    """Snapshots with one of these tags are kept, whatever the bounds say."""
    most: int | None = None
    """Of what rules keep, the oldest go where more than this stay in all. Without any rule, all are kept but for the bounds."""
    most_bytes: int | None = None
    """The same by their sizes together, as restored: what one of them takes in a storage, others may need as well."""
    minimum: int = 1
    """So many of each source stay whatever rules and bounds say: the newest complete ones, as far as there are any."""
    logs_within_s: float | None = None
    """Logs reach back so far from the newest base: older bases are kept without what came after them."""

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing of what is kept."""
        return not self.has_rules and self.most is None and self.most_bytes is None

    @property
    def has_rules(self) -> bool:
        """Whether it says what is kept, beyond bounds and minimum."""
        return (
            dataclasses.replace(self, most=None, most_bytes=None, minimum=1, logs_within_s=None)
            != KeepPolicy()
        )


@dataclass(frozen=True, slots=True)
class ForgetRequest:
    """Forget backups by a policy."""

    policy: KeepPolicy
    source: str = ""
    """Empty: each source by itself."""
    storages: tuple[str, ...] = ()
    """Empty: all that are enabled."""
    is_dry_run: bool = False
    is_pruning: bool = False
    limits: Limits = field(default_factory=Limits)
    hooks: Hooks = field(default_factory=Hooks)
    despite: tuple[str, ...] = ()
    """Doubts that a person has looked into: see engine/doubts.py."""


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """Delete what no snapshot of the storage needs."""

    storage: str
    is_dry_run: bool = False
    max_unused_percent: float = 5.0
    limits: Limits = field(default_factory=Limits)
    hooks: Hooks = field(default_factory=Hooks)


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """Delete these backups in every storage that holds them."""

    backups: tuple[str, ...]
    """Ids, or unambiguous beginnings of ids."""
    limits: Limits = field(default_factory=Limits)
    is_dry_run: bool = False
    """Finds out what only they hold, and deletes nothing."""


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """Move a storage, with all that it holds, to another place, which it lies at from then on."""

    storage: str
    kind: str
    """Of the new place, and its options as `Storage.options` has them."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    password: str = ""
    """REF of the new repository's; empty: that of the old one."""
    limits: Limits = field(default_factory=Limits)

    @property
    def place(self) -> Storage:
        """The storage as it is to be."""
        return Storage(self.storage, self.kind, self.options, self.password)


@dataclass(frozen=True, slots=True)
class RecoverRequest:
    """Bring a lost catalog back from a storage, which is defined under this name where it is not."""

    storage: str
    kind: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    password: str = ""
    """REF of the repository's."""
    vault_key: str = ""
    """REF of the lost vault's key, as the recovery kit has it; without it no secret comes back."""
    is_default: bool = False
    limits: Limits = field(default_factory=Limits)

    @property
    def place(self) -> Storage:
        """The storage that is read."""
        return Storage(self.storage, self.kind, self.options, self.password, is_default=self.is_default)


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """A backup, or a part of it, as an archive in a file of this machine."""

    backup: str
    file: str
    """Absolute; where nothing is."""
    format: str = ""
    """tar, tar.gz, tar.bz2, tar.zst or zip; empty: as the file's name ends."""
    path: str = "/"
    """As `ls` has it, from the root."""
    password: str = ""
    """REF of the archive's own; empty: it is not sealed."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class ShareRequest:
    """A backup, or a part of it, as an archive beside a repository, for whoever gets the link."""

    backup: str
    storage: str
    expires_at: datetime.datetime
    format: str = "tar.zst"
    path: str = "/"
    password: str = ""
    """REF of the archive's own; empty: whoever has the link reads it, and so does the service."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class CopyCatalogRequest:
    """A sealed copy of the catalog into storages."""

    storages: tuple[str, ...] = ()
    """Empty: all that are enabled."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class EraseRequest:
    """Erase one path from all backups of a source, in every storage that is enabled."""

    path: str
    """As `ls` has it, from the root."""
    source: str
    reason: str = ""
    is_dry_run: bool = False
    is_pruning: bool = True
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """A report on the days before the job begins, kept as evidence."""

    report: str = "compliance"
    """`compliance` or `trends`."""
    days: float = 30.0
    limits: Limits = field(default_factory=Limits)
    hooks: Hooks = field(default_factory=Hooks)


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """Copy backups to a storage: those that are named, all of another storage, or those that it missed."""

    from_storage: str
    """Empty: whichever has them."""
    to_storage: str
    backups: tuple[str, ...] = ()
    is_all: bool = False
    is_missing: bool = False
    """Those that were meant for the storage, and that it failed to take."""
    limits: Limits = field(default_factory=Limits)
    hooks: Hooks = field(default_factory=Hooks)
