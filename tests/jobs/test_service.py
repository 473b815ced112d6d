"""The worker as a service: installed, told of, and running as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.jobs.command_line import CommandLine

pytestmark = pytest.mark.slow

MOST_IDLE_SHARE = 0.01
MOST_IDLE_BYTES = 120 << 20
IDLE_S = 3.0


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """A home, and the program."""
    return CommandLine(tmp_path)


@contextmanager
def _service(line: CommandLine, hearing: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    name = "@" + f"holdfast-{os.getpid()}-{line.directory.name}"
    hearing.bind("\0" + name[1:])
    hearing.settimeout(30)
    given = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "400000", "CREDENTIALS_DIRECTORY": str(line.directory)}
    environment = line.environment(given)
    with subprocess.Popen(line.words("worker"), env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def _hear(hearing: socket.socket, wanted: bytes) -> None:
    while hearing.recv(1000) != wanted:
        pass


def _processor_s(pid: int) -> float:
    """Of all its threads: nanoseconds are the first field, where /proc/PID/stat has hundredths of a second."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text(encoding="ascii").split()[0]) for each in tasks) / 1e9


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_service_says_it_is_ready_runs_what_is_handed_over_idles_and_ends_well(line: CommandLine) -> None:
    """What systemd starts at boot, and nobody thinks of for a year."""
    line.set_up()
    line.done("vault", "set", "main", "env:PASSWORD_OF_MAIN")
    line.done("storage", "edit", "main", "--password", "vault:main")
    # As LoadCredential hands it over: from here on nobody but the service has the vault's key.
    (line.home / "vault.key").rename(line.directory / "holdfast-vault-key")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing, _service(line, hearing) as process:
        _hear(hearing, b"READY=1")
        job = line.json("backup", "data", "--detach", "--priority", "7", "--deadline", "2h")["job_id"]
        assert line.json("job", "follow", job)["status"] == "completed"
        shown = line.json("job", "show", job)
        assert (shown["priority"], shown["attempts"], shown["most_attempts"]) == (7, 1, 3)
        [worker] = line.json("service", "status")["workers"]
        assert f":{process.pid}:" in worker["owner"]
        assert f"\nworker process {process.pid} on " in line.done("service", "status").out
        _hear(hearing, b"STATUS=0 jobs run, 0 wait")
        _hear(hearing, b"WATCHDOG=1")
        before = _processor_s(process.pid)
        time.sleep(IDLE_S)
        share = (_processor_s(process.pid) - before) / IDLE_S
        resident = _resident_bytes(process.pid)
        print(f"idle: {share:.2%} of a core, {resident >> 20} MiB")  # noqa: T201 -- shown with -s
        assert (share < MOST_IDLE_SHARE, resident < MOST_IDLE_BYTES) == (True, True), (share, resident)
        process.send_signal(signal.SIGTERM)
        _hear(hearing, b"STOPPING=1")
        assert process.wait(30) == 0
    assert line.json("service", "status")["workers"] == []


def test_a_job_whose_worker_was_killed_is_followed_to_its_end_from_anywhere(line: CommandLine) -> None:
    """Whoever handed it over and went home finds it done, and not cut off."""
    line.set_up()
    (line.home / "config.toml").write_text("[worker]\nretry_s = 0\n", encoding="ascii")
    begun = line.directory / "begun"
    command = f"if test -e {begun}; then echo well; else touch {begun}; exec sleep 600; fi"
    line.done("source", "add", "slow", "--kind", "command", "--run", command, "--filename", "said")
    job = line.json("backup", "slow", "--detach")["job_id"]
    _until(begun.exists)
    [worker] = line.json("service", "status")["workers"]
    os.kill(int(worker["owner"].split(":")[2]), signal.SIGKILL)
    followed = line.json("job", "follow", job)
    assert (followed["status"], followed["attempts"]) == ("completed", 2)
    assert "ended without a word; attempt 2 of 3 follows" in line.done("job", "log", job).out
    assert line.json("storage", "show", "main").get("locks", []) == []


def _until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.05)


def test_the_service_is_installed_once_shown_before_it_changes_and_taken_away(line: CommandLine) -> None:
    """A unit that somebody changed by hand is not written over without a word."""
    own = {"XDG_CONFIG_HOME": str(line.directory / "config")}
    unit = line.directory / "config/systemd/user/holdfast-worker.service"

    def run(*words: str) -> tuple[int, str]:
        ran = line.run("service", *words, "--user", environment=own)
        return ran.code, ran.out + ran.err

    assert "ExecStart=" in run("install", "--print")[1]
    assert not unit.exists()
    assert run("install")[0] == 0
    written = unit.read_text()
    assert run("install") == (0, "nothing to change\n")
    unit.write_text(written.replace("Restart=always", "Restart=no"))
    code, told = run("install")
    assert (code, "-Restart=no\n+Restart=always\n" in told) == (5, True), told
    assert "Restart=no" in unit.read_text()
    assert "differs" in run("status")[1]
    assert run("install", "--yes")[0] == 0
    assert unit.read_text() == written
    assert run("install", "--timer", "--yes")[0] == 0
    assert sorted(each.name for each in unit.parent.iterdir()) == [
        "holdfast-tick.service",
        "holdfast-tick.timer",
    ]
    assert run("uninstall")[0] == 0
    assert list(unit.parent.iterdir()) == []
    assert run("uninstall") == (0, "nothing to change\n")
