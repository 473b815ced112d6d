"""The program itself, as a person or a script runs it: words in, JSON and exit codes out, signals in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers.nasty_tree import make_nasty_tree
from tests.servers.restic import PASSWORD, Restic, ResticProgram
from tests.servers.sshd import Sshd
from tests.servers.tools import PROJECT, require_root
from tests.servers.tree_compare import differences

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Program:
    """holdfast with a home of its own."""

    directory: Path

    @property
    def repository(self) -> Path:
        """The folder of the storage `near`."""
        return self.directory / "near"

    def start(self, *words: str, **more: Any) -> subprocess.Popen[bytes]:
        """Starts it; standard input is closed unless told otherwise."""
        command = [sys.executable, "-m", "engine", *words, "--home", str(self.directory / "home")]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen(command, cwd=PROJECT, **streams)

    def run(self, *words: str, expects: int = 0, **more: Any) -> bytes:
        """Runs it to its end; gives standard output, or standard error where it is to fail."""
        with self.start(*words, **more) as process:
            out, error = process.communicate(timeout=100)
        assert process.returncode == expects, (words, process.returncode, out[-2000:], error[-2000:])
        return error if expects not in (0, 3, 4) else out

    def json(self, *words: str, expects: int = 0) -> dict[str, Any]:
        """The result object."""
        lines = self.run(*words, "--json", expects=expects).splitlines()
        result: dict[str, Any] = json.loads(lines[-1])
        assert all(json.loads(line)["type"] == "progress" for line in lines[:-1])
        return result


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A fresh home with the default storage `near`."""
    (tmp_path / "password").write_text(PASSWORD, encoding="ascii")
    program = Program(tmp_path)
    reference = f"file:{tmp_path}/password"
    program.run(
        "storage",
        "add",
        "near",
        "--kind",
        "local",
        "--path",
        str(program.repository),
        "--password",
        reference,
    )
    return program


@pytest.fixture
def tree(program: Program) -> Path:
    """A small tree, source `tree`."""
    root = program.directory / "tree"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "one").write_bytes(b"one")
    (root / "two").write_bytes(b"two")
    program.run("source", "add", "tree", "--kind", "files", "--path", str(root))
    return root


def _restic(program: Program, restic: ResticProgram) -> Restic:
    return Restic(restic, program.repository, program.directory / "restic")


def test_the_nasty_tree_goes_over_ssh_and_back_by_words_alone(
    program: Program, sshd: Sshd, restic_newest: ResticProgram
) -> None:
    """What the README promises, typed."""
    require_root()
    root = program.directory / "nasty"
    make_nasty_tree(root)
    address = f"{sshd.user}@{sshd.address}:{sshd.port}"
    known = (
        "--identity",
        str(sshd.client_key),
        "--known-hosts",
        str(sshd.known_hosts),
        "--ssh-config",
        "none",
    )
    program.run("host", "add", "server", "--address", address, *known)
    program.run("source", "add", "nasty", "--kind", "files", "--host", "server", "--path", str(root))
    result = program.json("backup", "nasty")
    assert result["status"] == "completed"
    assert result["backups"][0]["warnings"] == []
    target = program.directory / "back"
    restored = program.json("restore", "latest:nasty", "--to", str(target))
    assert (restored["type"], restored["status"]) == ("result", "completed")
    assert differences(root, target / root.relative_to("/")) == []
    _restic(program, restic_newest).check()


def test_the_fields_that_scripts_read_are_there(program: Program, tree: Path) -> None:
    """Scripts break in silence where a field is renamed."""
    backup = program.json("backup", "tree", "--tag", "nightly")
    assert {"type", "schema_version", "job_id", "status", "backups"} <= backup.keys()
    one = backup["backups"][0]
    assert {
        *("backup_id", "source", "started_at", "completed_at", "duration_s", "size_bytes", "added_bytes"),
        *("files_new", "files_changed", "files_unmodified", "storages", "warnings"),
    } <= one.keys()
    assert one["storages"][0].keys() >= {"storage", "snapshot_id", "status", "error"}
    listed = program.json("backups", "--tag", "nightly")["items"][0]
    assert {
        *("backup_id", "source", "host", "kind", "status", "created_at", "size_bytes", "added_bytes"),
        *("storages", "proof", "proven_at", "tags", "protected"),
    } <= listed.keys()
    restored = program.json("restore", one["backup_id"], "--to", str(program.directory / "back"))
    assert {
        *("job_id", "status", "restored_files", "restored_bytes", "duration_s", "target"),
        *("safety_backup_id", "warnings"),
    } <= restored.keys()
    verified = program.json("verify", "--storage", "near", "--read-data")
    assert {"job_id", "status", "storage", "packs_read", "bytes_read", "damaged"} <= verified.keys()
    usage = program.json("storage", "usage", "near")
    assert {"storage", "used_bytes", "raw_bytes", "ratio", "free_bytes", "backups"} <= usage.keys()


def test_every_kind_of_end_has_its_exit_code(program: Program, tree: Path) -> None:
    """Monitoring looks at nothing else."""
    program.run("backup", "tree")
    program.run("backup", expects=2)
    program.run("backup", "no-such-source", expects=2)
    program.run("source", "add", "none", "--kind", "files", "--path", str(tree / "none"))
    program.run("backup", "none", expects=1)
    program.run("backup", "none", "tree", expects=3)
    program.run("protect", "latest:tree")
    program.run("delete", "latest:tree", "--yes", expects=5)
    for pack in (program.repository / "data").glob("*/*"):
        pack.chmod(0o600)
        pack.write_bytes(bytes([pack.read_bytes()[0] ^ 1]) + pack.read_bytes()[1:])
    program.run("verify", "--storage", "near", "--read-data", expects=4)
    (program.directory / "password").write_text("wrong", encoding="ascii")
    program.run("backup", "tree", expects=12)
    program.repository.rename(program.directory / "elsewhere")
    program.run("backup", "tree", expects=10)


def test_an_error_is_one_object_on_standard_error(program: Program, tree: Path) -> None:
    """What scripts read on standard output must stay clean."""
    error = json.loads(program.run("backup", "treee", "--json", expects=2))
    assert error.keys() == {"type", "error", "message", "hint"}
    assert (error["type"], error["error"]) == ("error", "UnknownNameError")
    assert "tree" in error["hint"]


def test_a_pipe_is_kept_and_given_back(program: Program) -> None:
    """`pg_dump | holdfast backup --stdin` is how most databases are backed up."""
    content = bytes(range(256)) * 4000
    given = program.directory / "given"
    given.write_bytes(content)
    with given.open("rb") as stream:
        program.run("backup", "--stdin", "shop.sql", "--as-source", "shop", stdin=stream)
    assert program.run("dump", "latest:shop", "/shop.sql") == content


def test_a_reader_that_goes_away_ends_a_dump_quietly(program: Program) -> None:
    """`holdfast dump ... | head` is no error."""
    given = program.directory / "given"
    given.write_bytes(os.urandom(8 << 20))
    with given.open("rb") as stream:
        program.run("backup", "--stdin", "big", "--as-source", "big", stdin=stream)
    with program.start("dump", "latest:big", "/big") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(10)) == 10
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) in (0, 141)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
def test_a_backup_that_is_told_to_end_leaves_the_repository_as_it_was(
    program: Program, tree: Path, number: signal.Signals, restic_newest: ResticProgram
) -> None:
    """Machines are shut down at night, too."""
    with program.start("backup", "--stdin", "slow", "--as-source", "slow", stdin=subprocess.PIPE) as process:
        _wait_for_lock(program, process)
        process.send_signal(number)
        assert process.wait(60) == 130
    jobs = program.json("jobs")["items"]
    assert jobs[0]["status"] == "cancelled"
    restic = _restic(program, restic_newest)
    # The copy of the catalog is made before anything is read.
    backups = [each for each in restic.snapshots() if "holdfast:own" not in each["tags"]]
    assert (backups, restic.list_names("locks")) == ([], [])
    restic.check()


def test_what_a_killed_backup_left_is_named_and_removed(
    program: Program, tree: Path, restic_newest: ResticProgram
) -> None:
    """After a power cut somebody must say whether the lock that is left may go; here the process is proved dead."""
    program.run("backup", "tree")
    with program.start("backup", "--stdin", "slow", "--as-source", "slow", stdin=subprocess.PIPE) as process:
        _wait_for_lock(program, process)
        process.kill()
    program.run("backup", "tree")
    error = json.loads(program.run("prune", "near", "--json", expects=11))
    assert str(process.pid) in error["message"]
    assert "unlock" in error["hint"]
    program.run("storage", "unlock", "near")
    program.run("prune", "near")
    assert "interrupted" in {each["status"] for each in program.json("jobs")["items"]}
    _restic(program, restic_newest).check()


def test_a_terminal_that_closes_does_not_end_a_backup(program: Program) -> None:
    """Whoever started it over SSH may lose the connection."""
    with program.start("backup", "--stdin", "slow", "--as-source", "slow", stdin=subprocess.PIPE) as process:
        _wait_for_lock(program, process)
        process.send_signal(signal.SIGHUP)
        process.communicate(b"all the same", timeout=60)
    assert process.returncode == 0
    assert program.run("dump", "latest:slow", "/slow").endswith(b"all the same")


def _wait_for_lock(program: Program, process: subprocess.Popen[bytes]) -> None:
    """Gives the program input until its lock is there: then it is in the middle of its backup, and waits for more."""
    assert process.stdin is not None
    while not any((program.repository / "locks").iterdir()):
        process.stdin.write(b"some more\n")
        process.stdin.flush()
        assert process.poll() is None


def test_a_worker_does_what_was_handed_to_it(program: Program, tree: Path) -> None:
    """--detach is for jobs that outlive the session."""
    handed = program.json("backup", "tree", "--detach")
    last = program.run("job", "follow", handed["job_id"], "--json").splitlines()[-1]
    assert json.loads(last)["status"] == "completed"
    assert program.json("backups")["items"][0]["source"] == "tree"


def test_what_destroys_is_not_done_without_a_yes(program: Program, tree: Path) -> None:
    """A script that forgot the question must not answer it."""
    program.run("backup", "tree")
    program.run("delete", "latest:tree", expects=5)
    assert len(program.json("backups")["items"]) == 1
    program.run("delete", "latest:tree", "--yes")
    assert program.json("backups")["items"] == []


def test_a_lost_home_comes_back_from_the_repository(program: Program, tree: Path, tmp_path: Path) -> None:
    """The recovery kit says these words; they must do it."""
    program.run("backup", "tree")
    kit = program.run("storage", "recovery-kit", "near").decode()
    assert PASSWORD in kit
    (tmp_path / "home").rename(tmp_path / "burnt")
    reference = f"file:{tmp_path}/password"
    program.run(
        "recover", "--storage-kind", "local", "--path", str(program.repository), "--password", reference
    )
    target = program.directory / "back"
    program.run("restore", "latest:tree", "--to", str(target))
    assert differences(tree, target / tree.relative_to("/")) == []
    program.run("audit", "--verify")
