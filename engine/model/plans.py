"""Recovery plans: several sources that are brought back one after the other, as a person wrote it down before it is needed."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.model.requests import DrillRequest, Limits, RestoreRequest
from engine.model.results import DrillResult, RestoreResult


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One source of a plan, and where it goes."""

    source: str
    restore: RestoreRequest
    """As it is run, without the backup, which is chosen then."""
    checks: tuple[tuple[str, str, str], ...] = ()
    """What its drill asks: see `DrillRequest.checks`."""
    goes_on: bool = False
    """Whether the next step is taken also where this one failed."""
    level: str = ""
    scenario: str = ""
    drill_host: str = ""
    """How it is drilled: as in `DrillRequest`, where the last one is `host`."""

    def request(self, backup_id: str, *, is_dry_run: bool, limits: Limits) -> RestoreRequest:
        """The restore of that backup."""
        return dataclasses.replace(self.restore, backup=backup_id, is_dry_run=is_dry_run, limits=limits)

    def drill(self, backup_id: str) -> DrillRequest:
        """The drill of that backup."""
        return DrillRequest(
            self.source,
            backup_id,
            level=self.level,
            host=self.drill_host,
            storage=self.restore.storage,
            checks=self.checks,
            scenario=self.scenario,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A recovery plan."""

    name: str
    steps: tuple[PlanStep, ...]
    budget_s: float | None = None
    """How long all of it may take."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """Run a plan, or (`is_drill`) rehearse it."""

    plan: str
    is_drill: bool = False
    at: datetime.datetime | None = None
    """As everything was then; None: the newest backups."""
    is_dry_run: bool = False
    budget_s: float | None = None
    """In place of the plan's own."""
    by: tuple[str, ...] = ()
    """Who takes part."""
    note: str = ""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class PlanStepResult:
    """What became of one step."""

    source: str
    status: Literal["ok", "failed", "skipped"]
    backup_id: str
    duration_s: float
    detail: str = ""
    """Why it failed or was skipped."""
    restore: RestoreResult | None = None
    drill: DrillResult | None = None


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What a plan did, or its rehearsal proved."""

    job_id: str
    status: str
    """completed, incomplete, failed; of a rehearsal: passed, failed, inconclusive."""
    plan: str
    is_drill: bool
    steps: Sequence[PlanStepResult]
    rto_s: float
    """From the request to the end of the last step, by one clock."""
    budget_s: float | None
    is_within_budget: bool = True
    is_dry_run: bool = False
    report: str = ""
    """Of a rehearsal: the path of its evidence, a JSON file in the home."""
    report_sha256: str = ""
