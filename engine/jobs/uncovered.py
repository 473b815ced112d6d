"""What tests of hosts found there that no source takes: kept, for those who ask must not connect anywhere."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

from engine.catalog.catalog import Catalog
from engine.model.definitions import LOCAL_HOST
from engine.model.status import Uncovered

_SETTING: Final = "uncovered"
"""By host, what its last test found: it may be a month old."""


async def remember(catalog: Catalog, host: str, what: Sequence[str], at: datetime.datetime) -> None:
    """Keeps what a test of a host found."""
    kept = await catalog.settings.get(_SETTING) or {}
    await catalog.settings.put(_SETTING, {**kept, host: {"at": at.isoformat(), "what": list(what)}})


async def known(catalog: Catalog) -> list[Uncovered]:
    """What the last tests of those hosts that are still defined found, by host."""
    kept = await catalog.settings.get(_SETTING) or {}
    names = {host.name for host in await catalog.hosts.all()} | {LOCAL_HOST}
    return [
        Uncovered(name, datetime.datetime.fromisoformat(each["at"]), each["what"])
        for name, each in sorted(kept.items())
        if name in names
    ]
