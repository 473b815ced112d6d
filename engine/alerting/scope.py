"""What a silence or a maintenance window is of."""

from __future__ import annotations

from engine.errors import UsageError
from engine.model.alerts import NOUNS, Condition
from engine.model.names import nearest


def check(subject: str, condition: str, reason: str) -> None:
    """Raises: UsageError where nothing could ever be meant by it, and where nobody says why."""
    if not reason.strip():
        raise UsageError("a silence needs a reason", hint="--reason 'the disks are being changed'")
    known = [each.value for each in Condition]
    if condition and condition not in known:
        near = nearest(condition, known)
        raise UsageError(
            f"there is no condition {condition!r}", hint=f"did you mean {near}?" if near else ", ".join(known)
        )
    noun, _, name = subject.partition(" ")
    if subject != "*" and (
        noun not in NOUNS or (not name and noun not in ("catalog", "worker", "schedules"))
    ):
        raise UsageError(
            f"{subject!r} is no subject", hint="say 'source shop*', 'host web', 'storage near' or '*'"
        )
