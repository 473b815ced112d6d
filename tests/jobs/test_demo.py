"""`holdfast demo`: the first thing that anybody runs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine import events
from engine.cli import demo
from engine.cli.demo import compare, tree
from engine.cli.demo.server import Server
from engine.cli.output import Output
from engine.errors import HoldfastError, UsageError
from tests.servers.restic import Restic, ResticProgram
from tests.servers.tools import require_tool

LIMIT_S = 30.0
"""What the demo may take, by its contract: of a processor here, for on a busy machine all takes longer."""


@dataclass(frozen=True, slots=True)
class _Done:
    code: int
    lines: list[str]

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo makes its folder when it is not told where."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


@pytest.fixture
def privilege_folder() -> None:
    """Made for good, so that the demo does not take it from the other servers of this session when it ends."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


def _demo(*words: str) -> _Done:
    command = [sys.executable, "-m", "engine", "demo", *words]
    done = subprocess.run(command, capture_output=True, check=False, timeout=100)
    assert done.stderr == b""
    return _Done(done.returncode, done.stdout.decode().splitlines())


@contextlib.contextmanager
def _no_process_is_left() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    gone, alive = psutil.wait_procs(set(psutil.Process().children(recursive=True)) - before, timeout=30)
    del gone
    assert [process.cmdline() for process in alive] == []


def _busy_s() -> float:
    """What all processes took that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _is_listened_to(port: int) -> bool:
    listening = [
        each.laddr.port for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN
    ]
    return port in listening


@pytest.mark.slow
@pytest.mark.usefixtures("privilege_folder")
def test_the_demo_does_the_whole_loop_and_leaves_nothing_behind(temporary: Path) -> None:
    """It is the first impression, and nobody wants to clean up after one."""
    require_tool("sshd")
    begun_s = _busy_s()
    done = _demo("--json")
    busy_s = _busy_s() - begun_s
    *steps, result = done.objects()
    assert [step["step"] for step in steps] == [
        "data",
        "server",
        "set-up",
        "first-backup",
        "change",
        "second-backup",
        "damage",
        "verify",
        "restore",
        "compare",
    ]
    assert (done.code, result["type"], result["status"]) == (0, "result", "completed")
    assert result["duration_s"] > 0
    assert busy_s < LIMIT_S
    assert list(temporary.iterdir()) == []
    assert not _is_listened_to(int(steps[1]["details"][0].rpartition(" ")[2]))
    assert not [each for each in psutil.process_iter(["cmdline"]) if _names(each, temporary)]


def _names(process: psutil.Process, folder: Path) -> bool:
    return any(str(folder) in word for word in process.info["cmdline"] or ())


@pytest.mark.slow
def test_without_openssh_the_server_runs_inside_the_process(temporary: Path) -> None:
    """A machine without an SSH server can still show everything; and what people read fits an ordinary terminal."""
    stream = _Stream()
    with _no_process_is_left():
        code = demo.run(None, Output(stream, is_json=False, environment={}), is_server_inside=True)
    said = stream.getvalue().decode()
    assert code == 0, said
    assert "inside this process" in said
    assert max(map(len, said.splitlines()[2:])) <= 80
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("privilege_folder")
def test_what_is_kept_opens_with_stock_restic(tmp_path: Path, restic_newest: ResticProgram) -> None:
    """The promise of the format, tried on the spot."""
    kept = tmp_path / "kept"
    result = _demo("--json", "--keep", str(kept)).objects()[-1]
    password = (kept / "password").read_text(encoding="ascii")
    restic = Restic(restic_newest, kept / "storages" / "first", tmp_path / "restic", password)
    restic.check()
    assert sum("holdfast:own" not in each["tags"] for each in restic.snapshots()) == 4
    words = result["commands"][-1].split()
    assert words[0] == "restic"
    subprocess.run([str(restic_newest.path), "--no-cache", *words[1:]], check=True, capture_output=True)
    source = kept / "data" / "tree"
    assert compare.differences(source, kept / "by-restic" / source.relative_to("/")) == []


@pytest.mark.slow
@pytest.mark.usefixtures("privilege_folder")
def test_a_server_that_dies_in_mid_dump_is_told_in_one_sentence(temporary: Path) -> None:
    """A demo that claims success whatever happens would prove nothing."""
    require_tool("sshd")
    killed: list[int] = []

    def kill(event: events.Event, server: Server) -> None:
        if isinstance(event, events.Progress) and "bank" in event.current and not killed:
            assert event.done_bytes > 0
            for process in (*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)):
                killed.append(process.pid)
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    with _no_process_is_left(), pytest.raises(HoldfastError) as caught:
        demo.run(None, Output(_Stream(), is_json=True, environment={}), listen=kill)
    assert killed
    assert caught.value.exit_code == 1
    assert caught.value.message.startswith("the demo ended in its step first-backup: ")
    assert "\n" not in caught.value.message
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("privilege_folder")
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda each: each.name
)
def test_a_demo_that_is_ended_leaves_no_process_behind(temporary: Path, number: signal.Signals) -> None:
    """A server that lets people in must not outlive the demo, however that ends; where it can it takes its files along too."""
    require_tool("sshd")
    command = [sys.executable, "-m", "engine", "demo", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        while json.loads(process.stdout.readline())["step"] != "set-up":
            pass
        below = psutil.Process(process.pid).children(recursive=True)
        assert {"sshd"} <= {each.name() for each in below}
        process.send_signal(number)
        process.communicate(timeout=30)
    _, alive = psutil.wait_procs(below, timeout=10)
    assert [each.name() for each in alive] == []
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert list(temporary.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_taken(tmp_path: Path) -> None:
    """The demo must never mix with, or delete, what is there."""
    (tmp_path / "precious").touch()
    with pytest.raises(UsageError, match="not empty"):
        demo.run(str(tmp_path), Output(_Stream(), is_json=True, environment={}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda root: (root / "names" / "new\nline").write_bytes(b"other"),
        lambda root: (root / "kinds" / "empty").chmod(0o640),
        lambda root: (root / "kinds" / "hard link").unlink(),
        lambda root: os.utime(root / "times" / "1960", ns=(0, 1)),
        lambda root: (root / "too much").touch(),
    ],
    ids=["content", "mode", "a file is missing", "time", "a file too much"],
)
def test_the_comparison_sees_what_is_not_the_same(tmp_path: Path, damage: Any) -> None:
    """The last step of the demo is worth as much as this."""
    first, second = tmp_path / "first", tmp_path / "second"
    tree.make(first)
    subprocess.run(["cp", "-a", str(first), str(second)], check=True)
    assert compare.differences(first, second) == []
    damage(second)
    assert compare.differences(first, second)


class _Stream(io.BytesIO):
    def isatty(self) -> bool:
        return False
