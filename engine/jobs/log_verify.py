"""Whether the logs in a storage are whole: each segment there, none missing between, and, where content is read, each one judged by its own kind.

What a damaged one costs is told in instants: those that nothing in the storage reaches without it.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.errors import DamagedError, IncompleteDumpError, ObjectMissingError, ShortReadError
from engine.events import Progress
from engine.format.tree import Node
from engine.jobs import log_merge, log_store
from engine.jobs.context import JobContext
from engine.jobs.log_merge import Log, Snapshots
from engine.jobs.log_store import LOGS_TAG
from engine.jobs.opening import Opened
from engine.jobs.snapshot_tags import tag_value
from engine.model import log_keeping, logs
from engine.model.backup import Backup
from engine.model.log_keeping import VerifiedLog
from engine.model.logs import LogHoldings, LogRun, LogSegment
from engine.model.results import Damage
from engine.repository.check import CheckResult
from engine.repository.check_damage import BLOBS
from engine.repository.reader import Trees
from engine.sources import registry as sources

_MOST_SEGMENT_BYTES = 1 << 30
_Key = tuple[str, str, str]
"""Server, series, name."""
_IsBad = Callable[[bytes], bool]


@dataclass(slots=True)
class _Found:
    """What was found of one log."""

    segments: dict[_Key, LogSegment] = field(default_factory=dict)
    wanted: dict[_Key, Node] = field(default_factory=dict)
    """Those that were looked at."""
    damaged: dict[_Key, str] = field(default_factory=dict)
    """Which of them are, and why."""
    read: int = 0


async def verify(
    context: JobContext, opened: Opened, backup: Backup | None, checked: CheckResult, *, is_reading: bool
) -> tuple[list[VerifiedLog], list[Damage]]:
    """All logs of the storage by what a check of all of it found; or of a base what can be replayed onto it, read segment by segment where content
    is read. The index is loaded. Raises: StorageError."""
    snapshots: Snapshots = await opened.repository.snapshots(on_damaged=lambda _name, _error: None)
    verified: list[VerifiedLog] = []
    damages: list[Damage] = []
    storage = opened.definition.name
    heads = {
        each.source: each.snapshot_id
        for each in await context.catalog.logs.heads()
        if each.storage == storage
    }
    for name, tips in log_store.tips(snapshots).items():
        if backup is not None and backup.source != name:
            continue
        bases = log_merge.bases_in(snapshots, name, storage)
        chosen = [each for each in bases if backup is not None and each.backup_id == backup.backup_id]
        if backup is not None and not chosen:
            continue
        found = [each for each in snapshots if tag_value(each[1], LOGS_TAG) == name]
        try:
            log = await log_merge.load(opened.repository, found, tips, heads.get(name, ""))
            held = await log_merge.holdings(opened.repository, log, storage)
        except DamagedError as error:
            damages.append(Damage("", f"the log of {name} cannot be read: {error.message}"))
            continue
        state = await context.catalog.logs.state(name)
        path = None
        if chosen:
            path = logs.path_from(held, chosen[0].position, logs.series_of(chosen[0], state))
        looked = await _look(opened, log, path, _bad(opened, checked))
        if path is not None and is_reading:
            await _judge(context, opened, log, looked)
        left = _without(looked, held)
        reached, still = (logs.reaches(bases, [each], state) for each in (held, left))
        gaps = logs.gaps(held.runs, held.forks)
        if chosen:
            at = chosen[0].position
            gaps = [gap for gap in gaps if gap.identity == at.identity and gap.last > at.number]
        verified.append(
            VerifiedLog(
                name,
                len(looked.wanted),
                looked.read,
                sum(looked.segments[key].size_bytes for key in looked.wanted),
                tuple(gaps),
                log_keeping.lost(name, reached, still),
            )
        )
        damages += _told(verified[-1], looked, is_gap_damage=bool(chosen))
    return verified, damages


async def _look(opened: Opened, log: Log, path: Sequence[LogRun] | None, is_bad: _IsBad) -> _Found:
    """Every segment; wanted are all, or those that a replay along the path needs. Raises: DamagedError, StorageError."""
    looked = _Found()
    trees = Trees(opened.repository)
    for identity, groups in log.groups.items():
        for group in sorted(groups):
            series = log_store.series_of(group)
            for node in (await log_merge.nodes(trees, log, identity, group)).values():
                segment = log_store.segment_of(node, series)
                key = (identity, series, segment.name)
                looked.segments[key] = segment
                if path is not None and not _is_on(path, identity, segment):
                    continue
                looked.wanted[key] = node
                if any(is_bad(blob_id) for blob_id in node.content or ()):
                    looked.damaged[key] = "its content is damaged or missing"
    return looked


async def _judge(context: JobContext, opened: Opened, log: Log, looked: _Found) -> None:
    """Reads each, and has its kind say whether it is whole. Raises: StorageError."""
    reader = sources.kept_log(log.source.kind)
    total_bytes = sum(looked.segments[key].size_bytes for key in looked.wanted)
    done_bytes = 0
    for key, node in looked.wanted.items():
        segment = looked.segments[key]
        if key in looked.damaged:
            continue
        try:
            content = await log_store.content_of(opened.repository, node, _MOST_SEGMENT_BYTES)
            if len(content) != segment.size_bytes:
                raise DamagedError(f"it has {len(content)} bytes, and not {segment.size_bytes}")
            if reader is not None and not segment.is_tail:
                await asyncio.to_thread(reader.require_whole, segment.name, content, key[0])
        except (DamagedError, IncompleteDumpError, ObjectMissingError, ShortReadError) as error:
            looked.damaged[key] = error.message
        looked.read += 1
        done_bytes += segment.size_bytes
        context.emit(Progress("verify", done_bytes, total_bytes, current=segment.name))


def _bad(opened: Opened, checked: CheckResult) -> _IsBad:
    """Tells of a blob whether the check found it damaged, or the index lacks it."""
    named = {bytes.fromhex(blob) for each in checked.damaged for blob in each.blobs}
    # Of a pack with very many, not all are named.
    whole = {bytes.fromhex(each.pack) for each in checked.damaged if each.pack and len(each.blobs) >= BLOBS}
    index = opened.repository.index

    def is_bad(blob_id: bytes) -> bool:
        found = index.lookup("data", blob_id)
        return found is None or blob_id in named or (bool(whole) and found.pack in whole)

    return is_bad


def _is_on(path: Sequence[LogRun], identity: str, segment: LogSegment) -> bool:
    return any(
        (run.identity, run.series, run.is_tail) == (identity, segment.series, segment.is_tail)
        and run.first <= segment.number <= run.last
        for run in path
    )


def _without(looked: _Found, held: LogHoldings) -> LogHoldings:
    """What is left without the damaged ones."""
    whole: dict[str, list[LogSegment]] = {}
    for key, segment in looked.segments.items():
        if key not in looked.damaged:
            whole.setdefault(key[0], []).append(segment)
    runs: list[LogRun] = []
    tails: list[LogRun] = []
    for identity, segments in whole.items():
        runs = logs.add(runs, identity, [each for each in segments if not each.is_tail])
        tails = logs.add_tails(tails, identity, [], [each for each in segments if each.is_tail])
    return LogHoldings(held.storage, tuple(runs), held.forks, tuple(tails))


def _told(verified: VerifiedLog, looked: _Found, *, is_gap_damage: bool) -> list[Damage]:
    lost = ""
    if verified.lost is not None:
        spans = (f"{_text(each.begins_at)} to {_text(each.ends_at)}" for each in verified.lost.windows)
        lost = f": {verified.source} can no longer be brought back to {', '.join(spans)}"
    found = [
        Damage("", f"segment {looked.segments[key].name} of the log of {verified.source}: {why}{lost}")
        for key, why in looked.damaged.items()
    ]
    if is_gap_damage:
        found += [
            Damage(
                "",
                f"the log of {verified.source} has a gap behind that base: {gap.series} {gap.first} to {gap.last} are missing, "
                f"from {_text(gap.after)} to {_text(gap.before)}",
            )
            for gap in verified.gaps
        ]
    return found


def _text(at: datetime.datetime | None) -> str:
    return (
        at.astimezone().isoformat(sep=" ", timespec="milliseconds")
        if at is not None
        else "an unknown instant"
    )
