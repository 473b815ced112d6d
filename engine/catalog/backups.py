"""Backups, their copies, tags and proofs; read in pages, newest first."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from engine.catalog import choosing
from engine.catalog.database import (
    Database,
    Row,
    Transaction,
    Value,
    to_instant,
    to_json,
    to_list,
    to_microseconds,
    to_optional_instant,
    to_optional_microseconds,
    to_text,
)
from engine.catalog.logs import base_row
from engine.errors import UnknownNameError, UsageError
from engine.model.backup import (
    SAFETY_TAG,
    Backup,
    BackupFilter,
    BackupStatus,
    Copy,
    OrderBy,
    Ordered,
    Place,
    Proof,
    ProofRecord,
    Scope,
)
from engine.model.logs import Base
from engine.model.names import is_id_prefix, nearest

_STATUSES = {each.value: each for each in BackupStatus}
_SCOPES = {each.value: each for each in Scope}
_PROOFS = {each.value: each for each in Proof}
_LADDER = list(Proof)
_NOT_TAGGED = "NOT EXISTS (SELECT 1 FROM tags WHERE tags.backup_id = b.backup_id AND tags.tag = :tag)"
_SORTED = {
    OrderBy.PROOF: "CASE b.proof WHEN 'taken' THEN 0 WHEN 'readable' THEN 1 WHEN 'verified' THEN 2 ELSE 3 END"
}
"""What a column's text is no order of."""
_TABLES = {"b": "backups AS b", "c": "copies AS c", "t": "tags AS t"}


class Newest(NamedTuple):
    """A source's newest backup."""

    backup: Backup
    is_steady: bool
    """Whether the ones before it were as large, but for a factor."""


class Backups:
    """The backups that the catalog knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, backup: Backup) -> None:
        """Writes a backup with its copies and tags, or puts it in place of the one of the same id."""
        await self.add_many([backup])

    async def add_many(self, backups: Iterable[Backup]) -> None:
        """As `add`, all or none: a recovery adds thousands."""
        async with self._database.transaction() as transaction:
            for backup in backups:
                await _write(transaction, backup)

    async def finish(self, backup: Backup, base: Base | None = None) -> None:
        """Writes down how a backup ended that may have been added before it was done, and that logs can be replayed onto it where they can. What
        people said of it meanwhile, and what was proved, stands."""
        async with self._database.transaction() as transaction:
            row = _backup_row(backup)
            names = ("backup_id", "status", "completed_at", "added_bytes")
            if await transaction.execute("finish_backup", **{name: row[name] for name in names}):
                for query, copies in (
                    ("add_copy", [copy for copy in backup.copies if copy.snapshot_id]),
                    ("add_missing_copy", [copy for copy in backup.copies if not copy.snapshot_id]),
                ):
                    await transaction.execute_many(
                        query, [_copy_row(backup.backup_id, copy) for copy in copies]
                    )
            else:
                await _write(transaction, backup)
            if base is not None:
                await transaction.execute("put_base", **base_row(backup.source, base))

    async def add_copy(self, backup_id: str, copy: Copy, *, is_whole: bool = False) -> None:
        """Adds a copy in one more storage, or puts it in place of that storage's.

        With `is_whole` the backup holds all that it was asked to: it is completed, where no other storage lacks it any more.
        """
        async with self._database.transaction() as transaction:
            await transaction.execute_many("add_copy", [_copy_row(backup_id, copy)])
            if is_whole:
                await transaction.execute("complete_backup", backup_id=backup_id)

    async def missing(self, storage: str) -> list[Backup]:
        """The backups that were meant for this storage, and that it failed to take; newest first."""
        lacking = (
            "b.backup_id IN (SELECT backup_id FROM copies WHERE storage = :storage AND snapshot_id = x'')"
        )
        return await self._select([lacking], {"storage": storage, "limit": -1})

    async def get(self, backup_id: str) -> Backup:
        """The backup of exactly this id. Raises: UnknownNameError."""
        found = await self._select(["b.backup_id = :backup_id"], {"backup_id": backup_id, "limit": 1})
        if not found:
            raise UnknownNameError(
                f"there is no backup {backup_id}", hint="`holdfast backups` lists what there is"
            )
        return found[0]

    async def find(self, text: str) -> Backup:
        """The backup that a person means: an id, an unambiguous beginning of one, or latest:SOURCE.

        Raises: UnknownNameError where there is none, UsageError where the beginning fits several or is none.
        """
        if text.startswith("latest:"):
            return await self.latest(text.removeprefix("latest:"))
        if not is_id_prefix(text):
            raise UsageError(
                f"{text!r} is no id of a backup", hint="an id begins with a digit; or say latest:SOURCE"
            )
        rows = await self._database.fetch_all("backups_by_prefix", prefix=text)
        if len(rows) > 1 and rows[0][0] != text:
            raise UsageError(
                f"several backups begin with {text}: {rows[0][0]}, {rows[1][0]}, …", hint="add more letters"
            )
        return await self.get(rows[0][0] if rows else text)

    async def latest(self, source: str, until: datetime.datetime | None = None) -> Backup:
        """The newest backup of a source that can be relied on at all: completed or incomplete, of all that the source has, and no safety backup
        of what a restore replaced. With `until` the newest from before that instant.

        Raises: UnknownNameError.
        """
        conditions = ["b.source = :source", "b.status <> 'failed'", _NOT_TAGGED]
        values: dict[str, Value] = {"source": source, "limit": 1, "tag": SAFETY_TAG}
        if until is not None:
            conditions.append("b.created_at < :until")
            values["until"] = to_microseconds(until)
        found = await self._select([*conditions, "b.scope = 'all'"], values)
        if not found and (partial := await self._select(conditions, values)):
            raise UnknownNameError(
                f"there is no backup of all of {source}",
                hint=f"the newest is of its {partial[0].scope.value} alone: name it as {partial[0].backup_id}",
            )
        if not found and await self._database.fetch_one("get_source", name=source) is None:
            near = nearest(source, [row[0] for row in await self._database.fetch_all("list_sources")])
            raise UnknownNameError(
                f"there is no source named {source}, nor a backup of one",
                hint=f"did you mean {near}?" if near else "`holdfast source list` names them all",
            )
        if not found:
            raise UnknownNameError(
                f"there is no backup of {source}"
                + (f" from before {until.isoformat(' ', 'seconds')}" if until else ""),
                hint=f"`holdfast backups --source {source}` lists what there is"
                if until
                else f"`holdfast backup {source}` makes one",
            )
        return found[0]

    async def page(
        self, chosen: BackupFilter | None = None, *, limit: int = 100, before: Place | None = None
    ) -> list[Backup]:
        """A page of at most `limit` backups, newest first, from behind `before` on. A negative limit gives all."""
        choice = choosing.choose(chosen or BackupFilter())
        conditions, parameters = list(choice.conditions), {**choice.parameters, "limit": limit}
        if before is not None:
            parameters |= {"place": to_microseconds(before.created_at), "place_id": before.backup_id}
            conditions.append(
                f"({choice.driver}.created_at, {choice.driver}.backup_id) < (:place, :place_id)"
            )
        return await self._select(conditions, parameters, choice.tables)

    async def ordered(
        self,
        chosen: BackupFilter | None = None,
        by: OrderBy = OrderBy.CREATED,
        *,
        is_falling: bool = True,
        limit: int = -1,
    ) -> Ordered:
        """All that a filter chooses, in an order; what is equal there, by age. A million by age cost half a second, by anything else two."""
        choice = choosing.choose(chosen or BackupFilter())
        turn = "DESC" if is_falling else "ASC"
        # By the row's number and not by the id: so the index holds all that is asked for.
        time = "b.created_at DESC, b.rowid DESC" if choice.driver == "b" else f"{choice.driver}.created_at DESC, {choice.driver}.backup_id DESC"  # fmt: skip
        order = (
            time.replace("DESC", turn)
            if by is OrderBy.CREATED
            else f"{_SORTED.get(by, f'b.{by.value}')} {turn}, {time}"
        )
        sql = self._sql("select_backup_keys", choice.conditions, choice.tables, order)
        return Ordered(await self._database.fetch_keys(sql, {**choice.parameters, "limit": limit}))

    async def by_keys(self, keys: Sequence[int]) -> dict[int, Backup]:
        """The backups of these keys, as `ordered` gave them; one that is gone is left out."""
        sql = self._database.query("select_backups").replace("SELECT ", "SELECT b.rowid, ", 1)
        sql += " WHERE b.rowid IN (SELECT value FROM json_each(:keys))"
        rows = await self._database.fetch_sql(sql, {"keys": to_json(list(keys))})
        found = await self._with_copies([row[1:] for row in rows])
        return {row[0]: backup for row, backup in zip(rows, found, strict=True)}

    async def _select(
        self, conditions: Sequence[str], parameters: Mapping[str, Value], tables: Sequence[str] = ("b",)
    ) -> list[Backup]:
        """CROSS JOIN keeps SQLite to the order written: from the first table, along whose order of time the page is read, to the rest."""
        order = f"{tables[0]}.created_at DESC, {tables[0]}.backup_id DESC"
        sql = self._sql("select_backups", conditions, tables, order)
        return await self._with_copies(await self._database.fetch_sql(sql, parameters))

    def _sql(self, name: str, conditions: Sequence[str], tables: Sequence[str], order: str) -> str:
        """The query of that name with these tables, conditions and order."""
        joined = " CROSS JOIN ".join(_TABLES[each] for each in tables)
        sql = self._database.query(name).replace(_TABLES["b"], joined)
        if conditions:
            sql += " WHERE " + " AND ".join(conditions)
        return f"{sql} ORDER BY {order} LIMIT :limit"

    async def newest_of_sources(self, among: int, factor: float) -> dict[str, Newest]:
        """By source: its newest backup that was asked to hold all of it, failed or not, held against those that were completed of its newest
        `among`."""
        rows = await self._database.fetch_all("select_newest_of_sources", among=among, factor=factor)
        backups = await self._with_copies([row[:-1] for row in rows])
        return {each.source: Newest(each, bool(row[-1])) for each, row in zip(backups, rows, strict=True)}

    async def last_of_sources(self, sources: Iterable[str], each: int) -> dict[str, list[Backup]]:
        """Of each of these: its newest `each` backups that were asked to hold all of it, failed ones too; newest first."""
        found: dict[str, list[Backup]] = {}
        rows = await self._database.fetch_all(
            "select_last_of_sources", sources=to_json([*sources]), each=each
        )
        for backup in await self._with_copies(rows):
            found.setdefault(backup.source, []).append(backup)
        return found

    async def first_of_sources(self, sources: Iterable[str]) -> dict[str, datetime.datetime]:
        """When the oldest backup of each of these was begun that was asked to hold all of it."""
        rows = await self._database.fetch_all("first_of_sources", sources=to_json([*sources]))
        return {source: to_instant(at) for source, at in rows if at is not None}

    async def _with_copies(self, rows: Sequence[Row]) -> list[Backup]:
        if not rows:
            return []
        ids = to_json([row[0] for row in rows])
        copies: dict[str, list[Copy]] = {}
        for backup_id, storage, snapshot_id, status, error in await self._database.fetch_all(
            "copies_of_backups", backup_ids=ids
        ):
            copies.setdefault(backup_id, []).append(Copy(storage, snapshot_id, _STATUSES[status], error))
        return [_to_backup(row, tuple(copies.get(row[0], ()))) for row in rows]

    async def by_snapshots(self, storage: str, snapshot_ids: Sequence[str]) -> dict[str, str]:
        """Snapshot id -> backup id, for those of a storage's snapshots that the catalog knows."""
        if not snapshot_ids:
            return {}
        joined = bytes.fromhex("".join(snapshot_ids))
        rows = await self._database.fetch_all("backups_by_snapshots", snapshot_ids=joined, storage=storage)
        return dict(rows)

    async def newest_of_each_source(self) -> list[Backup]:
        """The newest backup, failed ones too, of each source that is defined and has one; by source."""
        ids = [row[0] for row in await self._database.fetch_all("newest_of_each_source") if row[0]]
        if not ids:
            return []
        found = await self._select(
            ["b.backup_id IN (SELECT value FROM json_each(:ids))"], {"ids": to_json(ids), "limit": -1}
        )
        return sorted(found, key=lambda backup: backup.source)

    async def get_many(self, backup_ids: Iterable[str]) -> list[Backup]:
        """Those of these ids that there are, in no order."""
        ids = sorted(set(backup_ids))
        if not ids:
            return []
        condition = "b.backup_id IN (SELECT value FROM json_each(:ids))"
        return await self._select([condition], {"ids": to_json(ids), "limit": -1})

    async def of_job(self, job_id: str) -> list[Backup]:
        """All that a job made."""
        rows = await self._database.fetch_all("backups_of_job", job_id=job_id)
        return await self.get_many(row[0] for row in rows)

    async def count_by_storage(self) -> dict[str, int]:
        """How many backups each storage holds."""
        return {row[0]: row[1] for row in await self._database.fetch_all("count_backups_by_storage")}

    async def count_missing_by_storage(self) -> dict[str, int]:
        """How many backups each storage was meant to take and lacks; of those that lack any."""
        return {row[0]: row[1] for row in await self._database.fetch_all("count_missing_by_storage")}

    async def newest_in_storages(self) -> dict[str, dict[str, datetime.datetime]]:
        """By source and storage: when the newest backup was begun that holds all of the source and can be restored from there. What a storage
        has is looked for among the newest backups of a source alone; one that has none of those is left out."""
        found: dict[str, dict[str, datetime.datetime]] = {}
        for source, storage, at in await self._database.fetch_all("newest_in_storages"):
            found.setdefault(source, {})[storage] = to_instant(at)
        return found

    async def growth(self, storage: str, since: datetime.datetime) -> tuple[int, datetime.timedelta | None]:
        """What the storage's backups since then added, in bytes, and the span from the first of them to the last; None where there is none.

        The first one of each source adds what was there before: that is no growth.
        """
        row = await self._database.fetch_one(
            "growth_of_storage", storage=storage, since=to_microseconds(since)
        )
        added, span = row if row is not None else (0, None)
        return int(added or 0), None if span is None else datetime.timedelta(microseconds=span)

    async def any(self) -> bool:
        """Whether any is known."""
        row = await self._database.fetch_one("has_backups")
        return bool(row and row[0])

    async def count(self) -> int:
        """How many backups are known."""
        row = await self._database.fetch_one("count_backups")
        return row[0] if row else 0

    async def count_of_source(self, source: str) -> int:
        """How many backups of a source are known."""
        row = await self._database.fetch_one("count_backups_of_source", source=source)
        return row[0] if row else 0

    async def protect(self, backup_id: str, *, is_protected: bool, hold_reason: str = "") -> None:
        """Protects a backup from forget and delete, or lifts that. Raises: UnknownNameError."""
        await self._change(
            backup_id, "set_protection", is_protected=is_protected, hold_reason=to_text(hold_reason)
        )

    async def set_expiry(self, backup_id: str, expires_at: datetime.datetime | None) -> None:
        """Sets when a backup may go, or that no such instant is set. Raises: UnknownNameError."""
        await self._change(backup_id, "set_expiry", expires_at=to_optional_microseconds(expires_at))

    async def _change(self, backup_id: str, query: str, **parameters: Value) -> None:
        async with self._database.transaction() as transaction:
            changed = await transaction.execute(query, backup_id=backup_id, **parameters)
        if not changed:
            await self.get(backup_id)

    async def remove_copies(self, storage: str, backup_ids: Iterable[str]) -> None:
        """Forgets a storage's copies of these backups, and each backup that has no copy left. Idempotent."""
        rows: list[dict[str, Value]] = [{"storage": storage, "backup_id": each} for each in backup_ids]
        async with self._database.transaction() as transaction:
            await transaction.execute_many("remove_copy", rows)
            await transaction.execute_many("remove_backup_without_copies", rows)

    async def remove(self, backup_id: str) -> None:
        """Forgets a backup in the catalog; no repository is touched. Idempotent."""
        async with self._database.transaction() as transaction:
            await transaction.execute("remove_backup", backup_id=backup_id)

    async def record_proof(self, record: ProofRecord) -> None:
        """Writes down an attempt to prove a backup. One that passed lifts the backup to its rung, or renews that one's instant; where the
        backup stands higher, that stays as it is. One that failed brings it back to `taken`, for nothing can be relied on then."""
        backup = await self.get(record.backup_id)
        stands_higher = _LADDER.index(backup.proof) > _LADDER.index(record.proof)
        row: dict[str, Value] = {
            "backup_id": record.backup_id,
            "proven_at": (proven_at := to_microseconds(record.proven_at)),
            "storage": record.storage,
            "proof": record.proof.value,
            "is_passed": record.is_passed,
            "job_id": record.job_id,
            "detail": to_text(record.detail),
            "verb": record.verb,
        }
        async with self._database.transaction() as transaction:
            await transaction.execute("add_proof", **row)
            if backup.scope is Scope.ALL:
                await transaction.execute("keep_proof_standing", source=backup.source, **row)
            if record.is_passed and stands_higher:
                return
            await transaction.execute(
                "set_proof",
                backup_id=record.backup_id,
                proof=record.proof.value if record.is_passed else Proof.TAKEN.value,
                proven_at=proven_at if record.is_passed else None,
                proven_by=f"{record.verb} {record.job_id}".rstrip() if record.is_passed else "",
            )

    async def list_proofs(self, backup_id: str) -> list[ProofRecord]:
        """All attempts to prove a backup, newest first."""
        return proof_records(await self._database.fetch_all("list_proofs", backup_id=backup_id))


def proof_records(rows: Iterable[Row]) -> list[ProofRecord]:
    """The rows of `list_proofs`."""
    return [
        ProofRecord(backup_id, storage, _PROOFS[proof], to_instant(at), bool(is_passed), job_id, detail, verb)
        for backup_id, storage, proof, at, is_passed, job_id, detail, verb in rows
    ]


async def _write(transaction: Transaction, backup: Backup) -> None:
    created_at = to_microseconds(backup.created_at)
    await transaction.execute("add_backup", **_backup_row(backup))
    await transaction.execute("remove_copies_of_backup", backup_id=backup.backup_id)
    await transaction.execute("remove_tags_of_backup", backup_id=backup.backup_id)
    await transaction.execute_many("add_copy", [_copy_row(backup.backup_id, copy) for copy in backup.copies])
    await transaction.execute_many(
        "add_tag",
        [{"tag": tag, "created_at": created_at, "backup_id": backup.backup_id} for tag in backup.tags],
    )


def _copy_row(backup_id: str, copy: Copy) -> Mapping[str, Value]:
    return {
        "backup_id": backup_id,
        "storage": copy.storage,
        "snapshot_id": bytes.fromhex(copy.snapshot_id),
        "status": "" if copy.status is BackupStatus.COMPLETED else copy.status.value,
        "error": to_text(copy.error),
    }


def _backup_row(backup: Backup) -> Mapping[str, Value]:
    return {
        "backup_id": backup.backup_id,
        "source": backup.source,
        "host": backup.host,
        "kind": backup.kind,
        "status": backup.status.value,
        "created_at": to_microseconds(backup.created_at),
        "completed_at": to_optional_microseconds(backup.completed_at),
        "size_bytes": backup.size_bytes,
        "added_bytes": backup.added_bytes,
        "files_new": backup.files_new,
        "files_changed": backup.files_changed,
        "files_unmodified": backup.files_unmodified,
        "warnings": to_json(list(backup.warnings)),
        "tags": to_json(list(backup.tags)),
        "proof": backup.proof.value,
        "proven_at": to_optional_microseconds(backup.proven_at),
        "is_protected": backup.is_protected,
        "expires_at": to_optional_microseconds(backup.expires_at),
        "hold_reason": to_text(backup.hold_reason),
        "job_id": backup.job_id,
        "scope": backup.scope.value,
        "proven_by": backup.proven_by,
    }


def _to_backup(row: Row, copies: Sequence[Copy]) -> Backup:
    backup_id, source, host, kind, status, created_at, completed_at, size_bytes, added_bytes, *more = row
    files_new, files_changed, files_unmodified, warnings, tags, proof, proven_at, *rest = more
    is_protected, expires_at, hold_reason, job_id, scope, proven_by = rest
    return Backup(
        backup_id,
        source,
        host,
        kind,
        _STATUSES[status],
        to_instant(created_at),
        to_optional_instant(completed_at),
        size_bytes,
        added_bytes,
        files_new,
        files_changed,
        files_unmodified,
        copies,
        to_list(warnings),
        to_list(tags),
        _PROOFS[proof],
        to_optional_instant(proven_at),
        bool(is_protected),
        to_optional_instant(expires_at),
        hold_reason,
        job_id,
        _SCOPES[scope],
        proven_by,
    )
