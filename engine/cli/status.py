"""status: what is at risk, and why, on one screen or in one object. Ends with 4 where something is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.cli import diagnostics
from engine.cli.command import Call, Command, Parser
from engine.cli.output import Column, Output, shape
from engine.model import text
from engine.model.spans import span
from engine.model.status import Concern, SourceStatus, Status

_HEADS = (
    Column("SOURCE", is_flexible=True),
    Column("HEALTH", is_right=True),
    Column("RECOVERABLE TO"),
    Column("LAST"),
    Column("PROOF"),
    Column("COPIES", is_right=True),
)

_CONCERNS = 10
_SOURCES = 20
_PAUSES = 5
"""So many of each are told one by one, the worst first: it is to stay one screen."""


def _declare(parser: Parser) -> None:
    parser.add_argument("--all", action="store_true", help="however many there are, in place of one screen")


async def _status(call: Call) -> int:
    found = await call.engine.status((await call.engine.expectations()).sources)
    output = call.output
    tell(output, found, is_whole=call.arguments.all)
    if output.is_json:  # of thousands of sources it takes its time
        output.result({"status": "at risk" if found.is_at_risk else "well", **shape(found)})
    return diagnostics.PROOF_FAILED if found.is_at_risk else diagnostics.DONE


def tell(output: Output, found: Status, *, is_whole: bool = False) -> None:
    """Prints it for people: one screen, unless the whole is wanted."""
    output.line(output.styled(_summary(found), "31" if found.is_at_risk else "32"))
    _tell_concerns(output, found, None if is_whole else _CONCERNS)
    for line in (*_paused(found, None if is_whole else _PAUSES), *_silenced(found)):
        output.line(text.printable(line))
    if found.sources:
        _tell_sources(output, found, None if is_whole else _SOURCES)


def _tell_concerns(output: Output, found: Status, most: int | None) -> None:
    for concern in found.own_concerns[:most]:
        mark = output.styled("at risk", "31") if concern.is_risk else "advice "
        output.line(f"{mark}  {text.printable(f'{concern.subject}: {concern.reason}')}")
        output.line(f"         {text.printable(concern.remedy)}")
        if seen := _seen_to(found, concern):
            output.line(f"         {text.printable(seen)}")
    left = found.own_concerns[most:] if most is not None else []
    if left:
        risks = sum(1 for each in left if each.is_risk)
        output.line(f"and {len(left)} more, {risks} at risk: `holdfast status --all`")


def _tell_sources(output: Output, found: Status, most: int | None) -> None:
    output.line()
    sources = found.sources
    if most is not None and len(sources) > most:
        subjects = {each.subject for each in found.concerns if each.is_risk}
        sources = sorted(sources, key=lambda each: (f"source {each.source}" not in subjects, each.score))
    output.table(_HEADS, _rows(found, sources[:most]))
    if left := sources[most:] if most is not None else []:
        output.line(
            f"and {text.counted(len(left), 'source')} more that {'is' if len(left) == 1 else 'are'} no worse: `holdfast status --all`"
        )


def _silenced(found: Status) -> Iterator[str]:
    for each in found.silences:
        of = "everything" if each.subject == "*" else each.subject
        of += f" ({each.condition})" if each.condition else ""
        yield f"nobody is told of {of} until {text.instant(each.ends_at)}: {each.reason}"


def _seen_to(found: Status, concern: Concern) -> str:
    """Who sees to it, or that nobody is told of it for now."""
    for alert in found.alerts:
        if (alert.condition, alert.subject) != (concern.condition, concern.subject):
            continue
        if alert.acknowledged_at is not None:
            note = f": {alert.note}" if alert.note else ""
            return f"acknowledged by {alert.acknowledged_by}{note}"
        if alert.silenced_until is not None:
            return f"silenced until {text.instant(alert.silenced_until)}: {alert.silence_reason}"
    return ""


def _paused(found: Status, most: int | None) -> Iterator[str]:
    for pause in found.pauses[:most]:
        name = pause.schedule
        until = f" until {text.instant(pause.until)}" if pause.until is not None else ""
        what, verb = (f"schedule {name}", f"schedule resume {name}") if name else ("everything", "resume")
        yield f"paused   {what}: since {text.instant(pause.since)}{until}: {pause.reason}"
        yield f"         holdfast {verb}"
    if most is not None and len(found.pauses) > most:
        yield f"paused   and {text.counted(len(found.pauses) - most, 'schedule')} more: `holdfast schedule list`"


def _summary(found: Status) -> str:
    risks = sum(1 for concern in found.own_concerns if concern.is_risk)
    words = [
        f"{risks} at risk" if risks else "nothing is at risk",
        text.counted(len(found.sources), "source"),
    ]
    if found.uncovered:
        words.append(f"{found.uncovered} found on hosts that no source takes")
    return ", ".join(words)


def _reached(each: SourceStatus, found: Status) -> str:
    """How long ago the latest instant is that it can be brought back to, and, where that was said, how long it may be."""
    age = f"{text.age(each.recoverable_to, found.at)} ago" if each.recoverable_to else "-"
    goal_s = each.recovery_point_goal_s
    return age if goal_s is None else f"{age}, goal {span(goal_s)}"


def _rows(found: Status, sources: Sequence[SourceStatus]) -> list[list[str]]:
    return [
        [
            each.source,
            str(each.score),
            _reached(each, found),
            "retired" if each.retired else each.last_status.value if each.last_status else "-",
            each.proof.value if each.proof else "-",
            str(each.copies),
        ]
        for each in sources
    ]


STATUS = Command(_declare, _status)
