"""The old end of logs goes from a storage, once no base there needs it: a log snapshot of smaller trees, and those that it stands for deleted.

In that order, with the catalog between them: killed anywhere, what the catalog names is there.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from engine.catalog.catalog import Catalog
from engine.errors import DamagedError
from engine.events import Warned
from engine.jobs import log_merge, log_rule, log_store
from engine.jobs.context import JobContext
from engine.jobs.log_merge import Log, Snapshots
from engine.jobs.log_rule import LogRule
from engine.jobs.log_store import LOGS_TAG, LogTree
from engine.jobs.opening import Opened
from engine.jobs.snapshot_tags import tag_value
from engine.model import log_keeping
from engine.model.log_keeping import LogCut, LostInstants
from engine.model.logs import Base, LogHoldings, LogState
from engine.model.requests import ForgetRequest
from engine.model.results import Fate
from engine.repository import forget as forgetting
from engine.repository.reader import Trees
from engine.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of a log in a storage."""

    cut: LogCut
    holdings: LogHoldings


Known = Mapping[str, tuple[Sequence[Base], Sequence[LogHoldings], LogState | None]]
"""By source: its bases, what storages hold of its log, and what was seen of it."""


async def known(catalog: Catalog, only: Iterable[str] = ()) -> Known:
    """As the catalog has it; of all sources whose log is kept, where none is named."""
    logs_of = catalog.logs
    names = sorted(set(only) or {each.source for each in await logs_of.heads()})
    return {
        name: (await logs_of.bases(name), await logs_of.holdings(name), await logs_of.state(name))
        for name in names
    }


def lost(before: Known, fates: Sequence[Fate], kept: Sequence[Kept] = ()) -> tuple[LostInstants, ...]:
    """What sources cannot be brought back to any more, once those fates are carried out and so much is left of logs."""
    found = []
    for source, (bases, holdings, state) in before.items():
        gone: dict[str, set[str]] = {}
        for each in fates:
            if each.source == source and not each.is_kept:
                gone.setdefault(each.backup_id, set()).add(each.storage)
        left = {each.holdings.storage: each.holdings for each in kept if each.cut.source == source}
        after = [left.get(each.storage, each) for each in holdings]
        found.append(log_keeping.lost_by(source, (bases, holdings, state), gone, after))
    return tuple(each for each in found if each is not None)


async def cut(
    context: JobContext, opened: Opened, snapshots: Snapshots, request: ForgetRequest | None
) -> list[Kept]:
    """Cuts the log of each source, or of that one that the request names, behind the oldest base of it among `snapshots`: all that the
    repository is to hold, oldest first; for one without a base there see `log_rule`. Without a request all are left whole, and only what newer
    log snapshots stand for goes. What is left of each; nothing is written in a dry run.

    Raises: DamagedError, StorageError, LockLostError.
    """
    left: list[Kept] = []
    heads = {
        each.source: each.snapshot_id
        for each in await context.catalog.logs.heads()
        if each.storage == opened.definition.name
    }
    for name, tips in log_store.tips(snapshots).items():
        if request is not None and request.source not in ("", name):
            continue
        found = [each for each in snapshots if tag_value(each[1], LOGS_TAG) == name]
        storage, kept = opened.definition.name, LogRule()
        if request is not None:
            there = log_merge.bases_in(snapshots, name, storage)
            kept = await log_rule.rule(context.catalog, name, storage, there, request.policy)
        try:
            log = await log_merge.load(opened.repository, found, tips, heads.get(name, ""))
            is_dry_run = request is not None and request.is_dry_run
            left.append(await _cut_one(context, opened, log, kept, is_dry_run=is_dry_run))
        except DamagedError as error:
            context.emit(
                Warned(f"the log of {name} in {opened.definition.name} is left as it is: {error.message}")
            )
    return left


async def _cut_one(context: JobContext, opened: Opened, log: Log, rule: LogRule, *, is_dry_run: bool) -> Kept:
    oldest = await _oldest(opened, log, rule)
    if oldest is not None:
        await _plan(opened.repository, log, rule.bases, oldest)
    storage, name = opened.definition.name, log.source.name
    superseded = [each for each, _ in log.found if log.is_changed or each != log.head]
    kept = await log_merge.holdings(opened.repository, log, storage)
    if not is_dry_run:
        if log.is_changed:
            log.head = await log_merge.write(context, opened, log)
        if log.is_changed or superseded:
            await log_merge.remember(context, opened.repository, log, storage)
        await forgetting.forget(opened.repository, superseded, opened.lock, emit=context.emit)
    begins = [each.begins_at for each in log.gone if each.begins_at is not None]
    ends = [each.ends_at for each in log.gone if each.ends_at is not None]
    size_bytes = sum(each.size_bytes for each in log.gone)
    going = LogCut(
        name,
        storage,
        len(log.gone),
        size_bytes,
        min(begins, default=None),
        max(ends, default=None),
        len(superseded),
        rule.why,
    )
    return Kept(going, kept)


async def _oldest(opened: Opened, log: Log, rule: LogRule) -> datetime.datetime | None:
    """From when on a log is kept that no base leads along; None where all is."""
    if rule.bases:
        return min(each.consistent_at for each in rule.bases)
    if rule.span_s is None:
        return None
    held = await log_merge.holdings(opened.repository, log, opened.definition.name)
    newest = max((run.ends_at for run in (*held.runs, *held.tails) if run.ends_at is not None), default=None)
    return newest - datetime.timedelta(seconds=rule.span_s) if newest is not None else None


async def _plan(repository: Repository, log: Log, bases: Sequence[Base], oldest: datetime.datetime) -> None:
    """Decides what goes."""
    trees = Trees(repository)
    forks = await log_store.forks(repository, log.source, LogTree(b"", log.groups))
    needed = log_keeping.first_needed(bases, forks)
    for identity, groups in log.groups.items():
        for name in [name for name, node in sorted(groups.items()) if node.subtree is not None]:
            series = log_store.series_of(name)
            first = needed.get((identity, series))
            if first is not None and log_store.first_of(name) >= first:
                continue
            nodes = await log_merge.nodes(trees, log, identity, name)
            segments = {each: log_store.segment_of(node, series) for each, node in nodes.items()}
            if first is None:
                # No base leads there as far as is known: what was over by then is no use.
                over = [
                    one.number
                    for one in segments.values()
                    if one.ends_at is not None and one.ends_at < oldest
                ]
                first = max(over, default=-1) + 1
            going = {each: one for each, one in segments.items() if one.number < first}
            if going:
                log.changed[identity, name] = {each: nodes[each] for each in nodes if each not in going}
                log.gone += [one for one in going.values() if not one.is_tail]
                log.is_changed = True
    _drop_servers(log, {each.position.identity for each in bases})


def _drop_servers(log: Log, needed: AbstractSet[str]) -> None:
    """Of servers that no segment is left of, and no base, what belongs to their series goes as well."""
    for identity, groups in log.groups.items():
        left = [
            name
            for name, node in groups.items()
            if node.subtree is not None and log.changed.get((identity, name), True)
        ]
        if not left and identity not in needed:
            log.groups[identity] = {}
            log.changed = {key: nodes for key, nodes in log.changed.items() if key[0] != identity}
