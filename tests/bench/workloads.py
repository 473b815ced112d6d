"""The workloads: which programs do which steps on which data, what each step's row is called, and the floor that the row must reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.inputs import Inputs
from tests.bench.programs import Borg, Find, Holdfast, Program, Rsync, StockRestic
from tests.servers import borg, restic
from tests.servers.sshd import Sshd
from tests.servers.tools import require_tool

LISTING = r"%P\0%y\0%m\0%U\0%G\0%s\0%T@\0%C@\0%i\0%n\0%D\0%l\0"
"""What a backup must know of each file. Not %u and %g: GNU find reads /etc/passwd and /etc/group anew for every file, which costs five times the rest."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What a row must reach. Ratio = their time / ours, so more is better."""

    ratios: dict[str, float]
    """By the first word of the other program's name: `restic` holds for every restic."""
    peak_mib: int | None = None
    """Peak memory of ours, at most."""


SIZE_RATIO_LIMIT = 1.03
"""Our repository's size over restic's, at most, after the first and after the second backup."""

FLOORS = {
    "sql": Floor({"restic": 2.0, "borg": 1.5}, 200),
    "random": Floor({"restic": 2.0, "borg": 1.5}, 200),
    "sql-again": Floor({"restic": 2.3, "borg": 1.8}, 150),
    "small": Floor({"restic": 2.0, "borg": 4.0}, 250),
    "small-unchanged": Floor({"restic": 2.0, "borg": 4.0}, 250),
    "mib": Floor({"restic": 1.7, "borg": 1.3}, 200),
    "sql-dump": Floor({"restic": 1.4, "borg": 1.5}, 150),
    "small-restore": Floor({"restic": 1.5, "borg": 2.5}, 250),
    "sql-check": Floor({"restic": 1.2}, 150),
    "ssh-sql": Floor({"restic": 1.5}, 250),
    "s3-sql": Floor({"restic": 1.5}, 300),
    "s3-sql-restore": Floor({"restic": 1.2}, 300),
    "sftp-sql": Floor({"restic": 1.3}, 300),
    "sftp-sql-dump": Floor({}, 300),
    "ssh-small": Floor({"rsync": 1.0}, 250),
    "ssh-many": Floor({}, 250),
    "ssh-many-unchanged": Floor({"find": 0.25}, 250),
    "postgres-dump": Floor({"plain": 0.8}, 250),
    "postgres-load": Floor({"plain": 0.9}, 250),
    "postgres-load-ssh": Floor({"plain": 0.9}, 250),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One measured action of a workload."""

    row: str
    step: str


@dataclass(frozen=True, slots=True)
class Workload:
    """Steps on one fresh repository, done by several programs in turn."""

    name: str
    kind: str
    """The input: `sql` or `random` stream, `small`, `mib` or `many` tree; `pgbench` for a database."""
    steps: tuple[Step, ...]
    is_remote: bool = False
    is_in_bucket: bool = False
    """Whether the repository lies in a bucket of a Ceph on this machine."""
    is_stored_far: bool = False
    """Whether the data is here and the repository on the server, over SFTP."""

    def data(self, inputs: Inputs) -> Path:
        """The input, made if it is not there; a database has none, but a server."""
        if self.kind == "pgbench":
            return inputs.directory
        return inputs.stream(self.kind) if self.kind in ("sql", "random") else inputs.tree(self.kind)


WORKLOADS = (
    Workload(
        "sql",
        "sql",
        (
            Step("sql", "backup-stream"),
            Step("sql-again", "backup-stream"),
            Step("sql-dump", "dump"),
            Step("sql-check", "check"),
        ),
    ),
    Workload("ssh-sql", "sql", (Step("ssh-sql", "backup-stream"),), is_remote=True),
    Workload(
        "s3-sql",
        "sql",
        (
            Step("s3-sql", "backup-stream"),
            Step("s3-sql-restore", "restore"),
            Step("s3-sql-dump", "dump"),
        ),
        is_in_bucket=True,
    ),
    Workload(
        "sftp-sql",
        "sql",
        (Step("sftp-sql", "backup-stream"), Step("sftp-sql-dump", "dump")),
        is_remote=True,
        is_stored_far=True,
    ),
    Workload("random", "random", (Step("random", "backup-stream"),)),
    Workload(
        "small",
        "small",
        (
            Step("small", "backup-tree"),
            Step("small-unchanged", "backup-tree"),
            Step("small-restore", "restore"),
            Step("small-check", "check"),
        ),
    ),
    Workload("ssh-small", "small", (Step("ssh-small", "backup-tree"),), is_remote=True),
    Workload(
        "mib",
        "mib",
        (Step("mib", "backup-tree"), Step("mib-unchanged", "backup-tree"), Step("mib-restore", "restore")),
    ),
    Workload(
        "ssh-many",
        "many",
        (Step("ssh-many", "backup-tree"), Step("ssh-many-unchanged", "backup-tree")),
        is_remote=True,
    ),
    Workload(
        "postgres",
        "pgbench",
        (
            Step("postgres-dump", "backup-database"),
            Step("postgres-load", "load-database"),
            Step("postgres-load-ssh", "load-database-ssh"),
        ),
        is_remote=True,
    ),
)


def local_programs() -> list[Program]:
    """Ours, both restics and borg, each named with its version."""
    programs: list[Program] = [Holdfast()]
    programs += [
        StockRestic(found.path, f"restic {found.version}") for found in reversed(restic.find_restics())
    ]
    path = require_tool("borg")
    return [*programs, Borg(path, f"borg {borg.version_of(path)}")]


def remote_programs(workload: Workload, server: Sshd) -> list[Program]:
    """Ours, and what the workload is held against."""
    if workload.is_stored_far:
        found_restics = reversed(restic.find_restics())
        return [
            Holdfast(store=server),
            *(StockRestic(found.path, f"restic {found.version}", store=server) for found in found_restics),
        ]
    ours: list[Program] = [Holdfast(server)]
    if workload.kind == "sql":
        return [
            *ours,
            *(
                StockRestic(found.path, f"restic {found.version}", server)
                for found in reversed(restic.find_restics())
            ),
        ]
    if workload.kind == "small":
        return [*ours, Rsync(server)]
    return [*ours, Find(server), Find(server, "listing", LISTING)]


def chosen(names: Sequence[str]) -> list[Workload]:
    """The workloads of these names, or all."""
    if not names:
        return list(WORKLOADS)
    return [workload for workload in WORKLOADS if workload.name in names]
