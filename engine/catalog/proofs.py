"""What becomes of proofs when the bytes that were proved are no longer those that a storage holds."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import NamedTuple

from engine.catalog.backups import proof_records
from engine.catalog.database import Database, Transaction, Value, to_microseconds, to_text
from engine.model.backup import Proof, ProofRecord

_LADDER = list(Proof)


class Dropped(NamedTuple):
    """Why proofs hold no longer."""

    at: datetime.datetime
    verb: str
    job_id: str
    detail: str
    """For people: what was done to the bytes."""


def standing(records: Iterable[ProofRecord]) -> ProofRecord | None:
    """The highest proof that still holds, the newest of its rung; None where none does. `records` are all of one backup.

    A record of the rung `taken` says that the storage's bytes are others from then on: what was proved there before is void, and what was
    proved in another storage is not. A failure voids all that went before it, for nothing can be relied on then.
    """
    found: dict[str, ProofRecord] = {}
    for each in sorted(records, key=lambda record: (record.proven_at, record.proof is Proof.TAKEN)):
        if not each.is_passed:
            found.clear()
        elif each.proof is Proof.TAKEN:
            found.pop(each.storage, None)
        elif each.storage not in found or _rung(each) >= _rung(found[each.storage]):
            found[each.storage] = each
    return max(found.values(), key=lambda record: (_rung(record), record.proven_at), default=None)


def _rung(record: ProofRecord) -> int:
    return _LADDER.index(record.proof)


class Proofs:
    """Brings backups down to what is still true of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def drop(self, storage: str, backup_ids: Iterable[str], why: Dropped) -> int:
        """Voids what was proved of these backups in that storage; how many stood on it. Their rung is what was proved elsewhere, else `taken`."""
        wanted = set(backup_ids)
        count = 0
        async with self._database.transaction() as transaction:
            for (backup_id,) in await transaction.fetch_all("proved_in_storage", storage=storage):
                if backup_id in wanted:
                    count += await self._drop(transaction, storage, backup_id, why)
        return count

    async def _drop(self, transaction: Transaction, storage: str, backup_id: str, why: Dropped) -> bool:
        before = proof_records(await transaction.fetch_all("list_proofs", backup_id=backup_id))
        new = ProofRecord(backup_id, storage, Proof.TAKEN, why.at, True, why.job_id, why.detail, why.verb)
        await transaction.execute(
            "add_proof",
            backup_id=backup_id,
            proven_at=to_microseconds(new.proven_at),
            storage=storage,
            proof=new.proof.value,
            is_passed=True,
            job_id=new.job_id,
            detail=to_text(new.detail),
            verb=new.verb,
        )
        where: dict[str, Value] = {
            "backup_id": backup_id,
            "storage": storage,
            "proven_at": to_microseconds(new.proven_at),
        }
        if await transaction.execute("void_proof_standings", **where):
            await transaction.execute("refill_proof_standings", backup_id=backup_id)
        left = standing([*before, new])
        await transaction.execute(
            "set_proof",
            backup_id=backup_id,
            proof=(Proof.TAKEN if left is None else left.proof).value,
            proven_at=None if left is None else to_microseconds(left.proven_at),
            proven_by="" if left is None else f"{left.verb} {left.job_id}".rstrip(),
        )
        return left != standing(before)
