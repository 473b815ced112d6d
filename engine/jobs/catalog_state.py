"""Whether the storages' copies of the catalog hold what is defined now. Light: a status asks it, and opens no storage."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from engine.catalog.catalog import Catalog
from engine.config import Home
from engine.vault import Vault

_SETTING: Final = "catalog-copy."
_OLDEST: Final = datetime.timedelta(days=1)
"""So old a copy may be although nothing was defined since: proofs and holds are in it, too."""


async def fingerprint(catalog: Catalog, vault: Vault, home: Home) -> str:
    """Changes with every definition. Not with backups: their snapshots tell of them."""
    config = ""
    with contextlib.suppress(OSError):
        config = await asyncio.to_thread(home.settings.read_text, errors="replace")
    everything = [
        await catalog.hosts.all(),
        await catalog.sources.all(),
        await catalog.storages.all(),
        await catalog.plans.all(),
        await catalog.destinations.all(),
        await catalog.schedules.all(),
        await catalog.windows.all(),
        await catalog.host_keys.all(),
        await vault.names(),
        # A kit that is printed after a rotation must open the newest copy.
        await vault.key_name(),
        config,
    ]
    return hashlib.sha256(repr(everything).encode("utf-8", "backslashreplace")).hexdigest()


async def remember(
    catalog: Catalog, storage: str, found: str, at: datetime.datetime, snapshot_id: str
) -> None:
    """Writes down that the storage has a copy of what `found` stands for."""
    kept = {"fingerprint": found, "at": at.isoformat(), "snapshot": snapshot_id}
    await catalog.settings.put(_SETTING + storage, kept)


async def is_due(catalog: Catalog, storage: str, found: str, now: datetime.datetime) -> bool:
    """Whether the storage's last copy is of something else, or a day old."""
    last = await catalog.settings.get(_SETTING + storage)
    if not _is_of(last, found):
        return True
    age = now - datetime.datetime.fromisoformat(str(last["at"]))
    return not datetime.timedelta() <= age < _OLDEST


async def kept_at(catalog: Catalog, storage: str) -> datetime.datetime | None:
    """When the storage got its last copy; None where it has none."""
    last = await catalog.settings.get(_SETTING + storage)
    return datetime.datetime.fromisoformat(str(last["at"])) if isinstance(last, Mapping) else None


async def is_kept(catalog: Catalog, found: str) -> bool:
    """Whether any storage that is still defined has a copy of this."""
    for storage in await catalog.storages.all():
        if _is_of(await catalog.settings.get(_SETTING + storage.name), found):
            return True
    return False


async def copied_at(catalog: Catalog) -> datetime.datetime | None:
    """When a storage that is still defined got its newest copy, of whatever."""
    found = [await catalog.settings.get(_SETTING + each.name) for each in await catalog.storages.all()]
    times = [datetime.datetime.fromisoformat(str(each["at"])) for each in found if isinstance(each, Mapping)]
    return max(times, default=None)


def _is_of(last: Any, found: str) -> bool:
    return isinstance(last, Mapping) and last.get("fingerprint") == found
