"""The command line among other processes: signals, pipes that close, terminals, and jobs beside each other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.command_line import PASSWORD, TIMEOUT_S, CommandLine
from tests.jobs.terminal import Terminal


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """A home with a storage and a source."""
    line = CommandLine(tmp_path)
    line.set_up()
    return line


@contextlib.contextmanager
def endless_backup(line: CommandLine) -> Iterator[subprocess.Popen[bytes]]:
    """A backup of standard input that has begun to read, and gets no more: it runs until it is ended."""
    words = ("backup", "--stdin", "x", "--as-source", "endless", "--json")
    with line.start(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x" * 1000)
        process.stdin.flush()
        assert b"progress" in process.stdout.readline()
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def end(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Waits for the end without giving input; exit code and standard error."""
    assert process.stderr is not None
    err = process.stderr.read().decode()
    return process.wait(TIMEOUT_S), err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_job_cleanly(line: CommandLine, number: signal.Signals) -> None:
    """systemctl stop and Ctrl-C must leave no lock, and a row that says what happened."""
    with endless_backup(line) as process:
        process.send_signal(number)
        code, err = end(process)
    assert (code, "Traceback" in err) == (130, False)
    assert line.json("jobs")["items"][0]["status"] == "cancelled"
    assert list((line.storage() / "locks").iterdir()) == []
    line.done("backup", "data")


def test_a_lost_terminal_does_not_end_a_job(line: CommandLine) -> None:
    """An SSH session that drops must not take the backup with it."""
    with endless_backup(line) as process:
        process.send_signal(signal.SIGHUP)
        assert process.stdin is not None
        process.stdin.close()
        code, _ = end(process)
    assert code == 0
    assert line.json("backups", "--source", "endless")["items"][0]["size_bytes"] == 1000


def test_a_job_goes_on_when_nobody_reads_it(line: CommandLine) -> None:
    """`holdfast backup | head -1` is a backup all the same."""
    with endless_backup(line) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.close()
        code, err = end(process)
    assert (code, err) == (0, "")


def test_a_cancel_from_another_process_ends_the_job(line: CommandLine) -> None:
    """The console must be able to end what cron began."""
    with endless_backup(line) as process:
        job = line.json("jobs", "--status", "running")["items"][0]["job_id"]
        line.done("job", "cancel", job)
        code, _ = end(process)
    assert code == 130
    assert line.run("job", "follow", job).code == 130


def test_a_second_backup_of_the_same_source_names_the_first(line: CommandLine) -> None:
    """Two at once would do the work twice; who asks is told where to look."""
    with endless_backup(line):
        job = line.json("jobs", "--status", "running")["items"][0]["job_id"]
        ran = line.run("backup", "--stdin", "x", "--as-source", "endless", given=b"more")
    assert (ran.code, job in ran.err) == (6, True)


def test_a_prune_finds_the_repository_locked_by_a_backup(line: CommandLine) -> None:
    """It would delete what the backup is about to name."""
    with endless_backup(line):
        ran = line.run("prune", "main")
    assert ran.code == 11
    line.done("storage", "unlock", "main")
    line.done("prune", "main")


def test_a_dead_process_is_told_and_its_lock_is_removed(line: CommandLine) -> None:
    """After a crash nobody should have to guess whether a lock may go."""
    with endless_backup(line) as process:
        process.kill()
        process.wait(TIMEOUT_S)
    assert line.json("jobs")["items"][0]["status"] == "interrupted"
    removed = line.json("storage", "unlock", "main")["removed"]
    assert {each["verdict"] for each in removed} <= {"dead"}
    line.done("prune", "main")


def test_a_timeout_ends_a_job(line: CommandLine) -> None:
    """A dump that hangs must not hang for ever."""
    reading, writing = os.pipe()
    with line.start(
        "backup", "--stdin", "x", "--as-source", "y", "--timeout", "1", stdin=reading, stderr=subprocess.PIPE
    ) as process:
        code, err = end(process)
    os.close(reading)
    os.close(writing)
    assert (code, "longer than 1 seconds" in err) == (1, True)


def test_a_dump_into_a_closed_pipe_ends_quietly(line: CommandLine) -> None:
    """`holdfast dump | head -c 100` is no failure."""
    line.done("backup", "--stdin", "big", "--as-source", "big", given=os.urandom(3_000_000))
    with line.start("dump", "latest:big", "big", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(100)
        process.stdout.close()
        assert end(process) == (0, "")


def test_a_dump_that_nobody_reads_can_be_ended(line: CommandLine) -> None:
    """A reader that hangs must not make the writer deaf to signals."""
    line.done("backup", "--stdin", "big", "--as-source", "big", given=os.urandom(3_000_000))
    with line.start("dump", "latest:big", "big", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.terminate()
        code, _ = end(process)
    assert code == 130


def test_a_listing_into_a_closed_pipe_ends_quietly(line: CommandLine) -> None:
    """`holdfast backups | true` is no failure."""
    line.done("backup", "data")
    reading, writing = os.pipe()
    os.close(reading)
    with line.start("ls", "latest:data", "-r", stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        assert end(process) == (0, "")


def test_a_listing_onto_a_full_disk_fails(line: CommandLine) -> None:
    """A list that was cut off must not look whole."""
    line.done("backup", "data")
    with (
        Path("/dev/full").open("wb") as full,
        line.start("backups", stdout=full, stderr=subprocess.PIPE) as process,
    ):
        code, err = end(process)
    assert (code, "No space left" in err) == (1, True)


def test_closed_descriptors_do_not_become_the_catalog(line: CommandLine) -> None:
    """A daemon that closes everything would write its messages into the catalog."""
    command = " ".join((*line.words("backup", "data"), "<&-", ">&-", "2>&-"))
    assert (
        subprocess.run(
            ["sh", "-c", command], env=line.environment(), check=False, timeout=TIMEOUT_S
        ).returncode
        == 0
    )
    assert line.json("doctor")["catalog_findings"] == []


def test_a_typed_password_is_not_shown(line: CommandLine) -> None:
    """Somebody may look over the shoulder."""
    path = str(line.directory / "typed")
    terminal = Terminal(line, "storage", "add", "typed", "--kind", "local", "--path", path, "--password", "-")
    terminal.wait_for("password: ")
    terminal.type(f"{PASSWORD}\n")
    assert terminal.end() == 0
    assert PASSWORD.encode() not in terminal.shown
    assert b"created" in terminal.shown


def test_ctrl_c_at_a_password_gives_the_terminal_back(line: CommandLine) -> None:
    """A shell without echo is a broken shell."""
    terminal = Terminal(line, "vault", "set", "x")
    terminal.wait_for("secret: ")
    terminal.type("abc\x03")
    assert terminal.end() == 130
    assert b"Traceback" not in terminal.shown


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 0), ("\n", 5, 1), ("\x03", 130, 1)])
def test_a_person_is_asked_before_a_backup_is_deleted(
    line: CommandLine, answer: str, code: int, left: int
) -> None:
    """One mistyped id is one backup too few."""
    line.done("backup", "data")
    terminal = Terminal(line, "delete", "latest:data")
    terminal.wait_for("[y/N] ")
    terminal.type(answer)
    assert terminal.end() == code
    assert len(line.json("backups")["items"]) == left


def test_a_terminal_gets_a_bar_that_is_cleared(line: CommandLine) -> None:
    """Whoever waits sees that something moves, and what stays is the result."""
    (line.data / "big").write_bytes(os.urandom(70_000_000))
    terminal = Terminal(line, "backup", "data", "--limit-upload", "30000")
    assert terminal.end() == 0
    assert b"MiB/s" in terminal.shown
    last = terminal.shown.rpartition(b"\r\x1b[K")[2]
    assert last.startswith(b"data: ")
    assert all(len(each) < 100 for each in terminal.shown.split(b"\r\x1b[K")[:-1])


@pytest.mark.parametrize(
    ("environment", "is_coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=str,
)
def test_colours_are_for_terminals_that_want_them(
    line: CommandLine, environment: dict[str, str], *, is_coloured: bool
) -> None:
    """NO_COLOR is honoured, and a pipe gets plain text."""
    line.done("backup", "data")
    terminal = Terminal(line, "backups", **environment)
    assert terminal.end() == 0
    assert (b"\x1b[" in terminal.shown) == is_coloured
    assert "\x1b" not in line.done("backups").out


def test_the_version_is_told_before_anything_is_loaded(line: CommandLine) -> None:
    """Scripts ask for it often: of Python's own it takes hardly more than a program that does nothing, of ours a handful of files."""
    version = line.words("--version")
    shown = "print(*sys.modules, file=sys.stderr)"
    script = f"import sys, atexit; atexit.register(lambda: {shown}); from engine.cli.main import main; sys.argv = ['holdfast', '--version']; main()"

    def loaded(script: str) -> set[str]:
        done = subprocess.run(
            [version[0], "-c", script], env=line.environment(), check=True, capture_output=True
        )
        return set(done.stderr.decode().split())

    more = loaded(script) - loaded(f"import sys; {shown}")
    assert "engine.cli.main" in more
    assert len(more) <= 10, sorted(more)
