"""Anchors of the audit log: its head, as a tag of every backup's snapshot, sealed in each storage.

Whoever can write the catalog can write its chain anew; who cannot also rewrite the snapshots in every storage is found out, because the
head that a snapshot names is no longer part of the chain. An anchor counts where it names this log, or where the catalog says that this
home took the backup: so the snapshots of other homes that share a storage, and those that were there before a catalog was lost and
recovered, accuse nobody, and a log that was begun anew under another key is still found out.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Final

from engine.audit import Anchor, AuditLog
from engine.errors import HoldfastError
from engine.events import Warned
from engine.jobs.context import JobContext
from engine.jobs.opening import open_unlocked
from engine.jobs.snapshot_tags import BACKUP_TAG, tag_value
from engine.model.definitions import Storage
from engine.model.requests import Limits

ANSWER_S: Final = 30.0
"""So long a storage is waited for that does not answer at all: a person waits, and the log's own chain is held against the others."""
_TAG = "holdfast:audit="
_FORM = re.compile(r"holdfast:audit=([0-9a-f]{16}):([0-9]{1,18}):((?:[0-9a-f]{64})?)")


async def tag(audit: AuditLog) -> str:
    """The log and its head at this instant, as a tag."""
    anchor = await audit.anchor()
    return f"{_TAG}{await audit.identity()}:{anchor.sequence}:{anchor.head.hex()}"


async def read(context: JobContext, storage: Storage) -> list[Anchor]:
    """The anchors of a storage's snapshots. A storage that does not answer is told of and has none."""
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(ANSWER_S):
                repository = await open_unlocked(context, storage, Limits(), stack)
            snapshots = await repository.snapshots(on_damaged=lambda _name, _error: None)
        except (HoldfastError, TimeoutError) as error:
            why = error.message if isinstance(error, HoldfastError) else f"no answer in {ANSWER_S:.0f} s"
            context.emit(Warned(f"storage {storage.name} was not asked: {why}"))
            return []
    ids = [tag_value(snapshot, BACKUP_TAG) for _, snapshot in snapshots]
    taken_here = {each.backup_id for each in await context.catalog.backups.get_many(ids) if each.job_id}
    identity = await context.audit.identity()
    found = []
    for backup_id, (_, snapshot) in zip(ids, snapshots, strict=True):
        for form in filter(None, map(_FORM.fullmatch, snapshot.tags)):
            log, sequence, head = form.groups()
            if log == identity or backup_id in taken_here:
                found.append(Anchor(int(sequence), bytes.fromhex(head), snapshot.time))
    return found
