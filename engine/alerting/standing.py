"""From what is wrong now, and what stood until now, to alerts: raised once, told once, over when they are over."""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from engine.alerting import telling
from engine.model.alerts import Alert, AlertSettings, Condition, Message, Silence
from engine.model.status import Concern

_SEEN_EVERY: Final = datetime.timedelta(hours=1)
"""So often it is written down that an alert still stands, where nothing else changed."""

Key = tuple[Condition, str]


@dataclass(frozen=True, slots=True)
class Before:
    """What is known when an evaluation begins."""

    standing: Sequence[Alert] = ()
    silences: Sequence[Silence] = ()
    last_told: Mapping[Key, datetime.datetime] = dataclasses.field(default_factory=dict)
    """When each condition of a subject was told last, of those that were within the time of quiet."""
    running: Set[str] = frozenset()
    """Jobs that still run: their end will be told, and tells what an alert of theirs would."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Something to be told of an alert."""

    key: str
    message: Message
    job_id: str = ""
    """Whose failure told the same: who heard of that is not told again; of an end, nobody else is told. See `telling.hears`."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What changed, and what is to be told of it."""

    standing: Sequence[Alert]
    """All that stand now, with the silence that holds for each."""
    raised: Sequence[Alert] = ()
    changed: Sequence[Alert] = ()
    """Of those that stood: what is to be written anew, those that are over among them."""
    recovered: Sequence[Alert] = ()
    tellings: Sequence[Telling] = ()


def evaluate(
    concerns: Iterable[Concern],
    before: Before,
    settings: AlertSettings,
    now: datetime.datetime,
    new_id: Callable[[], str],
) -> Evaluation:
    """What is raised, still stands, or is over.

    Of each condition and subject one alert stands, however many concerns there are of it. Only risks are told; advice stands in the list and
    the digest. What is silenced or acknowledged is not told; when a silence ends and the alert still stands, it is. One that comes and goes is
    told no more often than the time of quiet lets it, though that it is over is told to those who heard of its job's failure; a risk that nobody acknowledged is told again after the time of reminding.
    """
    known = {(each.condition, each.subject): each for each in before.standing}
    # What another alert says already is none of its own; one that stands is not over for that.
    found = {key: each for key, each in _merged(concerns).items() if not each.covered_by or key in known}
    standing, raised, changed, tellings = [], [], [], []
    for key, concern in found.items():
        old = known.get(key)
        alert = _raised(concern, now, new_id()) if old is None else _still(old, concern, now)
        silence = silence_of(alert, before.silences, now)
        telling_now = _telling(alert, silence, before, settings, now)
        if telling_now is not None:
            tellings.append(telling_now)
            alert = dataclasses.replace(alert, told_at=now)
        if old is None:
            raised.append(alert)
        elif _differs(old, alert):
            changed.append(alert)
        standing.append(silenced(alert, silence))
    recovered = [
        dataclasses.replace(each, recovered_at=now) for key, each in known.items() if key not in found
    ]
    tellings += [
        Telling(f"alert:{each.alert_id}:over", telling.of_alert(each), "" if each.told_at else each.job_id)
        for each in recovered
        if (each.told_at or (each.is_risk and each.job_id)) and silence_of(each, before.silences, now) is None
    ]
    return Evaluation(standing, raised, [*changed, *recovered], recovered, tellings)


def silence_of(alert: Alert, silences: Sequence[Silence], now: datetime.datetime) -> Silence | None:
    """The silence that holds for it now, the one that ends last; of a source also that of its host."""
    subjects = [alert.subject, f"host {alert.host}"] if alert.host else [alert.subject]
    holding = [
        each
        for each in silences
        if each.begins_at <= now < each.ends_at
        and each.condition in ("", alert.condition.value)
        and any(fnmatch.fnmatchcase(subject, each.subject) for subject in subjects)
    ]
    return max(holding, key=lambda each: each.ends_at, default=None)


def silenced(alert: Alert, silence: Silence | None) -> Alert:
    """The alert with the silence that holds for it."""
    if silence is None:
        return dataclasses.replace(alert, silenced_until=None, silence_reason="")
    return dataclasses.replace(alert, silenced_until=silence.ends_at, silence_reason=silence.reason)


def _merged(concerns: Iterable[Concern]) -> dict[Key, Concern]:
    """One concern for each condition and subject: the reasons of several one behind the other, the remedy of the first."""
    found: dict[Key, Concern] = {}
    for each in concerns:
        key = (each.condition, each.subject)
        first = found.get(key)
        if first is None:
            found[key] = each
        else:
            is_new = each.reason not in first.reason
            found[key] = dataclasses.replace(
                first,
                reason=f"{first.reason}; {each.reason}" if is_new else first.reason,
                is_risk=first.is_risk or each.is_risk,
                covered_by=first.covered_by if each.covered_by else "",
            )
    return found


def _raised(concern: Concern, now: datetime.datetime, alert_id: str) -> Alert:
    return Alert(
        alert_id,
        concern.condition,
        concern.subject,
        concern.is_risk,
        concern.reason,
        concern.remedy,
        raised_at=now,
        seen_at=now,
        host=concern.host,
        job_id=concern.job_id,
    )


def _still(old: Alert, concern: Concern, now: datetime.datetime) -> Alert:
    return dataclasses.replace(
        old,
        is_risk=concern.is_risk,
        reason=concern.reason,
        remedy=concern.remedy,
        seen_at=now,
        host=concern.host,
        job_id=concern.job_id,
    )


def _telling(
    alert: Alert, silence: Silence | None, before: Before, settings: AlertSettings, now: datetime.datetime
) -> Telling | None:
    if not alert.is_risk or silence is not None or alert.acknowledged_at is not None:
        return None
    if alert.told_at is not None:
        if now - alert.told_at < datetime.timedelta(hours=settings.remind_hours):
            return None
        key = f"alert:{alert.alert_id}:still:{alert.told_at.isoformat()}"
        return Telling(key, telling.of_alert(alert, is_reminder=True))
    last = before.last_told.get((alert.condition, alert.subject))
    if last is not None and now - last < datetime.timedelta(minutes=settings.quiet_minutes):
        return None
    if alert.job_id and alert.job_id in before.running:
        return None
    return Telling(f"alert:{alert.alert_id}:raised", telling.of_alert(alert), alert.job_id)


def _differs(old: Alert, new: Alert) -> bool:
    """Whether there is anything to write down. That an age in a reason grew is not, or every row would be written each time."""
    if (old.is_risk, old.told_at, old.job_id, old.host) != (new.is_risk, new.told_at, new.job_id, new.host):
        return True
    return new.seen_at - old.seen_at >= _SEEN_EVERY
