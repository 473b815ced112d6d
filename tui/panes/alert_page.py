"""What is known of one alert on a page: what, since when, why, on what evidence, what mends it, and by which key."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.errors import UnknownNameError
from engine.model.alerts import Alert
from engine.model.job import Job
from engine.model.status import Concern
from engine.model.text import instant
from tui import keys
from tui.dialogs.reader import Reader
from tui.panes import remedies
from tui.text import age

if TYPE_CHECKING:
    from tui.app import ConsoleApp


async def show_alert(console: ConsoleApp, alert: Alert | None, concern: Concern | None) -> None:
    """Of an alert, or of a concern that no evaluation made one of yet; at least one of them. Raises: what the engine raises."""
    subject = alert.subject if alert is not None else concern.subject if concern is not None else ""
    job = await _evidence(console, concern)
    await console.ask(Reader(subject, page_lines(alert, concern, job, console.now())))


async def concern_of(console: ConsoleApp, alert: Alert) -> Concern | None:
    """What stands now of an alert, with its evidence; None where it is over, or no longer found."""
    status = await console.engine.status((await console.engine.expectations()).sources)
    wanted = (alert.condition, alert.subject)
    return next((each for each in status.concerns if (each.condition, each.subject) == wanted), None)


async def _evidence(console: ConsoleApp, concern: Concern | None) -> Job | None:
    if concern is None or not concern.job_id:
        return None
    try:
        return await console.engine.show_job(concern.job_id)
    except UnknownNameError:
        return None


def page_lines(
    alert: Alert | None, concern: Concern | None, job: Job | None, now: datetime.datetime
) -> Sequence[str]:
    """All that is known, a fact a line."""
    lines = []
    opened_from = "alert" if alert is not None else "source"
    if concern is not None:
        risk = "a risk" if concern.is_risk else "advice"
        lines += [f"what        {concern.condition.value} of {concern.subject}: {risk}"]
    elif alert is not None:
        lines += [f"what        {alert.condition.value} of {alert.subject}"]
    lines += _times(alert, job, now)
    reason = concern.reason if concern is not None else alert.reason if alert is not None else ""
    lines += [f"why         {reason}"]
    if job is not None:
        ended = f", {age(job.completed_at, now)} ago" if job.completed_at is not None else ""
        lines += [
            f"evidence    job {job.job_id}, {job.verb}: {job.status.value}{ended}  (esc, then {keys.of(f'{opened_from}.log')}: its log)"
        ]
        lines += [f"            {job.error}"] if job.error else []
    if concern is not None and concern.covered_by:
        lines += [f"            {concern.covered_by} says it already: mend that first"]
    lines += ["", *_mending(alert, concern, keys.of(f"{opened_from}.mend"))]
    return [*lines, *_people(alert, now)]


def _times(alert: Alert | None, job: Job | None, now: datetime.datetime) -> list[str]:
    if alert is None and job is not None and job.completed_at is not None:
        since = f"{instant(job.completed_at)}, {age(job.completed_at, now)} ago"
        return [f"since       {since}; no alert stands for it"]
    if alert is None:
        return [
            keys.said(
                "since       it was found just now; no alert stands for it yet ({alert.evaluate} among the alerts)"
            )
        ]
    lines = [f"since       {instant(alert.raised_at)}, {age(alert.raised_at, now)} ago"]
    if alert.recovered_at is not None:
        lines += [f"over since  {instant(alert.recovered_at)}, {age(alert.recovered_at, now)} ago"]
    else:
        lines += [f"last seen   {instant(alert.seen_at)}, {age(alert.seen_at, now)} ago"]
    return lines


def _mending(alert: Alert | None, concern: Concern | None, key: str) -> list[str]:
    remedy = concern.remedy if concern is not None else alert.remedy if alert is not None else ""
    if concern is None:
        return [f"what to do  nothing: it is not found any more (it was: {remedy})"]
    return [
        f"what to do  esc, then {key}: {remedies.words_of(concern)}",
        f"same as     {remedy}",
    ]


def _people(alert: Alert | None, now: datetime.datetime) -> list[str]:
    if alert is None:
        return []
    told = f"people, {instant(alert.told_at)}" if alert.told_at is not None else "nobody"
    lines = ["", f"told        {told}"]
    if alert.acknowledged_at is not None:
        note = f": {alert.note}" if alert.note else ""
        since = age(alert.acknowledged_at, now)
        lines += [f"seen to by  {alert.acknowledged_by}, {since} ago{note}"]
    else:
        lines += ["seen to by  nobody: a among the alerts says that you do"]
    if alert.silenced_until is not None:
        lines += [f"silenced    until {instant(alert.silenced_until)}: {alert.silence_reason}"]
    return [*lines, f"id          {alert.alert_id}"]
