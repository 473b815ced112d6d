"""Logs of databases: what each storage holds of them, what was seen on their hosts, and the backups that they are replayed onto."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.catalog.database import (
    Database,
    to_instant,
    to_microseconds,
    to_optional_instant,
    to_optional_microseconds,
)
from engine.errors import CatalogDamagedError
from engine.model.log_watch import WatchedLog
from engine.model.logs import Base, LogFork, LogHead, LogHoldings, LogPosition, LogRun, LogState

NEWS: Final = "log-news"
"""The setting that holds when something of a log went wrong, or well again, the last time."""
_decoder = msgspec.json.Decoder(LogState)


class Logs:
    """What is known of logs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sources(self) -> list[str]:
        """Those whose log was looked at or shipped, by name."""
        return [row[0] for row in await self._database.fetch_all("list_logged_sources")]

    async def holdings(self, source: str) -> list[LogHoldings]:
        """By storage, what it holds of the source's log, as its newest log snapshot has it."""
        while True:
            heads = await self.heads(source)
            found = await self._holdings(source, {each.storage: each.snapshot_id for each in heads})
            # A shipment may have written meanwhile.
            if heads == await self.heads(source):
                return found

    async def _holdings(self, source: str, heads: Mapping[str, str]) -> list[LogHoldings]:
        runs: dict[str, list[LogRun]] = {}
        for storage, *rest in await self._database.fetch_all("list_log_runs", source=source):
            runs.setdefault(storage, []).append(_to_run(rest))
        tails: dict[str, list[LogRun]] = {}
        for storage, *rest in await self._database.fetch_all("list_log_tails", source=source):
            tails.setdefault(storage, []).append(dataclasses.replace(_to_run(rest), is_tail=True))
        forks = tuple(
            LogFork(*row) for row in await self._database.fetch_all("list_log_forks", source=source)
        )
        return [
            LogHoldings(
                storage,
                tuple(runs.get(storage, ())),
                forks,
                tuple(tails.get(storage, ())),
                heads.get(storage, ""),
            )
            for storage in sorted({*runs, *tails, *heads})
        ]

    async def heads(self, source: str = "") -> list[LogHead]:
        """The newest log snapshot of the source in each storage; of all sources where none is named."""
        return [
            LogHead(name, storage, bytes(snapshot_id).hex(), to_instant(at))
            for name, storage, snapshot_id, at in await self._database.fetch_all(
                "list_log_heads", source=source
            )
        ]

    async def put(
        self,
        head: LogHead,
        runs: Sequence[LogRun],
        forks: Sequence[tuple[str, LogFork]],
        tails: Sequence[LogRun] = (),
    ) -> None:
        """What a storage holds from now on. `forks` with the server's identity; those that are known already stay."""
        key = {"source": head.source, "storage": head.storage}
        async with self._database.transaction() as transaction:
            await transaction.execute("remove_log_runs", **key)
            await transaction.execute_many(
                "add_log_run", [{**key, **_to_row(run), "last": run.last} for run in runs]
            )
            await transaction.execute("remove_log_tails", **key)
            await transaction.execute_many("add_log_tail", [{**key, **_to_row(tail)} for tail in tails])
            for identity, fork in forks:
                await transaction.execute(
                    "put_log_fork",
                    source=head.source,
                    identity=identity,
                    series=fork.series,
                    parent=fork.parent,
                    number=fork.number,
                )
            await transaction.execute(
                "put_log_head",
                **key,
                snapshot_id=bytes.fromhex(head.snapshot_id),
                shipped_at=to_microseconds(head.shipped_at),
            )

    async def state(self, source: str) -> LogState | None:
        """What was seen when the log was looked at last; None where it never was."""
        found = await self._states(source)
        return found[0] if found else None

    async def states(self) -> list[LogState]:
        """Of all sources whose log was looked at, by name."""
        return await self._states("")

    async def put_state(self, state: LogState) -> None:
        """What was seen now."""
        async with self._database.transaction() as transaction:
            await transaction.execute(
                "put_log_state",
                source=state.source,
                polled_at=to_microseconds(state.polled_at),
                state=msgspec.json.encode(state).decode(),
            )

    async def bases(self, source: str) -> list[Base]:
        """The backups of the source that logs can be replayed onto, oldest first."""
        return [
            Base(
                backup_id,
                LogPosition(identity, series, number),
                to_instant(consistent_at),
                tuple(storages.split("\n")) if storages else (),
            )
            for backup_id, identity, series, number, consistent_at, storages in await self._database.fetch_all(
                "list_bases", source=source
            )
        ]

    async def watched(self) -> list[WatchedLog]:
        """Of every source whose log was looked at or shipped, by name: in a few queries, however many there are."""
        states = {each.source: each for each in await self.states()}
        runs = _by_place(await self._database.fetch_all("list_all_log_runs"))
        tails = _by_place(await self._database.fetch_all("list_all_log_tails"))
        forks: dict[str, list[LogFork]] = {}
        for source, *rest in await self._database.fetch_all("list_all_log_forks"):
            forks.setdefault(source, []).append(LogFork(*rest))
        bases: dict[str, list[Base]] = {}
        for row in await self._database.fetch_all("list_edge_bases"):
            source, storage, backup_id, identity, series, number, consistent_at = row
            position = LogPosition(identity, series, number)
            base = Base(backup_id, position, to_instant(consistent_at), (storage,))
            bases.setdefault(source, []).append(base)
        holdings: dict[str, list[LogHoldings]] = {}
        for source, storage in sorted({*runs, *tails}):
            kept, begun = runs.get((source, storage), []), tails.get((source, storage), [])
            held = LogHoldings(
                storage,
                kept,
                forks.get(source, ()),
                [dataclasses.replace(each, is_tail=True) for each in begun],
            )
            holdings.setdefault(source, []).append(held)
        return [
            WatchedLog(name, bases.get(name, ()), holdings.get(name, ()), states.get(name))
            for name in sorted({*states, *holdings})
        ]

    async def put_base(self, source: str, base: Base) -> None:
        """Says that this backup, which is written down, is one."""
        async with self._database.transaction() as transaction:
            await transaction.execute("put_base", **base_row(source, base))

    async def _states(self, source: str) -> list[LogState]:
        rows = await self._database.fetch_all("list_log_states", source=source)
        try:
            return [_decoder.decode(row[0]) for row in rows]
        except msgspec.DecodeError as error:
            raise CatalogDamagedError(f"what was seen of a log cannot be understood: {error}") from error


def _by_place(rows: Sequence[Sequence[Any]]) -> dict[tuple[str, str], list[LogRun]]:
    """By source and storage."""
    found: dict[tuple[str, str], list[LogRun]] = {}
    for source, storage, *rest in rows:
        found.setdefault((source, storage), []).append(_to_run(rest))
    return found


def base_row(source: str, base: Base) -> dict[str, str | int]:
    """As the catalog keeps it."""
    return {
        "backup_id": base.backup_id,
        "source": source,
        "identity": base.position.identity,
        "series": base.position.series,
        "number": base.position.number,
        "consistent_at": to_microseconds(base.consistent_at),
    }


def _to_row(run: LogRun) -> dict[str, str | int | None]:
    return {
        "identity": run.identity,
        "series": run.series,
        "first": run.first,
        "begins_at": to_optional_microseconds(run.begins_at),
        "ends_at": to_optional_microseconds(run.ends_at),
        "size_bytes": run.size_bytes,
    }


def _to_run(row: Sequence[Any]) -> LogRun:
    identity, series, first, last, begins_at, ends_at, size_bytes = row
    return LogRun(
        identity, series, first, last, to_optional_instant(begins_at), to_optional_instant(ends_at), size_bytes
    )  # fmt: skip
