"""Anchors of the audit log: its head, as a tag of every backup's snapshot, sealed in each storage.

Whoever can write the catalog can write its chain anew; who cannot also rewrite the snapshots in every storage is found out, because the
head that a snapshot names is no longer part of the chain.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from engine.audit import Anchor, AuditLog
from engine.errors import HoldfastError
from engine.events import Warned
from engine.jobs.context import JobContext
from engine.jobs.opening import open_unlocked
from engine.model.definitions import Storage
from engine.model.requests import Limits

_TAG = "holdfast:audit="


async def tag(audit: AuditLog) -> str:
    """The head of the log at this instant, as a tag."""
    anchor = await audit.anchor()
    return f"{_TAG}{anchor.sequence}:{anchor.head.hex()}"


async def read(context: JobContext, storage: Storage) -> list[Anchor]:
    """The anchors of a storage's snapshots. A storage that does not answer is told of and has none."""
    async with AsyncExitStack() as stack:
        try:
            repository = await open_unlocked(context, storage, Limits(), stack)
            snapshots = await repository.snapshots(on_damaged=lambda _name, _error: None)
        except HoldfastError as error:
            context.emit(Warned(f"storage {storage.name} was not asked: {error.message}"))
            return []
    found = []
    for _, snapshot in snapshots:
        for text in snapshot.tags:
            sequence, _, head = text.removeprefix(_TAG).partition(":")
            if text.startswith(_TAG) and sequence.isdecimal():
                found.append(Anchor(int(sequence), bytes.fromhex(head), snapshot.time))
    return found
