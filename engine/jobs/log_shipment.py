"""One look at one source's log: what waits on the host goes into the storages, and leaves the host once all of them have it."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.catalog.logs import NEWS
from engine.errors import HoldfastError, IncompleteDumpError, RefusedError
from engine.events import Noted, Progress, Warned
from engine.hosts.base import OpenHost
from engine.jobs import log_adopting, log_release, log_store
from engine.jobs.context import JobContext
from engine.jobs.log_batch import Batch, Held, Reading
from engine.jobs.log_store import Addition, StoredSegment
from engine.jobs.opening import Opened, open_repositories
from engine.model import definitions, logs
from engine.model.definitions import Source
from engine.model.log_watch import CLOCK_S
from engine.model.logs import LogHead, LogHoldings, LogPosition, LogRun, LogState
from engine.model.requests import ShipRequest
from engine.model.shipments import ShippedLog
from engine.repository import dump, writer
from engine.repository.writer import WriteSession
from engine.sources.logs import LogLook, LogSource, SegmentStream, WaitingSegment

BATCH_BYTES = 256 << 20
"""So much is committed at a time: what an interruption costs, and what a host waits for until it may let go."""
BATCH_SEGMENTS = 512
BLOCK_BYTES = 1 << 20
"""What a segment is cut into: the beginning of one is the same blocks as the whole, but for the last."""
_AGAIN = (
    "another server writes into the same spool, or this one was brought back to an older state under its old name: look into it, and let it begin a timeline of its own (a promotion)",
    "RESET MASTER was said, or the server was brought back to an older state: give its log another name (log_bin = NAME)",
)
"""Why a segment came again as another one, and the way out: of others, and of binary logs."""


@dataclass(slots=True)
class Shipment:
    """One look at one source's log, and what comes of it."""

    context: JobContext
    request: ShipRequest
    source: Source
    storages: Sequence[definitions.Storage]
    look: LogLook | None = None
    released: int = 0
    segments: int = 0
    size_bytes: int = 0
    added_bytes: int = 0
    left: dict[str, WaitingSegment] = field(default_factory=dict)
    """What still lies on the host, by name."""
    warnings: list[str] = field(default_factory=list)
    missed: dict[str, str] = field(default_factory=dict)
    """Storages that took no part, and why."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Segments that are not what their names say, and why: they stay on the host."""
    looked_until: float = 0.0
    """See `LogState.looked_until`."""
    clock_ahead_s: float = 0.0
    committed: int = 0
    """Log snapshots that were written to each storage."""

    async def run(self, source: LogSource, host: OpenHost) -> None:
        """Looks, ships and releases. Raises: SourceError, HostError, StorageError, RepositoryError."""
        began = self.context.clock.now()
        self.look = look = await source.look()
        # Halfway through the look is the best guess at when the host told its time.
        self.clock_ahead_s = (look.at - began).total_seconds() - (
            self.context.clock.now() - began
        ).total_seconds() / 2
        self.left = {each.name: each for each in look.waiting if not each.is_tail}
        self.warnings += look.warnings
        for warning in look.warnings:
            self.context.emit(Warned(f"{self.source.name}: {warning}"))
        await self._require_same_server(look)
        await self._require_handed_over(look)
        await self._require_onward(look)
        before = await self.context.catalog.logs.state(self.source.name)
        if before is not None and before.identity == look.identity:
            self.looked_until = before.looked_until
        if await self._is_settled(look):
            return
        async with open_repositories(
            self.context, self.storages, is_exclusive=False, limits=self.request.limits
        ) as opened:
            for name, error in opened.failed:
                self.missed[name] = error.message
                self.context.emit(Warned(f"storage {name} takes no part: {error.message}"))
            heads = {
                each.storage: each.snapshot_id
                for each in await self.context.catalog.logs.heads(self.source.name)
            }
            known = {
                each.storage: each for each in await self.context.catalog.logs.holdings(self.source.name)
            }
            held = [await self._held(each, heads, known) for each in opened.opened]
            await self._ship(source, host, look, held)

    async def _require_same_server(self, look: LogLook) -> None:
        """Raises: RefusedError where this is another server than the one whose log was shipped, and no base was taken of it yet."""
        known = await self.context.catalog.logs.holdings(self.source.name)
        before = {run.identity for each in known for run in each.runs}
        if not before or look.identity in before:
            return
        bases = await self.context.catalog.logs.bases(self.source.name)
        if not any(base.position.identity == look.identity for base in bases):
            raise RefusedError(
                f"{self.source.name} is another server than the one whose log was shipped: it is {look.identity}, and that was {max(before)}",
                hint=f"if it was made anew, take a base of it: holdfast backup {self.source.name}",
            )

    async def _require_handed_over(self, look: LogLook) -> None:
        """Says where the newest segment is gone: behind it there is none yet that a gap could be told by."""
        at, archived = look.sealed, look.archived
        if at is None or archived is None or (at.series, at.number) > (archived.series, archived.number):
            return
        if any((each.series, each.number) == (at.series, at.number) for each in look.waiting):
            return
        catalog, name = self.context.catalog.logs, self.source.name
        if any(
            logs.holds(each.runs, at.identity, at.series, at.number) for each in await catalog.holdings(name)
        ):
            return
        bases = [each.position for each in await catalog.bases(name) if each.position.identity == at.identity]
        if any((each.series, each.number) >= (at.series, at.number) for each in bases):
            return
        said = f"segment {at.number} of {at.series} left the server of {name}, and is neither on {self.source.host} nor in a storage: take a base"
        self.damaged[f"{at.series}/{at.number}"] = said
        self.context.emit(Warned(said))

    async def _require_onward(self, look: LogLook) -> None:
        """Raises: RefusedError where a log that is not compared again ends before what is kept of it."""
        if look.way != "slot" or look.sealed is None or not look.sealed_bytes:
            return
        position = LogPosition(look.identity, look.series, look.number)
        for each in await self.context.catalog.logs.holdings(self.source.name):
            if logs.is_beyond(each, position, look.sealed_bytes):
                raise RefusedError(
                    f"the log of {self.source.name} on {self.source.host} ends before what was shipped of it: the server was brought back to an older state under its old name",
                    hint="what it writes now would be taken for what it wrote then: look into it, and let it begin a timeline of its own (a promotion, or a restore to an instant)",
                )

    async def _is_settled(self, look: LogLook) -> bool:
        """Whether nothing waits but the beginning of a segment that each storage has so far, with what belongs to its series, which came before it;
        or what the host keeps for a time although each storage has it."""
        if look.forgets_after_s is not None:
            return await self._is_kept(look)
        tails = [each for each in look.waiting if each.is_tail]
        series = {each.series for each in tails}
        if not all(each.is_tail or (each.is_extra and each.series in series) for each in look.waiting):
            return False
        known = {each.storage: each for each in await self.context.catalog.logs.holdings(self.source.name)}
        is_settled = all(
            storage.name in known and _has_tail(known[storage.name].tails, each, look)
            for each in tails
            for storage in self.storages
        )
        if is_settled:
            self.left = {}
        return is_settled

    async def _is_kept(self, look: LogLook) -> bool:
        """Whether each storage has all that is on the host; what it has is waiting no more."""
        known = {each.storage: each for each in await self.context.catalog.logs.holdings(self.source.name)}
        runs = [known[each.name].runs if each.name in known else () for each in self.storages]
        self.left = {
            name: each
            for name, each in self.left.items()
            if each.changed_s > self.looked_until
            or not all(logs.holds(of_one, look.identity, each.series, each.number) for of_one in runs)
        }
        return not self.left

    async def _held(self, opened: Opened, heads: Mapping[str, str], known: Mapping[str, LogHoldings]) -> Held:
        """What the storage has. The catalog is believed while its snapshot is there; else the newest is read."""
        name = opened.definition.name
        snapshot_id, tree = await log_store.open_head(opened.repository, self.source, heads.get(name, ""))
        if snapshot_id == heads.get(name, ""):
            there = known.get(name) or LogHoldings(name)
            return Held(opened, snapshot_id, tree, list(there.runs), list(there.tails))
        runs, tails = await log_adopting.take_up_head(self.context, opened, self.source, snapshot_id, tree)
        return Held(opened, snapshot_id, tree, runs, tails)

    async def _ship(self, source: LogSource, host: OpenHost, look: LogLook, held: Sequence[Held]) -> None:
        """To those that hold the same, side by side; what each lacks is on the host still."""
        groups: dict[bytes, list[Held]] = {}
        for each in held:
            groups.setdefault(each.tree.tree_id, []).append(each)
        for group in groups.values():
            await self._ship_to(source, host, look, group)
        if len(held) == len(self.storages):
            await self._release(source, look, held)

    async def _ship_to(self, source: LogSource, host: OpenHost, look: LogLook, group: Sequence[Held]) -> None:
        wanted = [each for each in look.waiting if not self._is_done(each, look, group[0])]
        if not wanted:
            return
        async with source.segments(wanted, look) as stream:
            is_more = True
            while is_more and group:
                is_more = await self._batch(stream, host, look, group)
                # One that missed a batch must get no snapshot that names what it lacks: it is brought up at the next look.
                group = [each for each in group if each.name not in self.missed]

    def _is_done(self, waiting: WaitingSegment, look: LogLook, held: Held) -> bool:
        """Whether it is kept, and was compared since it came to wait on the host."""
        if waiting.changed_s > self.looked_until:
            return False
        if waiting.is_tail:
            return _has_tail(held.tails, waiting, look)
        if waiting.is_extra:
            return waiting.name in held.tree.identities.get(look.identity, {})
        return logs.holds(held.runs, look.identity, waiting.series, waiting.number)

    async def _batch(
        self, stream: SegmentStream, host: OpenHost, look: LogLook, group: Sequence[Held]
    ) -> bool:
        """Ships some, and commits them; whether there may be more. What went wrong behind the first good ones raises once these are kept."""
        failure: HoldfastError | None = None
        batch = Batch()
        is_more = True
        async with writer.open_session(
            [(each.opened.repository, each.opened.lock) for each in group],
            clock=self.context.clock,
            emit=self.context.emit,
        ) as session:
            while batch.size_bytes < BATCH_BYTES and len(batch.stored) < BATCH_SEGMENTS:
                try:
                    waiting = await stream.next()
                    if waiting is None:
                        is_more = False
                        break
                    await self._store(Reading(session, stream, waiting, look), group[0], batch)
                except HoldfastError as error:
                    failure = error
                    break
            if batch.stored:
                await self._commit(session, host, look, group, batch)
        if failure is not None:
            raise failure
        return is_more

    async def _store(self, reading: Reading, first: Held, batch: Batch) -> None:
        """One segment into the session, where it is not kept already. One that is not what its name says stays on the host, and those
        behind it are shipped all the same. Raises: RefusedError where another is kept; SourceError, HostError, StorageError."""
        waiting, stream = reading.waiting, reading.stream
        known = None
        if not waiting.is_tail:
            group = "" if waiting.is_extra else log_store.group_of(waiting.series, waiting.number)
            known = await log_store.find(
                first.opened.repository, first.tree, reading.look.identity, group, waiting.name
            )
        hashed = hashlib.sha256()

        async def pieces() -> AsyncIterator[bytes]:
            while piece := await stream.read():
                if known is not None:
                    hashed.update(piece)
                yield piece

        result = await reading.session.save_blocks(pieces(), BLOCK_BYTES)
        try:
            judged = stream.judge()
        except IncompleteDumpError as error:
            self.damaged[waiting.name] = error.message
            self.context.emit(Warned(f"{self.source.name}: {error.message}"))
            return
        if known is None:
            stored = StoredSegment(waiting.name, result.content, result.size_bytes, judged.segment)
            batch.add(stored, () if waiting.is_tail else judged.forks)
            self._tell(batch.size_bytes)
            return
        # Other identifiers may mean no more than another cutting.
        is_same = known.content == result.content or (
            await dump.sha256_of(first.opened.repository, known) == hashed.hexdigest()
        )
        if not is_same:
            raise RefusedError(
                f"{waiting.name} waits on {self.source.host} with another content than it was shipped with",
                hint=_AGAIN[reading.look.way == "binlog"]
                + f", then take a base: holdfast backup {self.source.name}",
            )

    async def _commit(
        self,
        session: WriteSession,
        host: OpenHost,
        look: LogLook,
        group: Sequence[Held],
        batch: Batch,
    ) -> None:
        """Snapshot first, then the catalog: what the catalog does not know is found again in the storage."""
        addition = Addition(look.identity, batch.stored, group[0].tails)
        tree = await log_store.append(
            session, group[0].opened.repository, self.source, group[0].tree, addition
        )
        facts = await host.facts()
        committed = await session.commit(
            log_store.snapshot(self.context, self.source, facts.hostname, tree.tree_id),
            {
                each.opened.repository.id: bytes.fromhex(each.snapshot_id)
                for each in group
                if each.snapshot_id
            },
        )
        self.committed += 1
        kept = [each.segment for each in batch.stored if each.segment is not None]
        segments = [each for each in kept if not each.is_tail]
        tails = [each for each in kept if each.is_tail]
        for each, done in zip(group, committed, strict=True):
            if done.snapshot_id is None:
                self.missed[each.name] = done.error.message if done.error is not None else "it was dropped"
                continue
            each.snapshot_id, each.tree = done.snapshot_id, tree
            each.runs = logs.add(each.runs, look.identity, segments)
            each.tails = logs.add_tails(each.tails, look.identity, segments, tails)
            head = LogHead(self.source.name, each.name, done.snapshot_id, self.context.clock.now())
            await self.context.catalog.logs.put(
                head, each.runs, [(look.identity, fork) for fork in batch.forks], each.tails
            )
        self.segments += len(segments)
        self.size_bytes += batch.size_bytes
        self.added_bytes += max(done.statistics.stored_bytes for done in committed)

    async def _release(self, source: LogSource, look: LogLook, held: Sequence[Held]) -> None:
        """Lets the host forget what each storage has. Raises: SourceError, HostError."""
        if any(each.name in self.missed for each in held):
            return
        kept = set(self.damaged)
        if look.forgets_after_s is None:
            kept |= await self._kept_for_others(look)
        names = [name for name in self.left if name not in kept]
        await source.release(names)
        if look.forgets_after_s is None:
            self.released += len(names)
        self.left = {name: each for name, each in self.left.items() if name in kept}

    async def _kept_for_others(self, look: LogLook) -> set[str]:
        """What storages lack that schedules ship to, and this shipment did not."""
        asked = {each.name for each in self.storages}
        lacking = await log_release.lacking(
            self.context.catalog, self.source.name, asked, look, self.left.values()
        )
        for name, missing in lacking.items():
            if missing:
                said = f"{len(missing)} files of the log of {self.source.name} stay on {self.source.host} until {name} has them, which a schedule ships to"
                self.context.emit(Noted(said))
        return set().union(*lacking.values())

    def _tell(self, size_bytes: int) -> None:
        total = sum(each.size_bytes for each in self.left.values())
        done = self.size_bytes + size_bytes
        self.context.emit(Progress("ship", done, max(total, done), current=self.source.name))

    async def remember(self, error: str) -> None:
        """Writes down what was seen. Raises: CatalogError."""
        before = await self.context.catalog.logs.state(self.source.name)
        now = self.context.clock.now()
        look = self.look
        if look is None:
            last = before or LogState(self.source.name, now)
            await self._put_state(before, dataclasses.replace(last, polled_at=now, error=error))
            return
        self._warn_forgetting(look)
        # What is kept under the names of a log that is refused is not that log.
        covered, covered_bytes, at = await self._covered(look, before, is_refused=bool(error))
        waiting_bytes = sum(each.size_bytes for each in self.left.values())
        holdings = await self.context.catalog.logs.holdings(self.source.name)
        await self._put_state(
            before,
            LogState(
                self.source.name,
                now,
                look.identity,
                look.way,
                look.series,
                look.number,
                covered,
                covered_bytes,
                at,
                self.clock_ahead_s,
                len(self.left),
                waiting_bytes,
                look.free_bytes,
                _rate(before, look, now),
                max((each.changed_s for each in look.waiting if not error), default=self.looked_until),
                error,
                tuple(self.warnings),
                self._unshipped(),
                seen_at=now,
                gaps=sum(len(logs.gaps(each.runs, each.forks)) for each in holdings),
            ),
        )

    def _warn_forgetting(self, look: LogLook) -> None:
        """Where the host will soon forget what is not in every storage yet."""
        if not self.left or look.forgets_after_s is None:
            return
        oldest = min(self.left.values(), key=lambda each: each.changed_s)
        left_s = look.forgets_after_s - (look.at.timestamp() - oldest.changed_s)
        if left_s < look.forgets_after_s / 2:
            warning = f"{oldest.name} is not in every storage, and the server forgets it in {max(left_s, 0):.0f} seconds"
            self.warnings.append(warning)
            self.context.emit(Warned(f"{self.source.name}: {warning}"))

    async def _put_state(self, before: LogState | None, state: LogState) -> None:
        """Where anything went wrong, or well again, alerts are looked at soon."""
        await self.context.catalog.logs.put_state(state)
        if before is None or _trouble(before) != _trouble(state):
            await self.context.catalog.settings.put(NEWS, state.polled_at.isoformat(), is_lasting=False)

    def _unshipped(self) -> tuple[str, ...]:
        return (
            *self.damaged.values(),
            *(f"storage {each}: {why}" for each, why in self.missed.items()),
        )

    async def _covered(
        self, look: LogLook, before: LogState | None, *, is_refused: bool
    ) -> tuple[LogPosition | None, int, datetime.datetime | None]:
        """Up to which segment, or how much of it, and so to which instant, everything is in a storage."""
        if look.sealed is not None and not is_refused:
            sealed = look.sealed
            for each in await self.context.catalog.logs.holdings(self.source.name):
                if logs.holds(each.runs, sealed.identity, sealed.series, sealed.number):
                    return sealed, 0, look.sealed_at or look.at
                if look.sealed_bytes and logs.holds_tail(each.tails, sealed, look.sealed_bytes):
                    return sealed, look.sealed_bytes, look.at
        if before is not None:  # of another server it is what can still be reached of that one
            return before.covered, before.covered_bytes, before.covered_until
        return None, 0, None

    async def result(self, error: HoldfastError | None) -> ShippedLog:
        """What came of it. Raises: CatalogError."""
        name = self.source.name
        holdings = await self.context.catalog.logs.holdings(name)
        state = await self.context.catalog.logs.state(name)
        reached = logs.reaches(await self.context.catalog.logs.bases(name), holdings, state)
        gaps = [gap for each in holdings for gap in logs.gaps(each.runs, each.forks)]
        status = "completed"
        if error is not None and not self.segments:
            status = "failed"
        elif error is not None or self.missed or self.damaged:
            status = "incomplete"
        return ShippedLog(
            source=name,
            status=status,
            segments=self.segments,
            size_bytes=self.size_bytes,
            added_bytes=self.added_bytes,
            released=self.released,
            waiting=len(self.left),
            recoverable_to=max((each.ends_at for each in reached), default=None),
            gaps=tuple(dict.fromkeys(gaps)),
            storages=tuple(each.name for each in self.storages if each.name not in self.missed),
            error=error.message if error is not None else "",
            warnings=(*self.warnings, *self._unshipped()),
        )


def _trouble(state: LogState) -> tuple[object, ...]:
    """What of it somebody would want to be told."""
    is_off = abs(state.clock_ahead_s) > CLOCK_S
    return bool(state.error), state.identity, state.gaps, len(state.unshipped), len(state.warnings), is_off


def _has_tail(tails: Sequence[LogRun], waiting: WaitingSegment, look: LogLook) -> bool:
    place = LogPosition(look.identity, waiting.series, waiting.number)
    return logs.holds_tail(tails, place, waiting.size_bytes)


def _rate(before: LogState | None, look: LogLook, now: datetime.datetime) -> float:
    """Bytes of log a second since the last look; 0 where nothing tells."""
    if (
        before is None
        or before.identity != look.identity
        or before.series != look.series
        or not look.segment_bytes
    ):
        return 0.0
    passed_s = (now - before.polled_at).total_seconds()
    if passed_s <= 0:
        return before.bytes_per_s
    return max(0.0, (look.number - before.number) * look.segment_bytes / passed_s)
