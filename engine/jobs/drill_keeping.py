"""A drill's scratch target, kept for a stated time so that people can look into it.

The drill's own process owns it and waits: the verdict is told and the evidence written before, and the end is the same as without. Whoever does
not want to wait ends the job (Ctrl-C, SIGTERM, `job cancel`), and a terminal that goes away ends nothing. Where the process is killed the host's
life line ends a throwaway server; scratch databases of a live server then stay, as their names tell.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from engine.audit import Outcome
from engine.errors import UsageError
from engine.events import Kept, Warned
from engine.jobs import evidence_files, evidence_records
from engine.jobs.context import JobContext
from engine.jobs.drill_steps import TEAR_DOWN
from engine.model.requests import DrillRequest
from engine.model.results import DrillResult, DrillStep, KeptScratch

Conclude = Callable[[Sequence[KeptScratch], datetime.datetime], Awaitable[DrillResult]]
"""Gives the result as it stands, its evidence written, by what is kept and until when."""
_LOOK_S = 1.0
"""How often the clock is looked at: a machine that slept may find the time long over."""


class Keeping:
    """What one drill keeps, and that it went."""

    def __init__(self, context: JobContext, request: DrillRequest, conclude: Conclude) -> None:
        self._context = context
        self._conclude = conclude
        self._keep_s = request.keep_s
        self._is_early = False
        self.result: DrillResult | None = None
        """Of a drill that kept something."""

    async def hold(self, kept: Sequence[KeptScratch]) -> None:
        """Concludes the drill, says how to look in, and waits. Does nothing where nothing is to be kept."""
        if self._keep_s is None or not kept:
            return
        until = self._context.clock.now() + datetime.timedelta(seconds=self._keep_s)
        result = self.result = await self._conclude(kept, until)
        said = f"{result.status}; kept until {until.isoformat(timespec='seconds')}{claims_of(result)}"
        await self._context.audit.append(self._context.actor, "drill", result.source, "started", said)
        self._context.emit(
            Kept(until, tuple(each.connect for each in kept), result.status, result.backup_id, result.report)
        )
        try:
            await self._wait_until(until)
        except asyncio.CancelledError:
            # Nothing is cut short by it: to end the wait is what was wished, and the drill ends as it would have.
            self._is_early = True
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()

    async def _wait_until(self, until: datetime.datetime) -> None:
        left_s = self._keep_s or 0.0
        while left_s > 0:
            await asyncio.sleep(min(left_s, _LOOK_S))
            left_s = (until - self._context.clock.now()).total_seconds()

    async def end(self, steps: Sequence[DrillStep]) -> DrillResult:
        """Writes down that what was kept is gone, or is not; gives the result with the steps that were taken since. After `hold` only."""
        result = self.result
        assert result is not None
        removal = next(each for each in reversed(steps) if each.step == TEAR_DOWN)
        kept = await evidence_records.removal(
            self._context, Path(result.report), removal, is_early=self._is_early
        )
        said = f"{removal.status}: {removal.detail}"
        outcome: Outcome = "done" if removal.status == "ok" else "failed"
        await self._context.audit.append(
            self._context.actor,
            "drill removal",
            result.job_id,
            outcome,
            said + evidence_files.claim_of([kept]),
        )
        warnings = tuple(result.warnings)
        if removal.status != "ok":
            warnings = (*warnings, f"what was kept could not be removed: {removal.detail}")
            self._context.emit(Warned(warnings[-1]))
        return dataclasses.replace(result, steps=tuple(steps), warnings=warnings)


def claims_of(result: DrillResult) -> str:
    """What an audit line says of a drill's files of evidence."""
    files = ((result.report, result.report_sha256), (result.report_pdf, result.report_pdf_sha256))
    return evidence_files.claim_of(evidence_files.Kept(Path(path), digest) for path, digest in files)


def require_possible(request: DrillRequest, *, can_load: bool) -> None:
    """Raises: UsageError where there would be nothing to look into."""
    if request.keep_s is None:
        return
    if not can_load or request.level in ("bytes", "parse"):
        raise UsageError(
            "there is nothing to keep: only a drill of a database into a server or database leaves something to look into",
            hint="leave --keep out, or restore into a directory with --to",
        )
