"""What is wrong with the log of a source: each finding with the command that mends it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Final

from engine.model import text
from engine.model.alerts import Condition
from engine.model.amounts import size
from engine.model.backup import BackupStatus
from engine.model.log_watch import CLOCK_S, LogFacts
from engine.model.logs import LogState
from engine.model.spans import span
from engine.model.status import Concern, SourceFacts

_FAR_S: Final = 60.0
"""So far it is no longer advice."""
_ROOM_S: Final = 86_400.0
"""So long the room must last on a host whose log cannot leave it."""
_SOON_S: Final = 3_600.0
"""So long it should last there if shipping stopped now."""
_LEAST_ROOM_BYTES: Final = 256 << 20
_LONG_BYTES: Final = 4 << 30
"""Of less log nobody waits long, and…"""
_LONG_FACTOR: Final = 2
"""…of more than so many times what the base holds, much longer than for the base."""


def of_log(facts: SourceFacts, now: datetime.datetime) -> list[Concern]:
    """All that there is to say of a source's log."""
    log = facts.log
    if log is None or facts.retired:
        return []
    return [
        *_of_server(facts, log),
        *_of_gaps(facts, log),
        *_of_shipping(facts, log, now),
        *_of_room(facts, log, now),
        *_of_host(facts, log),
        *_of_length(facts, log),
    ]


def why_stopped(facts: SourceFacts, log: LogFacts, now: datetime.datetime) -> str:
    """Why its log does not come as it should; empty where it does, or where it may not come."""
    state = log.state
    if state is None:
        return ""
    if state.error:
        return f"shipping its log fails: {state.error}"
    if state.unshipped:
        return f"its log does not come whole into every storage: {'; '.join(state.unshipped)}"
    late_s, within_s = (now - state.polled_at).total_seconds(), facts.expectation.log_within_s
    if within_s is not None and late_s > within_s:
        return f"its log was last looked at {span(late_s)} ago, longer than its schedule lets it wait ({span(within_s)})"
    return ""


def _concern(
    facts: SourceFacts,
    condition: Condition,
    reason: str,
    remedy: str,
    *,
    is_risk: bool = True,
    covered_by: str = "",
) -> Concern:
    return Concern(
        f"source {facts.name}", is_risk, reason, remedy, condition, facts.host, covered_by=covered_by
    )


def _of_server(facts: SourceFacts, log: LogFacts) -> Iterator[Concern]:
    if not log.shipped_identity or log.state is None:
        return
    said = (
        f"its server is another one than that whose log was shipped: it is {log.state.identity}, and that was {log.shipped_identity}; "
        "nothing of its log is kept until there is a base of it"
    )
    yield _concern(facts, Condition.LOG_OTHER_SERVER, said, f"holdfast backup {facts.name}")


def _of_gaps(facts: SourceFacts, log: LogFacts) -> Iterator[Concern]:
    remedy = f"holdfast backup {facts.name}"
    if log.is_shipped and not log.has_base:
        said = "its log is shipped, and there is no base that it goes on from: no instant can be reached"
        yield _concern(facts, Condition.LOG_GAP, said, remedy)
    for each in log.open_gaps:
        gap = each.gap
        count = text.counted(gap.last - gap.first + 1, "segment")
        since = f" after {gap.after:%Y-%m-%d %H:%M:%S} UTC" if gap.after is not None else ""
        said = (
            f"{count} of its log missing in storage {each.storage} ({gap.series}/{gap.first} to {gap.last}): "
            f"no instant{since} can be reached from there until there is a new base"
        )
        yield _concern(facts, Condition.LOG_GAP, said, remedy)


def _of_shipping(facts: SourceFacts, log: LogFacts, now: datetime.datetime) -> Iterator[Concern]:
    if not facts.expectation.is_log_shipped:
        said = "its log is to be shipped, and no schedule does"
        remedy = f"holdfast schedule add {facts.name}-log --action ship --source {facts.name} --cron 'every 5 minutes'"
        yield _concern(facts, Condition.LOG_UNSCHEDULED, said, remedy, is_risk=False)
    if log.shipped_identity:
        return  # that is said, with what to do about it
    said = why_stopped(facts, log, now)
    if said and log.state is not None:
        said += _on_host(facts, log.state, now)
        remedy = f"holdfast logs ship {facts.name}"
        yield _concern(facts, Condition.LOG_STOPPED, said, remedy, covered_by=_covered_by(facts, log.state))


def _on_host(facts: SourceFacts, state: LogState, now: datetime.datetime) -> str:
    """What becomes of the host meanwhile."""
    found = ""
    if state.waiting_segments:
        segments = text.counted(state.waiting_segments, "segment")
        found = f"; {segments} ({size(state.waiting_bytes)}) wait on {facts.host}"
    if state.free_bytes is not None:
        found += f"; {facts.host} has room for {size(state.free_bytes)} more"
        left_s = _left_s(state, now)
        found += f", which lasts for {span(left_s)} at its rate" if left_s is not None else ""
    return found


def _left_s(state: LogState, now: datetime.datetime) -> float | None:
    """How long the room lasts from now on, if nothing leaves the host."""
    if state.lasts_s is None:
        return None
    return max(0.0, state.lasts_s - (now - (state.seen_at or state.polled_at)).total_seconds())


def _covered_by(facts: SourceFacts, state: LogState) -> str:
    """What explains that its log does not come: a host, or all the storages, that cannot be reached since before then."""
    silent = facts.silent
    if state.error and silent.host is not None and state.polled_at >= silent.host:
        return f"host {facts.host}"
    if state.error or not state.unshipped:
        return ""
    named = [
        name for name in silent.storages for each in state.unshipped if each.startswith(f"storage {name}: ")
    ]
    return f"storage {named[0]}" if len(named) == len(state.unshipped) else ""


def _of_room(facts: SourceFacts, log: LogFacts, now: datetime.datetime) -> Iterator[Concern]:
    state = log.state
    if state is None or state.free_bytes is None:
        return
    left_s, remedy = _left_s(state, now), f"holdfast logs ship {facts.name}"
    room = f"{facts.host} has room for {size(state.free_bytes)} more of its log"
    lasting = f", which lasts for {span(left_s)} at its rate" if left_s is not None else ""
    if state.free_bytes < _LEAST_ROOM_BYTES:
        yield _concern(facts, Condition.LOG_ROOM, room + lasting, remedy)
    elif left_s is not None and left_s < _ROOM_S and why_stopped(facts, log, now):
        yield _concern(facts, Condition.LOG_ROOM, f"{room}{lasting}, and none of it leaves", remedy)
    elif state.lasts_s is not None and state.lasts_s < _SOON_S and not why_stopped(facts, log, now):
        said = f"{room}: if shipping stopped, that would last for {span(state.lasts_s)}"
        yield _concern(facts, Condition.LOG_ROOM, said, f"holdfast logs show {facts.name}", is_risk=False)


def _of_host(facts: SourceFacts, log: LogFacts) -> Iterator[Concern]:
    state = log.state
    if state is None:
        return
    for warning in state.warnings:
        yield _concern(facts, Condition.LOG_WARNED, warning, f"holdfast logs setup {facts.name}")
    ahead_s = state.clock_ahead_s
    if abs(ahead_s) > CLOCK_S:
        said = (
            f"the clock of {facts.host} is {span(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'} this machine's: "
            "instants are by its clock, and a restore to one by ours means another"
        )
        is_far = abs(ahead_s) > _FAR_S
        yield _concern(facts, Condition.LOG_CLOCK, said, f"holdfast host test {facts.host}", is_risk=is_far)


def _of_length(facts: SourceFacts, log: LogFacts) -> Iterator[Concern]:
    base_bytes = next(
        (each.size_bytes for each in facts.backups if each.status is not BackupStatus.FAILED), 0
    )
    if log.replay_bytes <= max(_LONG_BYTES, _LONG_FACTOR * base_bytes):
        return
    said = (
        f"a restore to the latest instant replays {size(log.replay_bytes)} of log onto a base of {size(base_bytes)}: "
        "newer bases make it shorter"
    )
    yield _concern(facts, Condition.LOG_LONG, said, f"holdfast backup {facts.name}", is_risk=False)
