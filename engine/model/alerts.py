"""Alerts, the messages that tell of them, and where people are told. No secret lies in here: only REFs."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

NOUNS: Final = (
    "source",
    "host",
    "storage",
    "schedule",
    "schedules",
    "verb",
    "catalog",
    "worker",
    "recovery",
    "destination",
)
"""What a subject begins with."""


class Condition(StrEnum):
    """What may be wrong. With the subject it names an alert: of each pair at most one stands."""

    FAILED = "failed"
    INCOMPLETE = "incomplete"
    COPY_MISSING = "copy-missing"
    OVERDUE = "overdue"
    SIZE_ANOMALY = "size-anomaly"
    UNPROVEN = "unproven"
    PROOF_FAILED = "proof-failed"
    DRILL_OVER_BUDGET = "drill-over-budget"
    OBJECTIVE_MISSED = "objective-missed"
    UNCOVERED = "uncovered"
    STORAGE_LOW = "storage-low"
    UNREACHABLE = "unreachable"
    LOCK_HELD = "lock-held"
    CATALOG_COPY_OLD = "catalog-copy-old"
    WORKER_GONE = "worker-gone"
    KIT_UNTESTED = "kit-untested"
    DELIVERY_FAILED = "delivery-failed"
    PAUSED_LONG = "paused-long"
    HOME_FULL = "home-full"
    LOG_GAP = "log-gap"
    LOG_STOPPED = "log-stopped"
    LOG_OTHER_SERVER = "log-other-server"
    LOG_ROOM = "log-room"
    LOG_WARNED = "log-warned"
    LOG_CLOCK = "log-clock"
    LOG_UNSCHEDULED = "log-unscheduled"
    LOG_LONG = "log-long"
    RESTORE_LEFT = "restore-left"


class Occasion(StrEnum):
    """What a message tells of; a destination chooses among them."""

    START = "start"
    """A job began."""
    SUCCESS = "success"
    """A job ended well."""
    FAILURE = "failure"
    """A job failed, was incomplete or interrupted, or proved that something is wrong."""
    ALERT = "alert"
    RECOVERY = "recovery"
    """An alert that was told is over."""
    DIGEST = "digest"
    """What happened since the last one, and what stands."""
    HEARTBEAT = "heartbeat"
    """holdfast looked at everything, and is alive."""
    TEST = "test"
    """A person wants to see that messages arrive: told whatever was chosen."""


class Tone(StrEnum):
    """How a message is marked where the service can; apprise's own words."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Message:
    """One message to people."""

    occasion: Occasion
    tone: Tone
    title: str
    """One line, printable."""
    body: str
    facts: Mapping[str, str] = field(default_factory=dict)
    """What templates name, and destinations choose by: see `engine.alerting.templates.FIELDS`."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where people, or a dead man's switch, are told."""

    name: str
    kind: str
    """apprise, ping."""
    url: str
    """REF of the address, which is a secret."""
    shown: str = ""
    """Scheme and host of that address, where it has one that is no secret."""
    occasions: tuple[Occasion, ...] = ()
    """What is told; empty: what the kind tells unless asked otherwise."""
    only: tuple[str, ...] = ()
    """Patterns of subjects, `source shop*`; `schedule NAME` and `verb restore` too. Empty: everything."""
    template: str = ""
    """Of the message: the first line is the title, the rest the body; `$reason` and the like stand for facts. Empty: holdfast's own."""
    digest_at: str = ""
    """HH:MM, local, of a digest each day; empty: none."""
    start_url: str = ""
    fail_url: str = ""
    """ping: REFs of these addresses, where they are not the first with /start and /fail behind."""
    is_named_only: bool = False
    """Whether it is told only what schedules name it for."""
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition of a subject that stands, or stood."""

    alert_id: str
    condition: Condition
    subject: str
    """`source NAME`, `storage NAME`, `host NAME`, `catalog`, `worker`."""
    is_risk: bool
    reason: str
    remedy: str
    """A command line."""
    raised_at: datetime.datetime
    seen_at: datetime.datetime
    """When it was last found to stand."""
    recovered_at: datetime.datetime | None = None
    told_at: datetime.datetime | None = None
    """When people were told last; None for one that is silenced, or only advice."""
    acknowledged_at: datetime.datetime | None = None
    acknowledged_by: str = ""
    note: str = ""
    """What who acknowledged it said."""
    host: str = ""
    """The host that a source lies on: a silence of the host holds for it."""
    job_id: str = ""
    """The job that showed it; empty where none did."""
    silenced_until: datetime.datetime | None = None
    """By the silence that holds now; worked out when it is looked at."""
    silence_reason: str = ""
    """Of that silence."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which nobody is told of some subjects: a silence from now on, or a maintenance window that was announced."""

    silence_id: str
    subject: str
    """A pattern: `source shop`, `host web*`, `*` for everything."""
    condition: str
    """One of Condition; empty for all."""
    begins_at: datetime.datetime
    ends_at: datetime.datetime
    reason: str
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """A silence that comes again: each time for the same span, by the clock of a zone."""

    name: str
    subject: str
    """A pattern, as that of a silence."""
    every: str
    """When it begins: five fields of cron, or words, as a schedule's rhythm."""
    duration_s: float
    reason: str
    timezone: str = "UTC"
    """The IANA name of the zone whose clock says when it begins."""
    condition: str = ""
    """One of Condition; empty for all."""
    begins_at: datetime.datetime | None = None
    """Nothing before is silenced by it; None: it always held."""
    ends_at: datetime.datetime | None = None
    """Nothing from then on is silenced by it; None: it comes again without end."""
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way to one destination."""

    notice_id: int
    destination: str
    message: Message
    at: datetime.datetime
    """When what it tells of happened."""
    attempts: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one round of deliveries came to."""

    sent: int
    """Messages that arrived; several notices may have gone in one."""
    failed: Sequence[str] = ()
    """One sentence for each destination that did not take its message; tried again later."""
    waiting: int = 0
    """Notices that are still to be told."""


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """[alerts]: when a condition is one."""

    unproven_days: int = 35
    """So long a source may go without a proof that its backups can be read."""
    full_days: int = 30
    """A storage that will be full sooner is low."""
    low_percent: int = 10
    """So much of a storage should be free."""
    lock_hours: int = 24
    kit_days: int = 365
    """A recovery kit is to be tried once in so long."""
    copy_days: int = 7
    """So old the storages' copy of the catalog may be."""
    pause_days: int = 7
    """So long a pause that nothing ends may last."""
    messages_an_hour: int = 20
    """To one destination; what is more goes into one message."""
    remind_hours: int = 24
    """A risk that stands, and that nobody acknowledged, is told again."""
    quiet_minutes: int = 60
    """One that comes and goes is told no more often."""


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """A destination, and what became of its newest message."""

    destination: Destination
    state: str = ""
    """sent, waiting, failed; empty where it was never told anything."""
    at: datetime.datetime | None = None
    """When it was sent, or is tried again."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class AlertRound:
    """What one evaluation came to."""

    at: datetime.datetime
    raised: Sequence[Alert]
    recovered: Sequence[Alert]
    standing: Sequence[Alert]


@dataclass(frozen=True, slots=True)
class Alerts:
    """What stands, as the last evaluation found it, and what is silenced."""

    evaluated_at: datetime.datetime | None
    """None where there was none yet."""
    alerts: Sequence[Alert]
    silences: Sequence[Silence]
    windows: Sequence[tuple[MaintenanceWindow, datetime.datetime | None]] = ()
    """With when each holds next, with its zone's offset: not after now where it does; None where it is over."""
