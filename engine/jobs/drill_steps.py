"""The steps of a drill: each timed, each with its own end, none passed that did not run."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from engine.clock import Clock
from engine.errors import (
    CommandTimeoutError,
    ConnectionLostError,
    HoldfastError,
    HostUnreachableError,
    LoginRefusedError,
    NoRepositoryError,
    RepositoryLockedError,
    StorageDeniedError,
    StorageUnreachableError,
    ToolMissingError,
    VaultError,
    WrongPasswordError,
)
from engine.events import Emit, StepBegan, StepEnded
from engine.model.manifest import CheckResult
from engine.model.results import DrillStep

TEAR_DOWN = "tear down"
"""The step that throws away what was restored, and looks whether it is gone."""
SAYS_NOTHING = (
    CommandTimeoutError,
    ConnectionLostError,
    HostUnreachableError,
    LoginRefusedError,
    NoRepositoryError,
    RepositoryLockedError,
    StorageDeniedError,
    StorageUnreachableError,
    ToolMissingError,
    VaultError,
    WrongPasswordError,
)
"""What says of the backup neither that it is good nor that it is bad, whichever step it ends."""
Verdict = Literal["passed", "failed", "inconclusive"]


class StepFailedError(Exception):
    """A step failed, and is written down; what follows it cannot be done."""


@dataclass(slots=True)
class DrillRecord:
    """What happened so far. For one task."""

    clock: Clock
    emit: Emit
    steps: list[DrillStep] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    """What was run, secrets absent."""
    level: str = ""
    """How far it went; empty before that is known."""
    is_conclusive: bool = True
    """Whether nothing kept the drill from finding out, neither a missing tool nor a storage that is away."""
    reached_at: datetime.datetime | None = None
    """The instant that was brought back, where a log was replayed; else it is the backup's."""
    proved_at: float | None = None
    """By the monotonic clock, when the last step that is a proof ended: what follows is tidying up."""

    @contextmanager
    def step(
        self, name: str, *, is_proof: bool = True, optional: type[HoldfastError] | None = None
    ) -> Iterator[list[str]]:
        """Runs a step; lines added to the list that it gives are its detail. What a proof raises says that the backup is bad; what another
        step raises says only that the drill could not find out. An error of the class `optional` means that the step was skipped.

        Raises: StepFailedError in place of a HoldfastError of the body.
        """
        self.emit(StepBegan(name))
        began = self.clock.monotonic()
        detail: list[str] = []
        try:
            yield detail
        except HoldfastError as error:
            if optional is not None and isinstance(error, optional):
                self.skip(name, error.message)
                return
            is_proof = is_proof and not isinstance(error, SAYS_NOTHING)
            self.is_conclusive = self.is_conclusive and is_proof
            self._end(name, "failed", began, "; ".join([*detail, error.message]), is_proof=is_proof)
            raise StepFailedError from error
        except BaseException:
            self.is_conclusive = False
            self._end(name, "failed", began, "; ".join([*detail, "it was interrupted"]))
            raise
        self._end(name, "ok", began, "; ".join(detail), is_proof=is_proof)

    def skip(self, name: str, reason: str) -> None:
        """A step that cannot run, and why."""
        self.steps.append(DrillStep(name, "skipped", 0.0, reason))
        self.emit(StepEnded(name, "skipped", 0.0, reason))

    def verdict(self) -> Verdict:
        """failed where anything was found wrong; inconclusive where nothing was, and the drill could not look at all that it was to."""
        if any(not check.passed for check in self.checks):
            return "failed"
        if any(step.status == "failed" for step in self.steps):
            return "failed" if self.is_conclusive else "inconclusive"
        return "passed" if self.checks and self.is_conclusive else "inconclusive"

    def _end(
        self, name: str, status: Literal["ok", "failed"], began: float, detail: str, *, is_proof: bool = False
    ) -> None:
        ended = self.clock.monotonic()
        duration_s = ended - began
        if is_proof:
            self.proved_at = ended
        self.steps.append(DrillStep(name, status, duration_s, detail))
        self.emit(StepEnded(name, status, duration_s, detail))
