"""Sources as rows of their list: what each can be brought back to, how well that is proved, in what state it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from engine.model.alerts import Condition
from engine.model.backup import BackupStatus, Proof
from engine.model.status import Concern, SourceStatus, Status
from tui.text import age, fit, ladder, levels, moment, printable, short_size
from tui.widgets.row_source import Row

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
