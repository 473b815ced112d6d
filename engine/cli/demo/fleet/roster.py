"""Who is in the fleet: twenty hosts, what is backed up on them, where to and when, and what is the matter with some of them.

Their names end in `.example` (RFC 2606), which resolves to nowhere: nothing of it is ever reached. What lies on this machine is real.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.model.definitions import LOCAL_HOST, Host, OptionValue, Source, Storage
from engine.model.plans import Plan, PlanStep
from engine.model.requests import RestoreRequest
from engine.model.schedules import Action, Schedule, Timing

GIB: Final = 1 << 30
MIB: Final = 1 << 20
NEAR, SPARE, CLOUD, VAULT = "near", "spare", "cloud", "vault"
"""Two real folders, and two storages that only have a past."""
NOTES, LEDGER = "notes", "ledger"
"""What is real: a tree of files, and a SQLite database."""
PASSWORD: Final = "vault:fleet-password"  # noqa: S105 -- where it is kept
SECRETS: Final = ("fleet-password", "database-password")
DOWN_HOST: Final = "billing1"
"""Cannot be reached for two days."""
DOWN_FOR: Final = datetime.timedelta(days=2, hours=3)
RETIRED_HOST: Final = "legacy1"
PAUSED: Final = "artifacts"
PAUSE_REASON: Final = "the build farm moves house"
PAUSED_FOR: Final = datetime.timedelta(days=12)
LATE: Final = "office"
"""A schedule whose last start nobody took up."""

_SITE: Final = "backup@{}.example"
_HOSTS: Final = (
    "db1", "db2", "maria1", "cache1", "mongo1", "web1", "web2", "web3", "mail1", "files1", "git1", "ldap1", "crm1", DOWN_HOST, "build1",
    "metrics1", "wiki1", "vpn1", "vault02", RETIRED_HOST,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kept:
    """A source, and how its backups turn out."""

    name: str
    kind: str
    host: str
    options: dict[str, OptionValue]
    size_bytes: int
    growth: float = 0.2
    """In a year, of its size."""
    churn: float = 0.01
    """Of its size, how much each backup adds."""
    rate_bytes_s: int = 60 * MIB
    files: int = 1
    drills: str = ""
    """The schedule that drills it; empty: none."""
    is_verified: bool = True
    ends: Sequence[str] = field(default=())
    """What is the matter with its newest backup or drill: shrank, incomplete, failed, copy-missing, over-budget, drill-failed, none."""

    @property
    def source(self) -> Source:
        """As it is defined."""
        return Source(self.name, self.kind, self.host, self.options)


def _postgres(name: str, host: str, gib: float, **more: object) -> Kept:
    options: dict[str, OptionValue] = {"database": (name.partition("-")[0],), "user": "backup", "secret": "vault:database-password"}  # fmt: skip
    return _kept(name, "postgres", host, options, gib, **more)


def _files(name: str, host: str, path: str, gib: float, files: int, **more: object) -> Kept:
    return _kept(name, "files", host, {"path": (path,)}, gib, files=files, **more)


def _kept(
    name: str, kind: str, host: str, options: dict[str, OptionValue], gib: float, **more: object
) -> Kept:
    return Kept(name, kind, host, options, int(gib * GIB), **more)  # type: ignore[arg-type]


_OBJECTIVES: Final = ("recovery-point=93600", "recovery-time=3600", "success=95")
DRAWN: Final = (
    _kept(NOTES, "files", LOCAL_HOST, {}, 0.0011, files=31, churn=0.02, drills="drill-here"),
    _kept(LEDGER, "sqlite", LOCAL_HOST, {}, 0.0002, churn=0.2, drills="drill-here"),
)
"""What is real, where it is only to be looked at."""
KEPT: Final = (
    _postgres("shop-db", "db1", 11.2, growth=0.6, drills="drill-weekly", ends=("shrank",)),
    _postgres("orders-db", "db1", 38.5, growth=0.4, drills="drill-weekly"),
    _postgres("billing-db", DOWN_HOST, 41, drills="drill-weekly"),
    _postgres("analytics-db", "db2", 187, growth=0.9, rate_bytes_s=110 * MIB, drills="drill-monthly", ends=("over-budget",)),
    _postgres("reports-db", "db2", 22, drills="drill-monthly"),
    _kept("crm-db", "mariadb", "crm1", {"database": ("crm",), "user": "backup", "secret": "vault:database-password"}, 8.8, drills="drill-weekly"),
    _kept("forum-db", "mariadb", "maria1", {"all": True, "user": "backup", "secret": "vault:database-password"}, 5.4, drills="drill-monthly"),
    _kept("wiki-db", "mariadb", "wiki1", {"database": ("wiki",), "user": "backup", "secret": "vault:database-password"}, 1.1, drills="drill-weekly", ends=("drill-failed",)),
    _kept("sessions", "redis", "cache1", {"port": "6379"}, 0.8, growth=0.1, churn=0.3, drills="drill-monthly"),
    _kept("events", "mongodb", "mongo1", {"uri_from": "vault:database-password"}, 64, growth=0.7, drills="drill-monthly"),
    _files("shop-files", "web1", "/srv/www/shop", 220, 412_000, growth=0.3, churn=0.005, drills="drill-monthly"),
    _files("blog-files", "web2", "/srv/www/blog", 14, 31_000, drills="drill-monthly"),
    _files("docs-files", "web3", "/srv/www/docs", 6.5, 18_000, drills="drill-monthly"),
    _files("web1-config", "web1", "/etc", 0.012, 1_900, growth=0.02, churn=0.001),
    _files("web2-config", "web2", "/etc", 0.011, 1_850, growth=0.02, churn=0.001),
    _files("web3-config", "web3", "/etc", 0.011, 1_870, growth=0.02, churn=0.001),
    _files("crm-files", "crm1", "/srv/crm/uploads", 77.1, 120_000, is_verified=False),
    _files("wiki-files", "wiki1", "/srv/wiki", 9.4, 22_000),
    _files("mailboxes", "mail1", "/var/vmail", 310, 2_400_000, growth=0.35, drills="drill-monthly", ends=("incomplete",)),
    _files("shares", "files1", "/srv/shares", 940, 1_150_000, growth=0.25, churn=0.004, rate_bytes_s=140 * MIB, ends=("copy-missing",)),
    _files("homes", "files1", "/home", 156, 890_000, churn=0.008, drills="drill-monthly"),
    _files("repositories", "git1", "/srv/git", 48, 640_000, drills="drill-weekly"),
    _files("billing-files", DOWN_HOST, "/srv/billing", 12, 40_000, drills="drill-monthly"),
    _files("artifacts", "build1", "/srv/artifacts", 130, 9_800, churn=0.1),
    _files("metrics", "metrics1", "/var/lib/prometheus", 33, 5_200, churn=0.12),
    _files("directory", "ldap1", "/var/lib/ldap", 0.06, 40, drills="drill-weekly"),
    _files("vpn-config", "vpn1", "/etc", 0.009, 1_600, growth=0.02, churn=0.001),
    _files("legacy-files", RETIRED_HOST, "/srv/legacy", 27, 61_000, growth=0),
    _files("scans", "files1", "/srv/scans", 18, 7_000, ends=("none",)),
)  # fmt: skip
"""Those that have a past and no present."""


def hosts() -> list[Host]:
    """The twenty."""
    retired = {"retired": "moved to web3 in spring"}
    return [Host(name, "ssh", _SITE.format(name), retired if name == RETIRED_HOST else {}) for name in _HOSTS]


def real_sources(data: Path) -> list[Source]:
    """What lies below that folder, and can be backed up, restored and drilled."""
    return [
        Source(NOTES, "files", LOCAL_HOST, {"path": (str(data / NOTES),)}),
        Source(LEDGER, "sqlite", LOCAL_HOST, {"path": str(data / f"{LEDGER}.db")}),
    ]


def sources() -> list[Source]:
    """Those of the past."""
    wanted = {"objective": _OBJECTIVES}
    defined = [each.source for each in KEPT]
    return [
        Source(each.name, each.kind, each.host, {**each.options, **wanted} if each.name == "orders-db" else each.options)
        for each in defined
    ]  # fmt: skip


def past_storages() -> list[Storage]:
    """The two that nobody reaches. Their repositories' ids are as good as any. Without a key S3 is not even asked."""
    cloud = {"bucket": "backups", "endpoint": "https://s3.cloud.example", "region": "eu-1"}
    return [
        Storage(CLOUD, "s3", cloud, PASSWORD, "c1" * 32),
        Storage(VAULT, "sftp", {"host": "vault02", "path": "/srv/backups"}, PASSWORD, "5f" * 32),
    ]


def drawn_storages() -> list[Storage]:
    """The two folders, where nothing lies in them: for pictures."""
    return [
        Storage(name, "local", {"path": f"/srv/{name}"}, PASSWORD, digit * 64, is_default=name == NEAR)
        for name, digit in ((NEAR, "a"), (SPARE, "b"))
    ]


def plans(target: str) -> list[Plan]:
    """A recovery plan of what is real, and one of what is not."""
    back = (
        PlanStep(NOTES, RestoreRequest("", target)),
        PlanStep(LEDGER, RestoreRequest("", target)),
    )
    shop = (
        PlanStep("shop-db", RestoreRequest("", is_in_place=True)),
        PlanStep("shop-files", RestoreRequest("", "/srv/www", host="web1")),
    )
    return [
        Plan("here", back, 120.0),
        Plan("shop", shop, 3600.0, "ring Mira before the shop goes live again"),
    ]


_GFS: Final[dict[str, OptionValue]] = {"keep_daily": 7, "keep_weekly": 5, "keep_monthly": 12}
_BOTH: Final = (CLOUD, VAULT)


def _backup(
    name: str,
    rhythm: str,
    sources: Sequence[str],
    keep: Mapping[str, OptionValue],
    timing: Timing | None = None,
) -> Schedule:
    return Schedule(
        name,
        Action.BACKUP,
        rhythm,
        sources=tuple(sources),
        storages=_BOTH,
        timing=timing or Timing(),
        options=keep,
    )


def _drill(name: str, rhythm: str, sources: Sequence[str], budget: int) -> Schedule:
    return Schedule(name, Action.DRILL, rhythm, sources=tuple(sources), options={"budget": budget})


def schedules() -> list[Schedule]:
    """All of them; what is backed up of the past goes to both of its storages."""
    berlin = Timing("Europe/Berlin", jitter_s=900.0, window="22:00-06:00")
    here = Schedule(
        "here", rhythm="0 12 * * *", sources=(NOTES, LEDGER), storages=(NEAR, SPARE), options=_GFS
    )
    return [
        _backup("databases", "30 20 * * *", ["kind:postgres", "kind:mariadb"], _GFS),
        _backup("caches", "15 */6 * * *", ["sessions", "events"], {"keep_last": 8, "keep_daily": 7, "keep_weekly": 4}),
        _backup("web", "0 1 * * *", ["shop-files", "blog-files", "docs-files"], _GFS),
        _backup("configuration", "40 0 * * *", ["*-config", "directory"], {"keep_daily": 14, "keep_weekly": 8, "keep_monthly": 12}),
        _backup(LATE, "30 23 * * *", ["crm-files", "wiki-files"], _GFS, berlin),
        _backup("files", "0 23 * * *", ["homes", "shares", "billing-files", "scans"], _GFS),
        _backup("mail", "0 3 * * *", ["mailboxes", "repositories"], _GFS),
        _backup("observability", "10 4 * * *", ["metrics"], {"keep_daily": 7, "keep_weekly": 2}),
        _backup("legacy", "50 4 * * *", ["legacy-files"], _GFS),
        _backup(PAUSED, "0 4 * * sun", ["artifacts"], {"keep_weekly": 8}),
        here,
        _drill("drill-weekly", "0 5 * * sun", _drilled("drill-weekly"), 1800),
        _drill("drill-monthly", "0 6 1 * *", _drilled("drill-monthly"), 7200),
        _drill("drill-here", "30 12 * * wed", [NOTES, LEDGER], 300),
        Schedule("verify", Action.VERIFY, "20 5 * * *", storages=_BOTH, options={"read_data_subset": "5%"}),
        Schedule("prune", Action.PRUNE, "0 7 * * sat", storages=_BOTH),
        Schedule("compliance", Action.REPORT, "0 8 1 * *", options={"report": "compliance", "days": 31}),
        Schedule("catch-up", Action.COPY, after="databases", storages=(VAULT,), options={"missing": True}),
    ]  # fmt: skip


def _drilled(schedule: str) -> list[str]:
    return [each.name for each in KEPT if each.drills == schedule]
