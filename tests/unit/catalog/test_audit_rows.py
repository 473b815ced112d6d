"""Old rows of the audit log take a fifth of the room and are the rows that they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import audit
from engine.catalog import audit_rows
from engine.catalog.audit_rows import ChainRow, pack, unpack
from engine.catalog.catalog import Catalog
from engine.errors import CatalogDamagedError
from engine.vault import KeyFile, Vault
from tests.fakes.clock import FakeClock

_EVE = audit.Actor("eve", 7)
_HASHES = st.binary(min_size=32, max_size=32)


@given(
    st.lists(st.tuples(st.text().filter(lambda text: "\n" not in text), _HASHES), min_size=1), st.booleans()
)
def test_a_block_gives_back_the_very_rows(rows: list[tuple[str, bytes]], is_first: bool) -> None:
    """What is not a block, the whole of it and nothing besides is refused; what it says wrongly breaks the chain."""
    previous, chain = b"" if is_first else b"\x07" * 32, []
    for number, (record, digest) in enumerate(rows):
        chain.append(ChainRow(number + 5, record, previous, digest))
        previous = digest
    packed = pack(chain)
    assert packed is not None
    assert unpack(5, 4 + len(rows), packed) == chain
    for wrong in (
        packed[:-1],
        b"\x02" + packed[1:],
        packed[:1],
        packed + b"\0",
        packed + packed,
        packed + b"\xff" * 20,
    ):
        with pytest.raises(CatalogDamagedError, match="rows 5 to"):
            unpack(5, 4 + len(rows), wrong)


@pytest.mark.parametrize(
    "changes",
    [{"sequence": 9}, {"previous": b"\x01" * 32}, {"record": "{}\n{}"}, {"hash": b"short"}],
    ids=lambda changes: next(iter(changes)),
)
def test_rows_that_were_touched_are_never_packed(changes: dict[str, object]) -> None:
    """Packing must not make whole what somebody broke."""
    rows = audit.join(b"key", (0, b""), _entry(), [ChainRow(1, "{}", b"", b"")])
    assert pack(rows) is not None
    assert pack([rows[0], rows[1]._replace(**changes)]) is None  # type: ignore[arg-type]


def _entry() -> audit.Entry:
    return audit.Entry(FakeClock().now(), _EVE, "backup", "db", "done")


async def _filled(
    catalog: Catalog, folder: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> audit.AuditLog:
    monkeypatch.setattr(audit_rows, "BLOCK_ROWS", 4)
    log = audit.AuditLog(catalog.audit_rows, Vault(catalog.secrets, KeyFile(folder / "key")), FakeClock())
    for number in range(count):
        await log.append(_EVE, "drill" if number % 5 == 0 else "backup", f"source {number}", "done")
    return log


async def test_a_log_is_read_and_proved_across_its_blocks(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks must not see that it was packed."""
    log = await _filled(catalog, tmp_path, monkeypatch, 18)
    kept = "SELECT (SELECT count(*) FROM audit), (SELECT count(*) FROM audit_blocks)"
    assert await catalog._database.fetch_sql(kept, {}) == [(6, 3)]
    assert await log.verify([await log.anchor()]) == []
    assert [row.sequence for row in await log.rows()] == [*range(1, 19)]
    assert [each.sequence async for each in log.drills()] == [1, 6, 11, 16]
    for limit in (3, 6, 7, 12, 18, 30, -1):
        found = [each.sequence for each in await log.newest(limit)]
        assert found == [*range(18, 0, -1)][: limit if limit > 0 else None]


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ("DELETE FROM audit_blocks WHERE last = 8", {"deleted"}),
        ("UPDATE audit_blocks SET packed = x'00' WHERE last = 8", {"deleted"}),
        ("UPDATE audit_blocks SET packed = (SELECT packed FROM audit_blocks WHERE last = 4) WHERE last = 8", {"edited"}),
        ("INSERT INTO audit SELECT 2, record, previous, hash FROM audit LIMIT 1", {"deleted", "edited"}),
        ("DELETE FROM audit", {"cut"}),
    ],
    ids=["block removed", "block damaged", "block put in place of another", "row added", "newest cut"],
)  # fmt: skip
async def test_what_was_done_to_a_packed_log_is_found(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str, kinds: set[str]
) -> None:
    """Old deeds are hidden as new ones are."""
    log = await _filled(catalog, tmp_path, monkeypatch, 18)
    anchor = await log.anchor()
    await catalog._database.fetch_sql(sql, {})
    assert {finding.kind for finding in await log.verify([anchor])} == kinds


async def test_a_log_of_an_older_catalog_is_packed_as_it_grows(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written down before an upgrade holds after it, and the upgrade need not wait for a million rows."""
    vault = Vault(catalog.secrets, KeyFile(tmp_path / "key"))
    key = (await vault.own(audit.KEY_NAME)).reveal()
    rows = audit.join(key, (0, b""), _entry(), [ChainRow(1, audit.encode_entry(_entry()), b"", b"")] * 12)
    async with catalog._database.transaction() as transaction:
        await transaction.execute_many("add_audit_record", [row._asdict() for row in rows])
    log = await _filled(catalog, tmp_path, monkeypatch, 2)
    assert await catalog._database.fetch_sql("SELECT first, last FROM audit_blocks", {}) == [(1, 4), (5, 8)]
    assert await log.verify([await log.anchor()]) == []
    assert len(await log.newest(-1)) == 15
