"""Whether a backup that was just taken is one that the kept log goes on from."""

from __future__ import annotations

import datetime

from engine.catalog.catalog import Catalog
from engine.sources.logs import BasePosition


async def unless_behind(
    catalog: Catalog,
    source: str,
    base: BasePosition | None,
    started_at: datetime.datetime,
    warnings: list[str],
) -> BasePosition | None:
    """The position, or None, with a warning, where a later segment of that name is kept already, and was over when the backup began: it is of another
    past, and replayed onto this backup it would spoil it."""
    if base is None:
        return None
    at = base.position
    state = await catalog.logs.state(source)
    ahead = datetime.timedelta(seconds=state.clock_ahead_s if state is not None else 0.0)
    for held in await catalog.logs.holdings(source):
        for run in held.runs:
            if (run.identity, run.series) != (at.identity, at.series) or run.last <= at.number + 1:
                continue
            if run.ends_at is not None and run.ends_at < started_at + ahead:
                warnings.append(
                    f"no log can be replayed onto this backup: its server writes segment {at.number + 1} of {at.series}, and {held.storage} keeps later "
                    "ones of that name from before. The server was brought back to an older state under its old name, or RESET MASTER was said. "
                    "Have it begin a log of another name (MariaDB: log_bin = NAME; PostgreSQL: a promotion), then back it up again"
                )
                return None
    return base
