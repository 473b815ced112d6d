"""What is known of one source's log, in one value. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from engine.model import logs
from engine.model.logs import Base, LogGap, LogHoldings, LogState, Reach


@dataclass(frozen=True, slots=True)
class LogReport:
    """What is known of one source's log, without a look at host or storage."""

    source: str
    recoverable_from: datetime.datetime | None
    """The earliest instant that can be reached; None where there is no base."""
    recoverable_to: datetime.datetime | None
    """The latest one; by the host's clock, as all of these."""
    reaches: Sequence[Reach]
    gaps: Sequence[LogGap]
    state: LogState | None
    storages: Sequence[str]
    """That hold any of it."""
    size_bytes: int
    """Of the log in the storage that holds most of it."""
    baseless: Sequence[str] = ()
    """Of each storage that holds log and no base for it: what becomes of that, in a sentence."""

    @property
    def lag_s(self) -> float | None:
        """How far what can be reached is behind the last look, in seconds; None where nothing is known."""
        if self.state is None or self.recoverable_to is None:
            return None
        return max(
            0.0, (self.state.polled_at - self.recoverable_to).total_seconds() + self.state.clock_ahead_s
        )


def report(
    source: str, bases: Sequence[Base], holdings: Sequence[LogHoldings], state: LogState | None
) -> LogReport:
    """Puts together what is known."""
    reached = logs.reaches(bases, holdings, state)
    found = [gap for each in holdings for gap in logs.gaps(each.runs, each.forks)]
    return LogReport(
        source,
        min((each.begins_at for each in reached), default=None),
        max((each.ends_at for each in reached), default=None),
        tuple(reached),
        tuple(dict.fromkeys(found)),
        state,
        tuple(each.storage for each in holdings),
        max((sum(run.size_bytes for run in each.runs) for each in holdings), default=0),
    )
