"""Messages: of jobs, and of alerts; who gets which, and how many go in one."""

from __future__ import annotations

import datetime
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.model.alerts import Alert, AlertSettings, Delivery, Destination, Message, Occasion, Silence, Tone
from engine.model.job import Job, JobStatus
from engine.model.spans import span

BURST: Final = 3
"""So many messages at once are told each by itself; more become one."""
_MOST_LINES: Final = 200
_HOUR: Final = datetime.timedelta(hours=1)
_ENDED: Final = {
    JobStatus.COMPLETED: "is done",
    JobStatus.INCOMPLETE: "is incomplete",
    JobStatus.FAILED: "failed",
    JobStatus.INTERRUPTED: "was interrupted",
    JobStatus.CANCELLED: "was cancelled",
}
_PROVED_WRONG: Final = frozenset(("failed", "inconclusive", "damaged"))
"""What a job that came to its end may have found: that is a failure, too."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 60.0, 3600.0
MOST_ATTEMPTS: Final = 48
"""Then a message is given up: after about two days."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What a message of a job tells."""

    job: Job
    hosts: Mapping[str, str]
    """Source -> host."""
    is_begin: bool = False
    """Whether it tells of the job's start."""


def of_job(facts: JobFacts) -> Message:
    """The message of a job that began or ended."""
    job = facts.job
    sources = _sources(job.request)
    target = ", ".join(sources) or _storage(job.request) or str(job.request.get("plan", ""))
    named = f"{job.verb} of {target}" if target else job.verb
    known = {
        "subject": _subject(sources, _storage(job.request)),
        "source": " ".join(sources),
        "host": " ".join(dict.fromkeys(facts.hosts[each] for each in sources if each in facts.hosts)),
        "storage": _storage(job.request),
        "schedule": str(job.request.get("schedule", "") or ""),
        "verb": job.verb,
        "job": job.job_id,
        "at": (job.completed_at or job.started_at or job.created_at).isoformat(),
        "remedy": f"holdfast job show {job.job_id}",
    }
    if facts.is_begin:
        return Message(Occasion.START, Tone.INFO, _line(f"{named} began"), f"job {job.job_id}", known)
    verdict = str(job.result.get("status", "")) if job.status is JobStatus.COMPLETED else ""
    is_wrong = verdict in _PROVED_WRONG
    ended = f"found it {verdict}" if is_wrong else _ENDED.get(job.status, job.status.value)
    is_well = job.status in (JobStatus.COMPLETED, JobStatus.CANCELLED) and not is_wrong
    tone = Tone.WARNING if job.status is JobStatus.INCOMPLETE else Tone.FAILURE
    said = [job.error] if job.error else []
    said += _steps(job.result) if job.verb == "drill" else ()
    said += [str(each) for each in job.result.get("warnings", ())][:20]
    known |= {"status": verdict or job.status.value, "reason": "; ".join(said)}
    return Message(
        Occasion.SUCCESS if is_well else Occasion.FAILURE,
        Tone.SUCCESS if is_well else tone,
        _line(f"{named} {ended}"),
        "\n".join([*said, *_took(job), f"holdfast job show {job.job_id}"]),
        known,
    )


def of_alert(alert: Alert, *, is_reminder: bool = False) -> Message:
    """The message of an alert that was raised, still stands, or is over."""
    known = {
        "subject": alert.subject,
        "condition": alert.condition.value,
        "reason": alert.reason,
        "remedy": alert.remedy,
        "source": alert.subject.removeprefix("source ") if alert.subject.startswith("source ") else "",
        "storage": alert.subject.removeprefix("storage ") if alert.subject.startswith("storage ") else "",
        "host": alert.host,
        "job": alert.job_id,
        "at": (alert.recovered_at or alert.raised_at).isoformat(),
    }
    if alert.recovered_at is not None:
        lasted = span((alert.recovered_at - alert.raised_at).total_seconds())
        title = _line(f"{alert.subject}: over after {lasted}: {alert.condition.value}")
        known["status"] = "over"
        return Message(Occasion.RECOVERY, Tone.SUCCESS, title, f"it was: {alert.reason}", known)
    known["status"] = "standing"
    still = "still " if is_reminder else ""
    tone = Tone.FAILURE if alert.is_risk else Tone.INFO
    body = f"{alert.reason}\nto mend it: {alert.remedy}\nholdfast alerts acknowledge {alert.alert_id}"
    return Message(Occasion.ALERT, tone, _line(f"{alert.subject}: {still}{alert.reason}"), body, known)


def occasions_of(destination: Destination, usual: Sequence[Occasion]) -> Sequence[Occasion]:
    """What a destination is told; `usual` is what its kind tells."""
    return destination.occasions or usual


def is_wanted(
    message: Message, destination: Destination, usual: Sequence[Occasion], *, is_named: bool = False
) -> bool:
    """Whether it is to get this message; `is_named` where a schedule names it: then its patterns hold nothing back."""
    if message.occasion is Occasion.TEST:
        return True
    if not destination.is_enabled or message.occasion not in occasions_of(destination, usual):
        return False
    if is_named or destination.is_named_only:
        return is_named
    return not destination.only or any(
        fnmatch.fnmatchcase(each, pattern) for each in _subjects(message) for pattern in destination.only
    )


def hears(name: str, message: Message, told: Mapping[str, Occasion]) -> bool:
    """Whether a destination is told of an alert whose job's end was told already: `told` is to whom, and as what.

    Who heard that the job failed knows what its alert would say; that it is over only those are told who heard of the failure.
    """
    if message.occasion is Occasion.RECOVERY:
        return told.get(name) is Occasion.FAILURE
    return name not in told


def is_silenced(message: Message, silences: Sequence[Silence], at: datetime.datetime) -> bool:
    """Whether a job's message falls into a silence: of its sources or their hosts, its storage, its schedule, or everything.

    A restore is always told: nobody works behind a silence.
    """
    if message.facts.get("verb") in ("restore", "rollback", "plan"):
        return False
    return any(
        silence.begins_at <= at < silence.ends_at
        and not silence.condition
        and any(fnmatch.fnmatchcase(each, silence.subject) for each in _subjects(message))
        for silence in silences
    )


def _subjects(message: Message) -> list[str]:
    facts = message.facts
    found = [facts.get("subject", ""), *(f"source {each}" for each in facts.get("source", "").split())]
    found += [f"host {each}" for each in facts.get("host", "").split()]
    found += [f"{noun} {facts[noun]}" for noun in ("storage", "schedule", "verb") if facts.get(noun)]
    return [each for each in dict.fromkeys(found) if each] or [""]


@dataclass(frozen=True, slots=True)
class Parcel:
    """What goes to a destination as one message."""

    message: Message
    deliveries: Sequence[Delivery]


@dataclass(frozen=True, slots=True)
class Sent:
    """What a destination got within the last hour."""

    count: int = 0
    first_at: datetime.datetime | None = None


def parcels(
    due: Sequence[Delivery], sent: Sent, settings: AlertSettings, now: datetime.datetime, *, is_signal: bool
) -> tuple[Sequence[Parcel], datetime.datetime | None]:
    """How what is due goes out now; and until when it waits where nothing may go any more within this hour.

    A few go each by itself. Many become one message, and so do those that would come near the limit of an hour.
    """
    if not due:
        return (), None
    if is_signal:
        return [Parcel(each.message, [each]) for each in due], None
    left = settings.messages_an_hour - sent.count
    if left <= 0:
        return (), (sent.first_at or now) + _HOUR
    if len(due) <= BURST and len(due) < left:
        return [Parcel(each.message, [each]) for each in due], None
    if len(due) == 1:
        return [Parcel(due[0].message, due)], None
    return [Parcel(joined([each.message for each in due]), due)], None


def joined(messages: Sequence[Message]) -> Message:
    """Several messages as one: a title with counts, and a line or two of each."""
    counts: dict[str, int] = {}
    for each in messages:
        counts[each.occasion.value] = counts.get(each.occasion.value, 0) + 1
    worst = next(
        (
            tone
            for tone in (Tone.FAILURE, Tone.WARNING, Tone.INFO)
            if any(each.tone is tone for each in messages)
        ),
        Tone.SUCCESS,
    )
    title = f"{len(messages)} messages: " + ", ".join(f"{count} {name}" for name, count in counts.items())
    lines = []
    for each in messages[:_MOST_LINES]:
        remedy = each.facts.get("remedy", "")
        lines.append(each.title + (f"\n    {remedy}" if remedy else ""))
    if len(messages) > _MOST_LINES:
        lines.append(f"and {len(messages) - _MOST_LINES} more: holdfast alerts list, holdfast jobs")
    occasion = messages[0].occasion if len(counts) == 1 else Occasion.ALERT
    return Message(
        occasion, worst, title, "\n".join(lines), {"reason": title, "remedy": "holdfast alerts list"}
    )


def next_try(now: datetime.datetime, attempts: int) -> datetime.datetime:
    """When a message is tried again that was not taken `attempts` times: a minute, two, four, … an hour later."""
    wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** max(0, min(attempts, 30) - 1))
    return now + datetime.timedelta(seconds=wait_s)


def digest(
    standing: Sequence[Alert], jobs: Sequence[Job], since: datetime.datetime, now: datetime.datetime
) -> Message:
    """What stands, and what jobs there were since."""
    counts: dict[tuple[str, str], int] = {}
    for job in jobs:
        verdict = str(job.result.get("status", "")) or job.status.value
        counts[job.verb, verdict] = counts.get((job.verb, verdict), 0) + 1
    risks = [each for each in standing if each.is_risk]
    lines = [f"{count} x {verb}: {status}" for (verb, status), count in sorted(counts.items())]
    lines = lines or ["no job ran"]
    for each in [*risks, *(each for each in standing if not each.is_risk)][:_MOST_LINES]:
        mark = "at risk" if each.is_risk else "advice "
        lines.append(f"{mark}  {each.subject}: {each.reason}\n         {each.remedy}")
    title = f"{len(risks)} at risk, {len(jobs)} jobs since {since:%Y-%m-%d %H:%M} UTC"
    tone = Tone.FAILURE if risks else Tone.SUCCESS
    return Message(Occasion.DIGEST, tone, title, "\n".join(lines), {"at": now.isoformat(), "reason": title})


def digest_due(
    digest_at: str, last: datetime.datetime, now: datetime.datetime, offset: datetime.tzinfo
) -> datetime.datetime | None:
    """The instant of the newest digest that is due after `last`; None where none is. `digest_at` is HH:MM where `offset` holds."""
    hour, _, minute = digest_at.partition(":")
    here = now.astimezone(offset)
    due = here.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
    if due > here:
        due -= datetime.timedelta(days=1)
    return due.astimezone(datetime.UTC) if last < due else None


def _sources(request: Mapping[str, Any]) -> list[str]:
    found = request.get("sources") or [request.get("source") or request.get("target_source") or ""]
    named = [str(each) for each in found if each]
    backup = str(request.get("backup") or "")
    return named or ([backup.removeprefix("latest:")] if backup.startswith("latest:") else [])


def _subject(sources: Sequence[str], storage: str) -> str:
    """What an alert would be of; of a job of a storage alone that storage."""
    if not sources:
        return f"storage {storage}" if storage else ""
    return f"source {sources[0]}" if len(sources) == 1 else ""


def _steps(result: Mapping[str, Any]) -> list[str]:
    """What of a drill did not come back well, and why."""
    failed = [each for each in result.get("steps", ()) if each.get("status") == "failed"]
    return [
        ": ".join(filter(None, (str(each.get("step", "")), str(each.get("detail", ""))))) for each in failed
    ]


def _storage(request: Mapping[str, Any]) -> str:
    return str(request.get("storage") or request.get("to_storage") or "")


def _took(job: Job) -> list[str]:
    if job.started_at is None or job.completed_at is None:
        return []
    return [f"it took {span((job.completed_at - job.started_at).total_seconds())}"]


def _line(text: str) -> str:
    """One line that drives no terminal and ends no mail header."""
    words = " ".join(text.split())
    return "".join(each if each.isprintable() else "?" for each in words)[:300]
