"""A home on a disk that is full, or that takes no write: what only reads answers all the same, and what writes says the way out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.jobs.command_line import CommandLine
from tests.servers.small_disk import fill, read_only, small_disk

pytestmark = pytest.mark.slow

READING = (
    "status", "metrics", "backups", "show latest:data", "jobs", "source show data", "audit --verify", "config export", "schedule preview",
    "ls latest:data", "find a", "storage show main", "storage recovery-kit main", "doctor",
)  # fmt: skip
"""One verb at least for each way that a reading verb goes: the catalog, its notes, a repository with its index, the vault, the audit log."""


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[CommandLine]:
    """A home on a disk of its own with a backup that no status has seen yet."""
    with small_disk(tmp_path / "home", 2048):
        found = CommandLine(tmp_path)
        found.set_up()
        found.done("backup", "data")
        yield found


def _all_answer(line: CommandLine, why: str) -> list[str]:
    """Runs them all; the first lines of what each said on standard error."""
    said = []
    for verb in READING:
        ran = line.run(*verb.split())
        assert (ran.code, bool(ran.out)) == (4 if verb == "status" else 0, True), (verb, ran)
        assert ran.err.count("\n") <= 1, (verb, ran)
        said.append(ran.err)
        if verb == "status":
            assert "at risk  catalog: what is done cannot be written down" in ran.out
            assert why in ran.out
    return said


def test_what_only_reads_answers_on_a_full_disk_and_on_one_that_takes_no_write(cramped: CommandLine) -> None:
    """Whoever looks for the reason of a failure, or for a password, must not first have to make room."""
    before = [cramped.json(*each) for each in (("backups",), ("host", "list"))]
    fill(cramped.home / "rest")
    assert all("the disk is full" in each for each in _all_answer(cramped, "the disk is full"))
    failed = cramped.run("host", "add", "web", "--address", "web", "--no-connect", "--json")
    assert (failed.code, failed.error["hint"]) == (1, f"free some space on the disk of {cramped.home}")
    (cramped.home / "rest").unlink()
    with read_only(cramped.home):
        assert all("Read-only file system" in each for each in _all_answer(cramped, "Read-only file system"))
        assert [cramped.json(*each) for each in (("backups",), ("host", "list"))] == before


def test_what_another_process_wrote_last_is_seen_on_a_full_disk(cramped: CommandLine) -> None:
    """A catalog that a worker has open, or that was left by one that was killed, has its newest rows in its log."""
    with (
        closing(sqlite3.connect(cramped.home / "catalog.db")) as other,
        small_disk(cramped.directory / "left", 2048) as left,
    ):
        other.execute("SELECT count(*) FROM sources").fetchall()
        cramped.done("source", "add", "papers", "--kind", "files", "--path", str(cramped.data))
        fill(cramped.home / "rest")
        ran = cramped.run("status")
        assert (ran.code, "papers" in ran.out, ran.err.count("\n")) == (4, True, 1)
        assert "when a backup of each source was first seen is not noted" in ran.err
        for name in ("catalog.db", "catalog.db-wal"):
            (left / name).write_bytes((cramped.home / name).read_bytes())
        for name in ("cache", "logs"):
            (left / name).mkdir()
        fill(left / "rest")
        assert _sources(cramped, left) == ["data", "papers"]
        (left / "rest").unlink()
        with read_only(left):
            assert _sources(cramped, left) == ["data", "papers"]


def _sources(line: CommandLine, home: Path) -> list[str]:
    return [each["name"] for each in line.json("source", "list", "--home", str(home))["items"]]
