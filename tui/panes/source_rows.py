"""Sources as rows of their list: what each can be brought back to, how well that is proved, in what state it is; and what is at risk, above
them. Pure: the pane shows these rows, and the first picture does before there is a pane.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engine.model.alerts import Condition
from engine.model.backup import BackupStatus, Proof
from engine.model.status import Concern, SourceStatus, Status
from tui import keys
from tui.panes import remedies
from tui.text import age, fit, ladder, levels, moment, printable, short_size
from tui.widgets.row_source import Column, Row

if TYPE_CHECKING:
    from engine.model.job import Job
    from tui.panes.source_look import SourceLook

COLUMNS: Final = (
    Column("SOURCE", 16, is_flexible=True), Column("RECOVERABLE TO", 14), Column("AGE", 4, is_right=True), Column("KIND", 4, rank=2),
    Column("SIZE", 5, is_right=True), Column("ADDED", 5, is_right=True, rank=4), Column("PROOF", 12), Column("SIZES", 6, rank=1),
    Column("STATE", 7),
)  # fmt: skip
ATTENTION_COLUMNS: Final = (Column("", 1), Column("", 14), Column("", 30, is_flexible=True), Column("", 15))
_ATTENTION_ROWS: Final = 4
"""So many are seen at once; the list goes on below."""
_SHORT: Final = {"incremental": "incr", "differential": "diff"}
_LADDER: Final = list(Proof)


def paused_of(status: Status) -> Mapping[str, str]:
    """By source why nothing of it starts by itself; under "" why nothing does at all."""
    return {
        name: each.reason for each in status.pauses for name in (each.sources if each.schedule else ("",))
    }


def state_of(
    source: SourceStatus, worst: Concern | None, paused: Mapping[str, str], running: set[str]
) -> str:
    """In one word; empty where nothing is to be said."""
    if source.source in running:
        return "running"
    if source.retired:
        return "retired"
    if source.last_status is BackupStatus.FAILED or (
        worst is not None and worst.condition is Condition.FAILED
    ):
        return "failing"
    return "paused" if source.source in paused or "" in paused else ""


def row_of(
    source: SourceStatus, status: Status, sizes: Sequence[int], state: str, worst: Concern | None
) -> Row:
    """A source in the list."""
    is_overdue = (
        worst is not None and worst.condition is Condition.OVERDUE and source.recoverable_to is not None
    )
    is_pitr = source.log is not None and source.log.recoverable_to is not None
    old = age(source.recoverable_to, status.at)
    tone = "dim" if source.retired else "risk" if worst is not None and worst.is_risk else ""
    return Row(
        source.source,
        (
            printable(source.source),
            moment(source.recoverable_to, status.at),
            f"{old}!" if is_overdue else old,
            "pitr" if is_pitr else _SHORT.get(source.backup_kind, source.backup_kind),
            short_size(source.size_bytes) if source.size_bytes is not None else "-",
            short_size(source.added_bytes) if source.added_bytes is not None else "-",
            ladder(source.proof, source.proven_at, status.at),
            fit(levels(sizes), 6),
            state,
        ),
        tone,
        (
            source.source,
            source.recoverable_to,
            source.recoverable_to,
            source.backup_kind,
            source.size_bytes,
            source.added_bytes,
            None if source.proof is None else (_LADDER.index(source.proof), str(source.proven_at)),
            source.size_bytes,
            state,
        ),
    )


def rows_of(look: SourceLook, running: set[str], sources: Sequence[SourceStatus]) -> Iterator[Row]:
    """Rows of some of the sources that were read."""
    status, worst, paused = look.status, _worst(look.status), paused_of(look.status)
    for each in sources:
        its = worst.get(each.source)
        yield row_of(each, status, look.sizes.get(each.source, ()), state_of(each, its, paused, running), its)


def running_of(jobs: Sequence[Job]) -> set[str]:
    """The sources that jobs are about."""
    return {name for job in jobs for name in job.request.get("sources", ())}


def least_proved(sources: Sequence[SourceStatus]) -> str:
    """The source with a backup whose newest one is proved least, and longest ago; else the first. Empty where there is none."""
    found = [each for each in sources if each.proof is not None and not each.retired]
    if not found:
        return sources[0].source if sources else ""
    least = min(
        found,
        key=lambda each: (
            _LADDER.index(each.proof or Proof.TAKEN),
            each.proven_at.timestamp() if each.proven_at is not None else 0.0,
        ),
    )
    return least.source


# What is at risk.


def sorted_concerns(status: Status) -> list[Concern]:
    """Risks that nobody has seen to, the worst first; then others, then what another one explains, then what somebody sees to."""
    seen = _seen_to(status)
    return sorted(
        status.concerns,
        key=lambda each: (
            (each.condition, each.subject) in seen,
            bool(each.covered_by),
            not each.is_risk,
            remedies.haste(each.condition),
        ),
    )


def attention_rows(status: Status, concerns: Sequence[Concern]) -> Sequence[Row]:
    """Their rows; the key of each is its place."""
    seen = _seen_to(status)
    return [_attention_row(str(index), each, seen) for index, each in enumerate(concerns)]


def attention_height(count: int, height: int, sources: int) -> int:
    """How many of them are seen at once: the sources below have most of a low view; what those leave over is for these too."""
    left = height - 1 - sources
    return min(count, max(min(_ATTENTION_ROWS, max(1, height // 3)), left))


def note_of(status: Status) -> str:
    """How many nobody sees to: at risk, and those that can wait; what another one explains is not counted."""
    seen = _seen_to(status)
    own = [each for each in status.own_concerns if (each.condition, each.subject) not in seen]
    risks = sum(each.is_risk for each in own)
    parts = [(risks, "at risk"), (len(own) - risks, "to see to")]
    return ", ".join(f"{count} {words}" for count, words in parts if count)


def _seen_to(status: Status) -> Mapping[tuple[Condition, str], str]:
    """Of those that somebody sees to, or that were silenced: who, or until when."""
    found = {}
    for each in status.alerts:
        if each.acknowledged_at is not None:
            found[each.condition, each.subject] = f"seen by {each.acknowledged_by}"
        elif each.silenced_until is not None:
            found[each.condition, each.subject] = "silenced"
    return found


def _attention_row(key: str, concern: Concern, seen: Mapping[tuple[Condition, str], str]) -> Row:
    by = seen.get((concern.condition, concern.subject), "")
    tone = "dim" if by else "risk" if concern.is_risk else "warning"
    mark = "!" if concern.is_risk and not by else "-"
    reason = printable(f"{by}: {concern.reason}" if by else concern.reason)
    remedy = f"{keys.of('source.mend')} {remedies.words_of(concern)}"
    return Row(key, (mark, printable(remedies.name_of(concern)), reason, remedy), tone)


def _worst(status: Status) -> Mapping[str, Concern]:
    """By source: the first of its concerns, risks first."""
    found: dict[str, Concern] = {}
    for each in status.concerns:
        name = remedies.source_of(each)
        if name and (name not in found or (each.is_risk and not found[name].is_risk)):
            found[name] = each
    return found


# What can be done.


@dataclass(frozen=True, slots=True)
class Under:
    """What the keys are about."""

    source: str
    """The one under the cursor; empty where there is none."""
    sources: Sequence[SourceStatus]
    """All."""
    has_concern: bool
    is_chosen: bool
    """Whether a source is under the cursor, or marked."""


def why_off(action_id: str, under: Under) -> str:
    """Why an action on a source makes no sense now: most need one, many a backup of it. Empty where it does."""
    if action_id in ("source.all", "source.new", "source.shares"):
        return ""
    if action_id in ("source.mend", "source.alert"):
        return "" if under.has_concern else "nothing is wrong here"
    if not under.is_chosen:
        return "this is about no source" if under.sources else "there is no source yet"
    if action_id in _NEED_LOG and not _is_logged(under.source, under.sources):
        return f"no log of {printable(under.source)} is shipped: {keys.of('source.edit')} says how it comes"
    if action_id in _NEED_BACKUP and not newest_of(under.source, under.sources):
        return f"{printable(under.source)} was never backed up: {keys.of('source.backup')} does"
    return ""


def newest_of(source: str, sources: Sequence[SourceStatus]) -> str:
    """The id of its newest backup that can be restored; empty where there is none."""
    return next((each.backup_id for each in sources if each.source == source), "")


def _is_logged(source: str, sources: Sequence[SourceStatus]) -> bool:
    return any(each.source == source and each.log is not None for each in sources)


_NEED_LOG: Final = frozenset(("source.ship", "source.reach", "source.log_drop"))
_NEED_BACKUP: Final = frozenset(
    (
        "source.drill",
        "source.rules",
        "source.restore",
        "source.verify",
        "source.download",
        "source.find",
        "source.live",
    )
)
