"""The audit log says who did what, and whether anybody touched it since."""

from __future__ import annotations

import dataclasses
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.audit import Actor, Anchor, AuditLog, Entry, decode_anchor, decode_entry, encode_anchor
from engine.catalog.catalog import Catalog
from engine.errors import DamagedError
from engine.vault import KeyFile, Vault
from tests.fakes.clock import START, FakeClock
from tests.servers.tools import PROJECT

ROOT = Actor("root", 0, "eve", "eve", "198.51.100.7", "/dev/pts/3")


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    """An open, empty catalog."""
    async with Catalog.open(tmp_path / "catalog.db", FakeClock()) as opened:
        yield opened


@pytest.fixture
def log(catalog: Catalog, tmp_path: Path) -> AuditLog:
    """An empty log."""
    vault = Vault(catalog.secrets, KeyFile(tmp_path / "vault.key"))
    return AuditLog(catalog.audit_rows, vault, FakeClock())


async def _change(catalog: Catalog, sql: str) -> None:
    await catalog._database.fetch_sql(sql, {})


async def test_an_entry_is_given_back_as_it_was_written(log: AuditLog) -> None:
    """Years later somebody asks who deleted the backup."""
    first = await log.append(ROOT, "delete", "backup 3f9c", "done")
    second = await log.append(ROOT, "restore", "file \udcff", "refused", "in place needs --yes")
    assert await log.newest() == [second, first]
    assert (first.sequence, second.sequence, first.at) == (1, 2, START)


async def test_a_whole_log_is_found_whole(log: AuditLog) -> None:
    """A false alarm teaches people to ignore alarms."""
    assert await log.verify([await log.anchor()]) == []
    anchors = []
    for number in range(5):
        await log.append(ROOT, "backup", f"source {number}", "done")
        anchors.append(await log.anchor())
    assert await log.verify(anchors) == []


async def test_many_entries_are_written_at_once_and_chained_as_one_by_one(log: AuditLog) -> None:
    """Five hundred hosts out of a file take no five hundred writes, and none of them may be taken out unseen."""
    first = await log.append(ROOT, "config apply", "fleet.toml", "done")
    hosts = [Entry(START, ROOT, "host add", f"web-{number}", "done") for number in range(3)]
    written = await log.append_all(hosts)
    last = await log.append(ROOT, "backup", "site", "done")
    assert [each.sequence for each in (first, *written, last)] == [1, 2, 3, 4, 5]
    assert await log.newest() == [last, *reversed(written), first]
    assert await log.append_all([]) == []
    assert await log.verify([await log.anchor()]) == []


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ("UPDATE audit SET record = replace(record, 'eve', 'bob') WHERE sequence = 3", {"edited"}),
        ("DELETE FROM audit WHERE sequence = 3", {"deleted"}),
        ("DELETE FROM audit WHERE sequence <= 2", {"deleted"}),
        (
            "UPDATE audit SET sequence = sequence + 1000 WHERE sequence > 2",
            {"deleted", "edited", "rewritten"},
        ),
        ("DELETE FROM audit WHERE sequence > 3", {"cut"}),
        ("DELETE FROM audit", {"cut"}),
        ("DELETE FROM secrets", {"edited"}),
    ],
    ids=["edit", "delete", "delete the first", "gap", "cut", "cut all", "another key"],
)
async def test_what_was_done_to_the_log_is_found(
    log: AuditLog, catalog: Catalog, sql: str, kinds: set[str]
) -> None:
    """Whoever hides a deed has to touch the log."""
    for number in range(5):
        await log.append(ROOT, "backup", f"source {number}", "done")
    anchor = await log.anchor()
    await _change(catalog, sql)
    assert {finding.kind for finding in await log.verify([anchor])} == kinds


async def test_a_log_written_anew_with_the_true_key_is_found_by_its_anchor(
    log: AuditLog, catalog: Catalog
) -> None:
    """Root has the key and can forge every row; the storages remember."""
    for number in range(5):
        await log.append(ROOT, "backup", f"source {number}", "done")
    anchor = await log.anchor()
    await _change(catalog, "DELETE FROM audit")
    for number in range(7):
        await log.append(dataclasses.replace(ROOT, login="bob"), "backup", f"source {number}", "done")
    assert await log.verify() == []
    [finding] = await log.verify([anchor])
    assert (finding.kind, finding.sequence) == ("rewritten", 5)


@pytest.mark.parametrize("sequence", [0, 5])
def test_an_anchor_is_read_back_from_its_document(sequence: int) -> None:
    """It lies in a storage for years."""
    anchor = Anchor(sequence, b"\x07" * 32 if sequence else b"", START)
    assert decode_anchor(encode_anchor(anchor)) == anchor


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        encode_anchor(Anchor(1, b"short", START)),
        encode_anchor(Anchor(1, b"\x07" * 32, START)).replace(b'"version": 1', b'"version": 2'),
        encode_anchor(Anchor(1, b"\x07" * 32, START.replace(tzinfo=None))),
    ],
    ids=["empty", "list", "object", "binary", "short", "newer", "no zone"],
)
def test_what_is_no_anchor_is_refused(document: bytes) -> None:
    """A file of somebody else's must not count as proof."""
    with pytest.raises(DamagedError, match="that is no anchor"):
        decode_anchor(document)


async def test_a_damaged_record_is_one_sentence(log: AuditLog, catalog: Catalog) -> None:
    """A damaged log still says which row it is."""
    await log.append(ROOT, "backup", "db", "done")
    await _change(catalog, "UPDATE audit SET record = '{}'")
    [row] = await catalog.audit_rows.newest(1)
    with pytest.raises(DamagedError, match="row 1 of the audit log is damaged"):
        decode_entry(row)


def test_an_actor_is_whom_the_system_names() -> None:
    """Behind sudo stands a person, and the person came from somewhere."""
    actor = Actor.current({"SUDO_USER": "eve", "SSH_CONNECTION": "198.51.100.7 50022 192.0.2.1 22"})
    assert (actor.uid, actor.sudo_user, actor.address) == (os.getuid(), "eve", "198.51.100.7")


def test_an_actor_s_terminal_is_named() -> None:
    """Two people share a login; their terminals tell them apart."""
    leader, follower = pty.openpty()
    said = subprocess.run(
        [sys.executable, "-c", "from engine.audit import Actor; print(Actor.current({}).terminal)"],
        stdin=follower,
        stdout=subprocess.PIPE,
        cwd=PROJECT,
        check=True,
        text=True,
    ).stdout
    expected = os.ttyname(follower)
    os.close(leader)
    os.close(follower)
    assert said == expected + "\n"
