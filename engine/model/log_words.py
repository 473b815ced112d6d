"""What is known of a source's log, in sentences. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from engine.model import text
from engine.model.log_keeping import LostInstants
from engine.model.log_report import LogReport
from engine.model.logs import LogGap, LogState
from engine.model.spans import span


def lines(report: LogReport, most: int | None = None) -> list[str]:
    """To which instants it reaches, from which base in which storage (`most`: the newest so many), what is missing, and how the last look went."""
    shown = report.reaches if most is None else report.reaches[-most:]
    found = [
        f"{report.source}: recoverable from {instant(report.recoverable_from)} to {instant(report.recoverable_to)}"
    ]
    found += [
        f"  base {each.base.backup_id} on {each.storage}: {instant(each.begins_at)} to {instant(each.ends_at)}"
        for each in shown
    ]
    found += [f"  and {len(report.reaches) - len(shown)} older"] if len(shown) < len(report.reaches) else []
    found += [f"  {gap_text(gap)}" for gap in report.gaps]
    found += [f"  {each}" for each in report.baseless]
    return [
        text.printable(each)
        for each in (*found, *(_looked(report.state) if report.state is not None else ()))
    ]


def _looked(state: LogState) -> list[str]:
    found = [f"  looked at {instant(state.polled_at)}, by {state.way or 'no way'}"]
    found += [f"  {state.error}"] if state.error else []
    if state.waiting_segments:
        room = f", room for {span(state.lasts_s)}" if state.lasts_s is not None else ""
        waiting = text.counted(state.waiting_segments, "segment")
        found.append(f"  {waiting} waiting on the host, {text.size(state.waiting_bytes)}{room}")
    return found


def lost(found: LostInstants, *, is_done: bool) -> str:
    """What a source can no longer be brought back to, or could not then."""
    verb = "is" if is_done else "would be"
    spans = "; ".join(f"{instant(each.begins_at)} to {instant(each.ends_at)}" for each in found.windows)
    if found.recoverable_from is None:
        change = f"recoverable to no instant, instead of from {instant(found.instead_of)} on"
    elif found.recoverable_from != found.instead_of:
        change = f"recoverable from {instant(found.recoverable_from)} instead of {instant(found.instead_of)}"
    else:
        change = "recoverable no more in between"
    return text.printable(f"{found.source} {verb} {change}; what goes: {spans}")


def gap_text(gap: LogGap) -> str:
    """What a gap means, in one sentence."""
    names = f"{gap.series}/{gap.first}" + (f" to {gap.last}" if gap.last > gap.first else "")
    if gap.after is None or gap.before is None:
        return f"gap: {names} of the log is missing"
    return f"gap: {names} of the log is missing: between {instant(gap.after)} and {instant(gap.before)} nothing can be reached"


def dropping(report: LogReport, schedules: Sequence[str]) -> Sequence[str]:
    """What is lost, and what stays, when the server keeps no more log for us. `schedules` are those that ship it."""
    waiting = report.state.waiting_segments if report.state is not None else 0
    lines = [
        "The server keeps its log for nobody any more: what it wrote and nobody shipped is lost for recovery."
    ]
    if waiting:
        lines.append(f"At the last look {text.counted(waiting, 'segment')} waited there that no storage has.")
    if report.recoverable_to is not None:
        lines.append(
            f"Recoverable to {instant(report.recoverable_to)} as it is now, and no further until a new base."
        )
    lines.append("What is in storages stays.")
    if schedules:
        lines.append(
            f"Still shipped by {', '.join(schedules)}: pause or remove that too, or the next shipment finds a gap."
        )
    return lines


def instant(at: datetime.datetime | None) -> str:
    """For people, to the second, in this machine's zone."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at is not None else "-"
