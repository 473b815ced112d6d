"""Which part of a log a storage keeps: what its bases need; where it has none, what may still be of use, and why no more.

A base that comes later needs nothing from before it began: without one a log is kept for the span of time that the rules name, and whole while
a base is being taken. Bases that other storages hold count as if they had been copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine import retention
from engine.catalog.catalog import Catalog
from engine.jobs import keeping_ahead
from engine.model import log_keeping
from engine.model.logs import Base
from engine.model.requests import KeepPolicy
from engine.model.spans import span


@dataclass(frozen=True, slots=True)
class LogRule:
    """What is kept of one source's log in one storage."""

    bases: Sequence[Base] = ()
    """That it is kept for."""
    span_s: float | None = None
    """Without a base: what ended longer than this before the log's last transaction goes. None: nothing goes."""
    why: str = ""
    """Of a storage that has no base: what goes, and why, in a sentence."""


async def rule(
    catalog: Catalog, source: str, storage: str, bases: Sequence[Base], policy: KeepPolicy | None
) -> LogRule:
    """By that policy, of a storage that holds these bases; None: nobody forgets anything there."""
    if bases:
        kept = log_keeping.counting(bases, policy.logs_within_s) if policy is not None else bases
        return LogRule(kept)
    lacking = f"no base of {source} is in {storage}"
    if policy is None:
        return LogRule(why=f"{lacking}, and no schedule forgets there: its log stays whole")
    if elsewhere := await catalog.logs.bases(source):
        held = ", ".join(sorted({name for each in elsewhere for name in each.storages})) or "no storage"
        return LogRule(
            log_keeping.counting(elsewhere, policy.logs_within_s),
            why=f"{lacking}, and those in {held} may be copied there: of its log what is older than the oldest of them goes",
        )
    if job := await _under_way(catalog, source):
        return LogRule(why=f"{lacking}, and job {job} is taking one: its log stays whole meanwhile")
    span_s = retention.log_span_s(policy)
    if span_s is None:
        return LogRule(
            why=f"{lacking}, and the rules name no span of time: its log stays whole; --keep-logs-within names one"
        )
    return LogRule(
        (),
        span_s,
        f"{lacking}, so that nothing can be reached by its log: what ended more than {span(span_s)} before its last transaction goes",
    )


async def sentences(catalog: Catalog, source: str) -> tuple[str, ...]:
    """Of each storage that holds a log and no base for it: what the schedules' rules do with it. Raises: UsageError for rules that are none."""
    bases = await catalog.logs.bases(source)
    based = {name for each in bases for name in each.storages}
    lacking = [each.storage for each in await catalog.logs.holdings(source) if each.storage not in based]
    found = []
    for storage in lacking:
        policies = await keeping_ahead.policies(catalog, source, storage)
        rules = [await rule(catalog, source, storage, (), each) for each in policies or (None,)]
        # Each of them cuts, so that the one that keeps least counts.
        found.append(min(rules, key=lambda each: (each.span_s is None, each.span_s or 0.0)).why)
    return tuple(found)


async def _under_way(catalog: Catalog, source: str) -> str:
    """The id of a job that takes a backup of it; empty where none does."""
    running = [each for each in await catalog.jobs.running() if each.verb == "backup"]
    return next((each.job_id for each in running if source in each.request.get("sources", ())), "")
