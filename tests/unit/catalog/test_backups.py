"""Backups are found as a person or script asks for them, newest first, in pages."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from engine.catalog.catalog import Catalog
from engine.catalog.proofs import Dropped
from engine.errors import UnknownNameError, UsageError
from engine.model.backup import Backup, BackupFilter, BackupStatus, Copy, Place, Proof, ProofRecord, Scope
from engine.model.definitions import Source
from tests.fakes.clock import START

HOUR = datetime.timedelta(hours=1)


def _snapshot(number: int, storage: str) -> str:
    return f"{number:08d}".encode().hex() * 3 + storage[:8].ljust(8).encode().hex()


def _backup(number: int, source: str = "files", storages: tuple[str, ...] = ("shelf",)) -> Backup:
    return Backup(
        f"{number:08d}",
        source,
        "web1",
        "incremental",
        BackupStatus.COMPLETED,
        START + number * HOUR,
        START + number * HOUR + HOUR / 2,
        1 << 40,
        1234,
        1,
        2,
        3,
        tuple(Copy(storage, _snapshot(number, storage)) for storage in storages),
    )


RICH = replace(
    _backup(1, storages=("cellar", "shelf")),
    warnings=("file b'\udcff' vanished", "tar fell back to SFTP"),
    tags=("nightly", "a b"),
    proof=Proof.VERIFIED,
    proven_at=START,
    is_protected=True,
    expires_at=START + 100 * HOUR,
    hold_reason="court order",
    job_id="7abc",
    scope=Scope.SCHEMA,
    proven_by="verify 7abd",
)


async def _ids(catalog: Catalog, chosen: BackupFilter | None = None, limit: int = 100) -> list[str]:
    return [each.backup_id.lstrip("0") for each in await catalog.backups.page(chosen, limit=limit)]


async def test_a_backup_is_given_back_as_it_was_written(catalog: Catalog) -> None:
    """A restore years later relies on every field."""
    await catalog.backups.add(RICH)
    assert await catalog.backups.get(RICH.backup_id) == RICH


async def test_a_backup_written_again_replaces_itself(catalog: Catalog) -> None:
    """A recovery that runs twice must not double anything."""
    await catalog.backups.add(RICH)
    changed = replace(RICH, tags=("weekly",), copies=RICH.copies[:1])
    await catalog.backups.add(changed)
    assert await catalog.backups.page() == [changed]
    assert await _ids(catalog, BackupFilter(tag="nightly")) == []


async def test_pages_follow_each_other_without_gap_or_repeat(catalog: Catalog) -> None:
    """Two backups of the same instant must not hide each other at the edge of a page."""
    same = [replace(_backup(number), created_at=START) for number in range(25)]
    await catalog.backups.add_many(same)
    seen: list[str] = []
    place: Place | None = None
    while page := await catalog.backups.page(limit=10, before=place):
        seen += [each.backup_id for each in page]
        place = Place(page[-1].created_at, page[-1].backup_id)
    assert seen == sorted((each.backup_id for each in same), reverse=True)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (BackupFilter(), ["6", "5", "4", "3", "2", "1"]),
        (BackupFilter(source="db"), ["6", "4", "2"]),
        (BackupFilter(storage="cellar"), ["6", "3"]),
        (BackupFilter(storage="cellar", source="db"), ["6"]),
        (BackupFilter(tag="even"), ["6", "4", "2"]),
        (BackupFilter(tag="even", storage="cellar"), ["6"]),
        (BackupFilter(status=BackupStatus.FAILED), ["5"]),
        (BackupFilter(host="elsewhere"), []),
        (BackupFilter(since=START + 3 * HOUR, until=START + 5 * HOUR), ["4", "3"]),
        (BackupFilter(tag="even", since=START + 3 * HOUR), ["6", "4"]),
        (BackupFilter(storage="shelf", until=START + 3 * HOUR), ["2", "1"]),
    ],
    ids=lambda value: "" if isinstance(value, list) else "filter",
)
async def test_a_filter_leaves_what_it_names(
    catalog: Catalog, chosen: BackupFilter, expected: list[str]
) -> None:
    """A person looks for one backup among thousands."""
    for number in range(1, 7):
        backup = _backup(
            number, "files" if number % 2 else "db", ("shelf", "cellar") if number % 3 == 0 else ("shelf",)
        )
        is_even = number % 2 == 0
        status = BackupStatus.FAILED if number == 5 else BackupStatus.COMPLETED
        await catalog.backups.add(replace(backup, tags=("even",) if is_even else (), status=status))
    assert await _ids(catalog, chosen) == expected


async def test_a_beginning_of_an_id_is_enough_where_it_fits_one(catalog: Catalog) -> None:
    """Nobody types sixteen letters."""
    await catalog.backups.add_many([_backup(10), _backup(11), _backup(20)])
    assert (await catalog.backups.find("0000002")).backup_id == "00000020"
    with pytest.raises(UsageError, match="several backups begin with 0000001: 00000010, 00000011"):
        await catalog.backups.find("0000001")
    with pytest.raises(UnknownNameError, match="there is no backup 9"):
        await catalog.backups.find("9")
    with pytest.raises(UsageError, match="'files' is no id of a backup"):
        await catalog.backups.find("files")


async def test_the_latest_of_a_source_is_its_newest_that_did_not_fail(catalog: Catalog) -> None:
    """A failed backup holds nothing to restore."""
    await catalog.backups.add_many(
        [_backup(1), _backup(2), replace(_backup(3), status=BackupStatus.FAILED), _backup(4, "db")]
    )
    assert (await catalog.backups.find("latest:files")).backup_id == "00000002"
    with pytest.raises(UnknownNameError, match="there is no source named nothing, nor a backup of one"):
        await catalog.backups.find("latest:nothing")


async def test_snapshots_lead_to_their_backups(catalog: Catalog) -> None:
    """Damage found in a repository is told in the person's words: which backups it touches."""
    await catalog.backups.add_many([_backup(number, storages=("shelf", "cellar")) for number in range(5)])
    asked = [_snapshot(3, "shelf"), _snapshot(1, "shelf"), _snapshot(2, "cellar"), "ff" * 32]
    assert await catalog.backups.by_snapshots("shelf", asked) == {
        _snapshot(3, "shelf"): "00000003",
        _snapshot(1, "shelf"): "00000001",
    }
    assert await catalog.backups.by_snapshots("shelf", []) == {}


async def test_a_backup_goes_with_its_last_copy(catalog: Catalog) -> None:
    """What is forgotten in one storage may still be restored from another."""
    await catalog.backups.add_many([_backup(1, storages=("shelf", "cellar")), _backup(2)])
    await catalog.backups.remove_copies("shelf", ["00000001", "00000002", "00000009"])
    assert [
        (each.backup_id, [copy.storage for copy in each.copies]) for each in await catalog.backups.page()
    ] == [("00000001", ["cellar"])]


async def test_a_copy_that_comes_later_is_shown(catalog: Catalog) -> None:
    """A copy job catches up a storage that was slow."""
    await catalog.backups.add(_backup(1))
    await catalog.backups.add_copy("00000001", Copy("cellar", _snapshot(1, "cellar")))
    assert await _ids(catalog, BackupFilter(storage="cellar")) == ["1"]
    assert await catalog.backups.count_by_storage() == {"shelf": 1, "cellar": 1}


async def test_what_was_said_of_a_backup_before_it_was_done_stands(catalog: Catalog) -> None:
    """It is shown as soon as one storage has it: who holds it then, or copies it on, must not lose that when the last one is done."""
    lacking = [Copy(name, "", BackupStatus.FAILED, "behind") for name in ("cellar", "far")]
    early = replace(_backup(1), status=BackupStatus.INCOMPLETE, copies=(*_backup(1).copies, *lacking))
    await catalog.backups.finish(early)
    await catalog.backups.protect("00000001", is_protected=True, hold_reason="audit")
    await catalog.backups.add_copy("00000001", Copy("cellar", _snapshot(1, "cellar")))
    dropped = [replace(each, error="too slow") for each in lacking]
    await catalog.backups.finish(replace(early, copies=(*_backup(1).copies, *dropped), added_bytes=7))
    found = await catalog.backups.get("00000001")
    assert (found.is_protected, found.added_bytes) == (True, 7)
    assert [copy.storage for copy in found.copies if copy.snapshot_id] == ["cellar", "shelf"]
    assert [copy.error for copy in found.copies if not copy.snapshot_id] == ["too slow"]


async def test_a_backup_lacks_nothing_when_its_last_copy_is_there(catalog: Catalog) -> None:
    """What was missed and is caught up is no risk any more, unless something of the source is missing."""
    lacking = Copy("far", "", BackupStatus.FAILED, "gone")
    for number in (1, 2):
        taken = replace(_backup(number), status=BackupStatus.INCOMPLETE)
        await catalog.backups.add(replace(taken, copies=(*taken.copies, lacking)))
        assert [each.backup_id for each in await catalog.backups.missing("far")] == [taken.backup_id]
        copy = Copy("far", _snapshot(number, "far"))
        await catalog.backups.add_copy(taken.backup_id, copy, is_whole=number == 1)
    statuses = [(await catalog.backups.get(f"0000000{number}")).status for number in (1, 2)]
    assert statuses == [BackupStatus.COMPLETED, BackupStatus.INCOMPLETE]
    assert await catalog.backups.missing("far") == []


async def test_a_proof_lifts_and_a_failure_brings_down(catalog: Catalog) -> None:
    """A backup that a drill could not restore is not to be trusted, whatever was proved before."""
    await catalog.backups.add(_backup(1))
    rungs = []
    for hour, (proof, is_passed) in enumerate(
        [(Proof.DRILLED, True), (Proof.READABLE, True), (Proof.VERIFIED, False)], 1
    ):
        at = START + hour * HOUR
        record = ProofRecord("00000001", "shelf", proof, at, is_passed, "7job", "why", f"verb{hour}")
        await catalog.backups.record_proof(record)
        backup = await catalog.backups.get("00000001")
        rungs.append((backup.proof, backup.proven_at, backup.proven_by))
    assert rungs == [
        (Proof.DRILLED, START + HOUR, "verb1 7job"),
        (Proof.DRILLED, START + HOUR, "verb1 7job"),
        (Proof.TAKEN, None, ""),
    ]
    assert (await catalog.backups.list_proofs("00000001"))[0] == record


async def test_protection_and_expiry_are_kept(catalog: Catalog) -> None:
    """A protected backup is what the next forget passes over."""
    await catalog.backups.add(_backup(1))
    await catalog.backups.protect("00000001", is_protected=True, hold_reason="audit")
    await catalog.backups.set_expiry("00000001", START)
    found = await catalog.backups.get("00000001")
    assert (found.is_protected, found.hold_reason, found.expires_at) == (True, "audit", START)
    with pytest.raises(UnknownNameError):
        await catalog.backups.protect("1nothere", is_protected=True)


async def test_a_removed_storage_takes_its_copies_along(catalog: Catalog) -> None:
    """A catalog that lists copies nobody can reach promises restores that fail."""
    from engine.model.definitions import Storage

    await catalog.storages.add(Storage("shelf", "local"))
    await catalog.backups.add_many([_backup(1, storages=("shelf", "cellar")), _backup(2)])
    await catalog.storages.remove("shelf")
    assert await _ids(catalog) == ["1"]


async def test_the_newest_of_each_source_is_found_at_once(catalog: Catalog) -> None:
    """The status of two thousand sources is one screen."""
    from engine.model.definitions import Source

    for name in ("db", "files", "idle"):
        await catalog.sources.add(Source(name, "files"))
    await catalog.backups.add_many([_backup(1), _backup(2), _backup(3, "db"), _backup(4, "gone")])
    newest = await catalog.backups.newest_of_each_source()
    assert [each.backup_id for each in newest] == ["00000003", "00000002"]


async def test_a_partial_backup_is_found_as_one_and_never_passes_for_the_latest(catalog: Catalog) -> None:
    """Who restores the latest must get everything, not the schema that somebody dumped at noon."""
    await catalog.backups.add_many([_backup(1), replace(_backup(2), scope=Scope.SCHEMA, kind="full")])
    assert await _ids(catalog, BackupFilter(scope=Scope.SCHEMA)) == ["2"]
    assert await _ids(catalog, BackupFilter(source="files", kind="incremental")) == ["1"]
    assert (await catalog.backups.latest("files")).backup_id == "00000001"
    await catalog.backups.add(replace(_backup(3, "db"), scope=Scope.ROLES))
    with pytest.raises(UnknownNameError, match="all of db") as caught:
        await catalog.backups.find("latest:db")
    assert "00000003" in str(caught.value.hint)


async def test_what_was_proved_of_a_partial_backup_proves_nothing_of_its_source(catalog: Catalog) -> None:
    """A schema that loads says nothing of the rows."""
    await catalog.backups.add(replace(_backup(1), scope=Scope.SCHEMA))
    await catalog.backups.record_proof(ProofRecord("00000001", "shelf", Proof.DRILLED, START, True))
    assert await catalog.standing.proofs(["files"]) == {}
    assert await catalog.standing.source_proofs() == {}
    assert len(await catalog.backups.list_proofs("00000001")) == 1


async def test_what_was_proved_of_a_source_outlives_the_backup_and_the_newest_of_all_are_read_at_once(
    catalog: Catalog,
) -> None:
    """Retention removes the backup that was rehearsed long before anybody forgets that it was."""
    await catalog.sources.add(Source("files", "files"))
    await catalog.backups.add_many([_backup(number) for number in (1, 2, 3)])
    for day, is_passed in ((1, True), (3, True), (2, False)):
        at = START + datetime.timedelta(days=day)
        await catalog.backups.record_proof(ProofRecord("00000001", "shelf", Proof.DRILLED, at, is_passed))
    await catalog.backups.remove("00000001")
    (found,) = (await catalog.standing.source_proofs("files")).values()
    assert [(each.at - START, each.is_passed) for each in found] == [
        (datetime.timedelta(days=3), True),
        (datetime.timedelta(days=2), False),
    ]
    at = START + datetime.timedelta(days=4)
    await catalog.backups.record_proof(ProofRecord("00000002", "shelf", Proof.VERIFIED, at, True))
    dropped = Dropped(at, "storage move", "5job", "it lies elsewhere")
    await catalog.proofs.drop("shelf", ["00000002"], dropped)
    assert (await catalog.standing.source_proofs("files"))["files"] == found
    newest = await catalog.backups.newest_of_sources(10, 1.5)
    assert (newest["files"].backup.backup_id, newest["files"].is_steady) == ("00000003", True)
    await catalog.backups.add(replace(_backup(4), size_bytes=_backup(3).size_bytes * 2))
    assert not (await catalog.backups.newest_of_sources(10, 1.5))["files"].is_steady
    assert (await catalog.backups.newest_of_sources(10, 2.0))["files"].is_steady
    first = await catalog.backups.first_of_sources(["files", "none"])
    assert first == {"files": _backup(2).created_at}
    last = (await catalog.backups.last_of_sources(["files", "none"], 2))["files"]
    assert [each.backup_id for each in last] == ["00000004", "00000003"]


async def test_what_a_source_s_first_backup_added_is_no_growth(catalog: Catalog) -> None:
    """A storage that was half filled on its first day would be told to be full on its third."""
    since = START - HOUR
    assert await catalog.backups.growth("shelf", since) == (0, None)
    added = ((1, "files", 5_000), (2, "mail", 3_000), (3, "files", 10), (5, "mail", 20), (9, "files", 30))
    for number, source, count in added:
        await catalog.backups.add(replace(_backup(number, source), added_bytes=count))
    await catalog.backups.add(replace(_backup(6, "files", ("cellar",)), added_bytes=700))
    assert await catalog.backups.growth("shelf", since) == (60, 8 * HOUR)
