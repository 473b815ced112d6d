"""The command line's contract, by real processes: exit codes, JSON, refusals, and the loop of backup and restore."""

from __future__ import annotations

import datetime
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.command_line import PASSWORD, CommandLine

RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?([+-]\d{2}:\d{2}|Z)")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A home with a storage, a source and a backup, that tests only look at."""
    line = CommandLine(tmp_path_factory.mktemp("shared"))
    line.set_up()
    line.done("backup", "data", "--tag", "daily")
    return line


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """An empty home."""
    return CommandLine(tmp_path)


def everything_in(value: Any) -> list[tuple[str, Any]]:
    """All names and values of an object, however deep."""
    if isinstance(value, dict):
        return [pair for name, each in value.items() for pair in [(name, each), *everything_in(each)]]
    return [pair for each in value for pair in everything_in(each)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["backup", "nothing"], 2, "UnknownNameError"),
        (["backup", "data", "--to", "nowhere"], 2, "UnknownNameError"),
        (["backup", "data", "--colour"], 2, "UsageError"),
        (["backup"], 2, "UsageError"),
        (["backup", "--stdin", "x"], 2, "UsageError"),
        (["backup", "data", "--expires", "soon"], 2, "UsageError"),
        (["bakup"], 2, "UsageError"),
        (["show", "data"], 2, "UsageError"),
        (["show", "0zzzzzzz"], 2, "UnknownNameError"),
        (["backups", "--source", "nothing"], 2, "UnknownNameError"),
        (["backups", "--storage", "nothing"], 2, "UnknownNameError"),
        (["find", "a", "--source", "nothing"], 2, "UnknownNameError"),
        (["ls", "latest:nothing"], 2, "UnknownNameError"),
        (["ls", "latest:data", "/not/there"], 1, "PathMissingError"),
        (["dump", "latest:data", "/a"], 2, "UsageError"),
        (["restore", "latest:data"], 2, "UsageError"),
        (["restore", "--to", "x"], 2, "UsageError"),
        (["host", "test", "nothing"], 2, "UnknownNameError"),
        (
            ["source", "add", "x", "--kind", "files", "--path", "/x", "--host", "nothing"],
            2,
            "UnknownNameError",
        ),
        (["source", "add", "x", "--kind", "files"], 2, "ConfigurationError"),
        (["source", "add", "1x", "--kind", "files", "--path", "/x"], 2, "UsageError"),
        (["source", "add", "x", "--kind", "floppy", "--path", "/x"], 2, "UnknownNameError"),
        (["storage", "add", "x", "--kind", "local"], 2, "UsageError"),
        (["storage", "remove", "main"], 5, "RefusedError"),
        (["delete", "latest:data"], 5, "RefusedError"),
        (["forget", "--source", "data"], 2, "UsageError"),
        (["verify"], 2, "UsageError"),
        (["copy", "--all", "--from", "main", "--to", "main"], 2, "UsageError"),
        (["job", "show", "0zzz"], 2, "UnknownNameError"),
        (["vault", "set", "x", "plain-text-secret"], 2, "ConfigurationError"),
        (["vault", "set", "x"], 2, "UsageError"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_has_its_exit_code_one_sentence_and_no_traceback(
    shared: CommandLine, words: list[str], code: int, error: str
) -> None:
    """A script decides by the code, a person by the sentence."""
    ran = shared.run(*words, "--json")
    assert (ran.code, ran.error["error"], ran.out) == (code, error, "")
    assert ran.error["message"]
    assert len(ran.err.splitlines()) == 1
    assert "plain-text-secret" not in ran.err


def test_a_source_whose_path_is_missing_fails_and_names_it(line: CommandLine) -> None:
    """A backup of nothing must never look like one."""
    line.set_up()
    line.done("source", "add", "gone", "--kind", "files", "--path", str(line.directory / "gone"))
    ran = line.run("backup", "gone")
    assert ran.code == 1
    assert str(line.directory / "gone") in ran.err


def test_the_way_out_that_a_damaged_catalog_names_leads_out(line: CommandLine) -> None:
    """Whoever does as the hint says has lost something already; nothing is written over what may still be read."""
    line.set_up()
    line.done("backup", "data")
    catalog = line.home / "catalog.db"
    catalog.write_bytes(b"no database at all" * 1000)
    words = [
        "recover",
        "--storage-kind",
        "local",
        "--path",
        str(line.storage()),
        "--password",
        "env:PASSWORD_OF_MAIN",
    ]
    for ran in (line.run("status", "--json"), line.run(*words, "--json")):
        assert (ran.code, ran.error["error"]) == (1, "CatalogDamagedError")
        assert ran.error["hint"].startswith("move it aside")
    catalog.rename(line.home / "damaged")
    line.done(*words)
    assert [each["source"] for each in line.json("backups")["items"]] == ["data"]


def test_a_wrong_password_is_12_and_no_repository_is_10(line: CommandLine) -> None:
    """restic's numbers: scripts that know them go on working."""
    line.set_up()
    wrong = line.run("backup", "data", environment={"PASSWORD_OF_MAIN": "another-one"})
    assert (wrong.code, "another-one" in wrong.err) == (12, False)
    line.storage().rename(line.directory / "moved")
    line.storage().mkdir()
    assert line.run("backup", "data").code == 10


def test_opening_a_repository_needs_its_password(line: CommandLine) -> None:
    """A second home must not overwrite the first one's repository."""
    line.set_up()
    ran = line.run(
        "storage",
        "add",
        "again",
        "--kind",
        "local",
        "--path",
        str(line.storage()),
        "--password",
        "-",
        given=b"wrong\n",
    )
    assert ran.code == 12
    again = line.done(
        "storage",
        "add",
        "again",
        "--kind",
        "local",
        "--path",
        str(line.storage()),
        "--password",
        "-",
        given=f"{PASSWORD}\nrest".encode(),
    )
    assert "opened" in again.out


def test_a_made_password_is_shown_once_with_the_recovery_kit(line: CommandLine) -> None:
    """Who loses it loses every backup."""
    added = line.json("storage", "add", "main", "--kind", "local", "--path", str(line.storage()))
    assert len(added["password"]) >= 20
    assert added["password"] in added["recovery_kit"]
    shown = line.done("storage", "show", "main").out + line.done("storage", "list", "--json").out
    assert added["password"] not in shown + line.done("doctor").out + line.done("audit").out


def test_the_loop_gives_the_fields_that_scripts_read(line: CommandLine) -> None:
    """Names of fields are a promise."""
    line.set_up()
    backup = line.json("backup", "data")
    assert backup["status"] == "completed"
    one = backup["backups"][0]
    assert {
        "backup_id",
        "source",
        "started_at",
        "completed_at",
        "duration_s",
        "size_bytes",
        "added_bytes",
    } <= set(one)
    assert {"files_new", "files_changed", "files_unmodified", "storages", "warnings"} <= set(one)
    assert set(one["storages"][0]) == {"storage", "snapshot_id", "status", "error"}
    restored = line.json("restore", one["backup_id"][:8], "--to", str(line.directory / "out"))
    assert {"job_id", "status", "restored_files", "restored_bytes", "duration_s", "target"} <= set(restored)
    assert {"safety_backup_id", "warnings"} <= set(restored)
    back = Path(f"{line.directory}/out{line.data}")
    assert {each.name: each.read_bytes() for each in back.iterdir()} == {
        each.name: each.read_bytes() for each in line.data.iterdir()
    }
    verified = line.json("verify", "--storage", "main", "--read-data")
    assert {"job_id", "status", "storage", "packs_read", "bytes_read", "damaged"} <= set(verified)
    usage = line.json("storage", "usage", "main")
    assert {"storage", "used_bytes", "raw_bytes", "ratio", "free_bytes", "backups"} <= set(usage)


def test_a_listed_backup_has_the_fields_that_scripts_read(shared: CommandLine) -> None:
    """Names of fields are a promise."""
    (item,) = shared.json("backups", "--source", "data", "--tag", "daily", "--since", "1h ago")["items"]
    assert {
        "backup_id",
        "source",
        "host",
        "kind",
        "status",
        "created_at",
        "size_bytes",
        "added_bytes",
    } <= set(item)
    assert {"storages", "proof", "proven_at", "tags", "protected"} <= set(item)
    assert item["proof"] in {"taken", "readable", "verified", "drilled"}


@pytest.mark.parametrize(
    "words",
    [
        ["backups"],
        ["jobs"],
        ["show", "latest:data"],
        ["audit"],
        ["vault", "list"],
        ["ls", "latest:data", "-r"],
    ],
    ids=" ".join,
)
def test_times_have_an_offset_and_sizes_are_whole_bytes(shared: CommandLine, words: list[str]) -> None:
    """A time without a zone is a guess."""
    pairs = everything_in(shared.json(*words))
    for name, value in pairs:
        if name.endswith("_at") and value and name != "modified_at":
            assert RFC_3339.fullmatch(value), (name, value)
            assert datetime.datetime.fromisoformat(value).tzinfo is not None
        if name.endswith("_bytes"):
            assert value is None or isinstance(value, int)


def test_damage_is_found_named_and_told_by_4(line: CommandLine) -> None:
    """A storage that rots in silence is no backup."""
    line.set_up()
    line.done("backup", "data")
    pack = max(
        (each for each in (line.storage() / "data").rglob("*") if each.is_file()), key=lambda each: each.name
    )
    damaged = bytearray(pack.read_bytes())
    damaged[3] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(damaged)
    ran = line.run("verify", "--storage", "main", "--read-data", "--json")
    assert (ran.code, ran.result["status"]) == (4, "damaged")
    assert pack.name in {each["pack"] for each in ran.result["damaged"]}
    # Nobody else holds what is lost: a repair saves the rest, and says that damage stays.
    assert line.run("verify", "--storage", "main", "--repair").code == 4


def test_standard_input_becomes_a_backup_and_comes_back(line: CommandLine) -> None:
    """pg_dump | holdfast backup --stdin: the whole of many scripts."""
    line.set_up()
    content = os.urandom(300_000)
    line.done("backup", "--stdin", "shop.sql", "--as-source", "shop", given=content)
    ran = subprocess.run(
        line.words("dump", "latest:shop", "shop.sql"), env=line.environment(), capture_output=True, check=True
    )
    assert ran.stdout == content


def test_the_same_idempotency_key_is_one_job(line: CommandLine) -> None:
    """A script that is not sure whether it ran may run again."""
    line.set_up()
    first = line.json("backup", "data", "--idempotency-key", "monday")
    assert line.json("backup", "data", "--idempotency-key", "monday") == first
    assert len(line.json("backups")["items"]) == 1


def test_a_detached_job_is_done_by_a_worker_and_can_be_followed(line: CommandLine) -> None:
    """A job must outlive the shell that asked for it."""
    line.set_up()
    job = line.json("backup", "data", "--detach")
    followed = line.json("job", "follow", job["job_id"])
    assert followed["status"] == "completed"
    assert followed["result"]["backups"][0]["source"] == "data"
    assert "data" in line.done("job", "log", job["job_id"]).out


def test_forget_refuses_without_a_yes_and_says_why_it_keeps(line: CommandLine) -> None:
    """A policy with a mistake must not take the backups with it."""
    line.set_up()
    line.done("backup", "data")
    line.done("backup", "data")
    assert line.run("forget", "--keep-last", "1").code == 5
    assert len(line.json("backups")["items"]) == 2
    fates = line.json("forget", "--keep-last", "1", "--yes", "--prune")["fates"]
    assert sorted(each["kept"] for each in fates) == [False, True]
    assert all(each["reasons"] for each in fates)


def test_a_held_backup_is_not_deleted(line: CommandLine) -> None:
    """A hold is there for a reason, which is told."""
    line.set_up()
    line.done("backup", "data")
    line.done("hold", "latest:data", "--reason", "the court")
    ran = line.run("delete", "latest:data", "--yes")
    assert (ran.code, "the court" in ran.err) == (5, True)
    line.done("unprotect", "latest:data")
    line.done("delete", "latest:data", "--yes")
    assert line.json("backups")["items"] == []


def test_a_lost_home_is_rebuilt_from_the_repository(line: CommandLine) -> None:
    """The catalog is a convenience: the storage alone must do."""
    line.set_up()
    before = line.json("backup", "data")["backups"][0]["backup_id"]
    line.home.rename(line.directory / "lost")
    line.done(
        "recover",
        "--storage-kind",
        "local",
        "--path",
        str(line.storage()),
        "--password",
        "-",
        "--name",
        "main",
        given=PASSWORD.encode(),
    )
    assert [each["backup_id"] for each in line.json("backups")["items"]] == [before]
    line.done("restore", "latest:data", "--to", str(line.directory / "out"))


def test_a_hostile_name_never_reaches_the_terminal_raw(shared: CommandLine) -> None:
    """Whoever can name a file must not command the terminal of who lists it."""
    listed = shared.done("ls", "latest:data", "-r").out + shared.done("find", "b*").out
    assert "\x1b" not in listed
    assert "b\\x1b[31m" in listed


def test_a_path_that_is_no_utf_8_is_backed_up_and_read_back(line: CommandLine) -> None:
    """Old file systems hold such names, and their owners want them back."""
    line.set_up()
    folder = os.fsdecode(os.fsencode(line.directory) + b"/n\xff")
    Path(folder).mkdir()
    (Path(folder) / "f").write_text("content", encoding="ascii")
    line.done("source", "add", "odd", "--kind", "files", "--path", folder)
    line.done("backup", "odd")
    again = line.json("backup", "odd")["backups"][0]
    assert (again["files_new"], again["files_unmodified"]) == (0, 1)
    assert line.done("dump", "latest:odd", f"{folder}/f").out == "content"
    assert "n\\xff" in line.done("source", "list").out


def test_a_secret_on_standard_input_is_sealed_and_never_shown(line: CommandLine) -> None:
    """What was typed must not turn up in a list, a log or the audit."""
    line.done("vault", "set", "token", given=b"s3cr3t-of-mine\n")
    shown = "".join(line.done(*words, "--json").out for words in (("vault", "list"), ("audit",), ("doctor",)))
    assert "token" in shown
    assert "s3cr3t-of-mine" not in shown
    assert not any(b"s3cr3t-of-mine" in each.read_bytes() for each in line.home.rglob("*") if each.is_file())


def test_an_audit_log_that_was_edited_is_found_out(line: CommandLine) -> None:
    """Who did what must hold in court."""
    import sqlite3

    line.set_up()
    assert line.json("audit", "--verify")["status"] == "passed"
    with sqlite3.connect(line.home / "catalog.db") as catalog:
        (table,) = catalog.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE '%audit%' AND type = 'table'"
        ).fetchone()
        catalog.execute(f"UPDATE {table} SET record = replace(record, 'storage add', 'storage sub')")
    catalog.close()
    ran = line.run("audit", "--verify", "--json")
    assert (ran.code, ran.result["findings"][0]["kind"]) == (4, "edited")


def test_without_a_verb_and_without_a_terminal_the_usage_is_told(line: CommandLine) -> None:
    """A console cannot be opened in a pipe."""
    ran = line.run()
    assert (ran.code, ran.out) == (2, "")
    assert "usage" in ran.err


def test_the_home_is_for_its_owner_alone(shared: CommandLine) -> None:
    """The vault's key lies in there."""
    assert shared.home.stat().st_mode & 0o777 == 0o700
    assert (shared.home / "vault.key").stat().st_mode & 0o077 == 0
