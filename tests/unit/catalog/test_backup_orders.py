"""Backups in any order, as keys that are read a page at a time: what a list of a million is shown from."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from engine.catalog.catalog import Catalog
from engine.catalog.database import to_microseconds
from engine.model.backup import Backup, BackupFilter, BackupStatus, Copy, OrderBy, Ordered, Proof
from engine.model.definitions import LOCAL_HOST, Source
from tests.fakes.clock import START

PROOFS = (Proof.DRILLED, Proof.TAKEN, Proof.VERIFIED, Proof.READABLE)


def _backup(number: int) -> Backup:
    at = START + datetime.timedelta(hours=number)
    copies = (Copy("near", f"{number:064x}"),)
    backup = Backup(
        f"{number}", f"s{number % 2}", "web1", "full", BackupStatus.COMPLETED, at, at, 10 * number, 1, 1, 0, 0, copies
    )  # fmt: skip
    return replace(backup, proof=PROOFS[number % 4])


async def _ids(catalog: Catalog, order: Ordered) -> str:
    found = await catalog.backups.by_keys(order.keys(0, len(order)))
    return "".join(found[key].backup_id for key in order.keys(0, len(order)) if key in found)


@pytest.mark.parametrize(
    ("by", "is_falling", "expected"),
    [
        (OrderBy.CREATED, True, "543210"),
        (OrderBy.CREATED, False, "012345"),
        (OrderBy.SIZE, False, "012345"),
        (OrderBy.SOURCE, False, "420531"),
        (OrderBy.PROOF, False, "513240"),
    ],
)
async def test_backups_come_in_the_order_that_is_asked_for(
    catalog: Catalog, by: OrderBy, is_falling: bool, expected: str
) -> None:
    """A ladder is no alphabet, and what is equal comes newest first."""
    await catalog.backups.add_many(_backup(number) for number in range(6))
    assert await _ids(catalog, await catalog.backups.ordered(None, by, is_falling=is_falling)) == expected


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (BackupFilter(text="S1"), "531"),
        (BackupFilter(text="100%"), "2"),
        (BackupFilter(text="x_y"), ""),
        (BackupFilter(source="s0", proof=Proof.DRILLED), "40"),
        (BackupFilter(storage="near", is_kept=True), "2"),
        (BackupFilter(tag="nightly"), "2"),
    ],
    ids=str,
)
async def test_backups_are_found_by_what_a_row_says(
    catalog: Catalog, chosen: BackupFilter, expected: str
) -> None:
    """A percent sign is a letter like any other."""
    await catalog.backups.add_many(_backup(number) for number in range(6))
    await catalog.backups.add(replace(_backup(2), hold_reason="100% x-y", tags=("nightly",)))
    assert await _ids(catalog, await catalog.backups.ordered(chosen)) == expected


async def test_a_key_is_found_at_its_place_and_a_backup_that_went_is_left_out(catalog: Catalog) -> None:
    """The list is a moment old; the catalog is not."""
    await catalog.backups.add_many(_backup(number) for number in range(6))
    order = await catalog.backups.ordered()
    keys = order.keys(0, 6)
    assert [order.place_of(key) for key in keys] == list(range(6))
    assert order.place_of(99) is None
    assert order.place_of(keys[0] << 8) is None
    await catalog.backups.remove("4")
    assert await _ids(catalog, order) == "53210"


async def test_the_newest_are_found_without_sorting(catalog: Catalog) -> None:
    """A million by age: the index holds the whole answer."""
    sql = catalog.backups._sql("select_backup_keys", ["b.created_at >= :since"], ["b"], "b.created_at DESC, b.rowid DESC")  # fmt: skip
    values = {"since": to_microseconds(START), "limit": -1}
    plan = [row[3] for row in await catalog._database.fetch_sql("EXPLAIN QUERY PLAN " + sql, values)]
    assert plan == ["SEARCH b USING COVERING INDEX backups_by_time (created_at>?)"]


async def test_the_last_sizes_of_each_source_are_told_oldest_first(catalog: Catalog) -> None:
    """What stands behind the small plot beside each source: of what can be restored."""
    for name in ("s0", "s1", "s2"):
        await catalog.sources.add(Source(name, "files", LOCAL_HOST, {"path": ("/srv",)}))
    await catalog.backups.add_many(_backup(number) for number in range(8))
    await catalog.backups.add(replace(_backup(4), status=BackupStatus.FAILED))
    assert await catalog.standing.recent_sizes(3) == {"s0": [0, 20, 60], "s1": [30, 50, 70]}
