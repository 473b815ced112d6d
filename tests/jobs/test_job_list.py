"""jobs: paged, and chosen by verb, status and time."""

from __future__ import annotations

import sqlite3

import pytest

from tests.jobs.test_verbs import Program, program

__all__ = ["program"]
pytestmark = pytest.mark.slow


def test_jobs_are_paged_and_chosen_by_verb_status_and_time(program: Program) -> None:
    """A year of them is looked through a page at a time."""
    program.run("jobs")
    with sqlite3.connect(program.directory / "home" / "catalog.db") as database:
        day = 86_400_000_000
        rows = [
            (
                f"{number % 10}{number:04d}",
                ("backup", "drill")[number % 2],
                ("completed", "failed")[number % 3 == 0],
                number * day,
            )
            for number in range(1200)
        ]
        database.executemany(
            "INSERT INTO jobs (job_id, verb, request, status, created_at, idempotency_key) VALUES (?, ?, '{}', ?, ?, '')",
            rows,
        )
    database.close()

    def ids(*words: str) -> list[str]:
        return [each["job_id"] for each in program.json("jobs", *words)["items"]]

    newest = [row[0] for row in reversed(rows)]
    assert ids("--limit", "3") == newest[:3]
    assert ids("--limit", "3", "--before", newest[2]) == newest[3:6]
    assert ids("--all") == newest
    assert ids("--since", "1970-01-10 UTC", "--until", "1970-01-12 UTC") == ["00010", "90009"]
    chosen = [row[0] for row in reversed(rows) if row[1:3] == ("drill", "failed")]
    assert ids("--verb", "drill", "--status", "failed", "--limit", "400") == chosen
    assert f"--before {newest[49]} shows".encode() in program.run("jobs")
    assert b"there is no job 9zzz" in program.run("jobs", "--before", "9zzz", expects=2)
