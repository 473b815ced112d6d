"""Two audit logs made one: what a new home wrote down before the lost log was found follows that one, behind a row that says so.

A home on a storage of kind `sftp` must know the host before anything can be recovered, so that its log has begun. The lost log stays as it
was, row by row, so that the anchors in the storages still hold it to its word; the new rows are chained on under its key.
"""

from __future__ import annotations

from engine import audit
from engine.catalog.catalog import Catalog
from engine.catalog.takeover import Join
from engine.errors import VaultError
from engine.events import Warned
from engine.jobs.context import JobContext
from engine.model.secret import Secret
from engine.vault import RESERVED, parse_keys, unseal

_KEY = RESERVED + audit.KEY_NAME


async def plan(context: JobContext, lost: Catalog, vault_key: Secret | None) -> Join | None:
    """How this home's log follows that of the lost catalog; None where it has none yet, or where the two stay apart, which is told.

    They do where this home took backups of its own, whose snapshots hold its log to other rows; and where its log is not whole.
    """
    begun = await context.audit.rows()
    sealed = await lost.secrets.get(_KEY)
    if vault_key is None or sealed is None or not begun:
        return None
    reason = ""
    if await context.catalog.backups.count():
        reason = "this home took backups of its own"
    elif await context.audit.verify():
        reason = "this home's own is not whole"
    try:
        key = unseal(parse_keys(vault_key.reveal(), "the vault's key"), _KEY, sealed)
    except VaultError as error:
        reason = error.message
    if reason:
        context.emit(Warned(f"the lost audit log is not taken over: {reason}"))
        return None
    head = await lost.audit_rows.head()
    entry = audit.Entry(
        context.clock.now(),
        context.actor,
        audit.JOIN_VERB,
        "the lost log",
        "done",
        f"the rows up to {head[0]} are those of the lost log; the {len(begun)} behind this one were begun by a new home before it was "
        f"found, and ended with {begun[-1].hash.hex()}",
    )
    return Join(_KEY, len(begun), audit.join(key, head, entry, begun))
