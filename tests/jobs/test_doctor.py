"""doctor: secrets and names planted everywhere, and none in what is printed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.jobs.command_line import CommandLine
from tests.jobs.test_verbs import Program, program

__all__ = ["program"]
pytestmark = pytest.mark.slow

SECRETS = {"vault": "v4ult-s3cr3t-planted", "file": "f1le-s3cr3t-planted", "unknown": "dsn-s3cr3t-planted"}
NAMES = (
    "ledger-host",
    "ledger-src",
    "ledger.internal.example",
    "carol",
    "payroll",
    "/srv/payroll",
    "10.9.8.7",
)


def test_a_report_says_what_is_wrong_and_nothing_of_whom(program: Program) -> None:
    """In job errors, logs, options and the vault: all of it goes, while kinds, counts and causes stay."""
    home = program.directory / "home"
    secret = program.directory / "pw"
    secret.write_text(SECRETS["file"])
    (program.directory / "v").write_text(SECRETS["vault"])
    with (program.directory / "v").open("rb") as given:
        program.run("vault", "set", "planted", stdin=given)
    said = f"ledger-src on 10.9.8.7: role 'carol' of payroll in /srv/payroll: {SECRETS['vault']} {SECRETS['file']} postgres://carol:{SECRETS['unknown']}@ledger.internal.example"
    with sqlite3.connect(home / "catalog.db") as database:
        database.execute(
            "INSERT INTO hosts VALUES ('ledger-host', 'ssh', 'carol@ledger.internal.example', '{}')"
        )
        options = json.dumps({"database": ["payroll"], "secret": f"file:{secret}"})
        database.execute(
            "INSERT INTO sources VALUES ('ledger-src', 'postgres', 'ledger-host', ?)", (options,)
        )
        database.execute(
            "INSERT INTO jobs (job_id, verb, request, status, created_at, idempotency_key, error, error_class) VALUES"
            " ('7aaa', 'backup', '{}', 'failed', 5, '', ?, 'SourceError')",
            (f"the dump failed: {said}",),
        )
    database.close()
    (home / "logs").mkdir(exist_ok=True)
    line = {"at": "2026-11-20T00:00:00+00:00", "level": "error", "logger": "holdfast.job", "process": 1, "message": f"it broke: {said}",
            "traceback": f'File "/usr/lib/carol/engine/jobs/backup.py", line 12, in run\n{said}'}  # fmt: skip
    (home / "logs" / "holdfast.jsonl").write_text("no json\n" + json.dumps(line) + "\n")
    (home / "vault.key").chmod(0o644)
    found = program.json("doctor")
    shown = json.dumps(found) + program.run("doctor").decode()
    assert [each for each in (*SECRETS.values(), *NAMES, str(program.directory)) if each in shown] == []
    assert found["errors"][0]["error"].startswith("the dump failed: <source 1> on <address>: role <name>")
    assert (found["errors"][0]["error_class"], found["jobs_by_status"]) == ("SourceError", {})
    assert found["log"][0]["where"] == "engine/jobs/backup.py:12"
    assert found["home"]["findings"] == ["vault_key is open to others: 0644"]
    assert (found["counts"]["sources"], found["source_kinds"], found["host_kinds"]) == (
        1,
        {"postgres": 1},
        {"ssh": 1},
    )
    assert found["catalog_findings"] == []
    assert found["catalog_version"] > 0
    assert [each["kind"] for each in found["storages"]] == ["local"]


def test_a_catalog_that_is_no_good_is_its_finding(tmp_path: Path) -> None:
    """Who looks for what is wrong gets that, with all that can still be known, and a script gets the code of damage."""
    line = CommandLine(tmp_path)
    line.done("host", "add", "web", "--address", "web.invalid", "--no-connect")
    line.done("source", "add", "data", "--kind", "files", "--path", "/srv", "--host", "web")
    catalog = line.home / "catalog.db"
    whole = catalog.read_bytes()
    for harm, said in (
        (lambda: None, ""),
        (lambda: catalog.write_bytes(b"garbage" * 1000), "is damaged: file is not a database"),
        (lambda: catalog.write_bytes(whole[:20_480]), "is damaged: database disk image is malformed"),
        (lambda: _execute(catalog, "PRAGMA user_version = 900"), "is of version 900"),
        (
            lambda: _execute(catalog, "INSERT INTO slots VALUES ('7aaa', 'host:web', NULL)"),
            "a row of slots belongs to no row of jobs",
        ),
    ):
        harm()
        ran = line.run("doctor", "--json")
        found = json.loads(ran.out)
        assert (ran.code, said in "".join(found["catalog_findings"])) == (4 if said else 0, True), ran
        assert found["home"]["modes"]["home"] == "0700"
        assert str(line.home) not in ran.out
        catalog.write_bytes(whole)


def _execute(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as database:
        for each in statements:
            database.execute(each)
    database.close()
