"""Stock restic, the judge of every repository that holdfast writes: Debian's own, and the newest that Debian offers for download."""

from __future__ import annotations

import atexit
import datetime
import fcntl
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from engine.format import key_file
from engine.format.ids import digest
from tests.servers.passwords import PASSWORD as PASSWORD
from tests.servers.tools import CACHE, find_tool, missing, require_tool


@dataclass(frozen=True, slots=True)
class ResticProgram:
    """A restic and its version."""

    version: str
    path: Path

    @property
    def number(self) -> tuple[int, ...]:
        """The version as numbers, to compare: (0, 14, 0)."""
        return tuple(int(part) for part in self.version.split(".") if part.isdigit())


@dataclass(frozen=True, slots=True)
class Restic:
    """One restic on one repository. `temporary` is its own folder for caches and temporary files."""

    program: ResticProgram
    repository: Path | str
    temporary: Path
    password: str = PASSWORD
    settings: dict[str, str] = field(default_factory=dict)
    """More environment."""

    def environment(self) -> dict[str, str]:
        """What restic is run with."""
        return {
            **os.environ,
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_PASSWORD": self.password,
            "RESTIC_CACHE_DIR": str(self.temporary / "restic-cache"),
            "TMPDIR": str(self.temporary),
            **self.settings,
        }

    def run(
        self,
        *words: str | Path,
        stdin: IO[bytes] | bytes | None = None,
        cwd: Path | None = None,
        is_checked: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs it without a cache. Raises AssertionError with what it said when it fails and `is_checked`."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        given: dict[str, Any] = (
            {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin or subprocess.DEVNULL}
        )
        command = [str(self.program.path), "--no-cache", *map(str, words)]
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, cwd=cwd, check=False, **given
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert not is_checked or done.returncode == 0, (
            f"restic {words} ended with {done.returncode}: {said[-4000:]}"
        )
        return done

    def json(self, *words: str | Path) -> Any:
        """What `--json` prints, where that is one value."""
        return json.loads(self.run(*words, "--json").stdout)

    def json_lines(self, *words: str | Path) -> list[dict[str, Any]]:
        """What `--json` prints, where that is one object a line."""
        return [json.loads(line) for line in self.run(*words, "--json").stdout.splitlines() if line]

    def init(self) -> None:
        """Makes the repository, of format version 2."""
        self.run("init", "--repository-version", "2")

    def begin(self) -> None:
        """Has a copy of a repository that this restic made once for all such tests, and whose key costs no work.

        With the key that restic makes, each command takes a third of a second of a core. All else is as `init` leaves it.
        """
        shutil.copytree(_made_once(self.program), self.repository)

    def backup(
        self, *words: str | Path, cwd: Path | None = None, stdin: IO[bytes] | bytes | None = None
    ) -> dict[str, Any]:
        """Backs up; gives the summary (files_new, files_changed, files_unmodified, data_added, snapshot_id ...)."""
        lines = self.run("backup", *words, "--json", cwd=cwd, stdin=stdin).stdout.splitlines()
        return next(
            found for line in reversed(lines) if (found := json.loads(line)).get("message_type") == "summary"
        )

    def check(self, *, read_data: bool = True) -> str:
        """Checks the repository; gives what restic said. Anything but a clean repository is an AssertionError."""
        done = self.run("check", *(["--read-data"] if read_data else []))
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert "no errors were found" in said, said
        return said

    def restore(self, snapshot: str, target: Path, *words: str | Path) -> None:
        """Restores a snapshot under `target`."""
        self.run("restore", snapshot, "--target", target, *words)

    def snapshots(self) -> list[dict[str, Any]]:
        """The snapshots, oldest first."""
        found: list[dict[str, Any]] = self.json("snapshots") or []
        return found

    def ls(self, snapshot: str, *words: str | Path) -> list[dict[str, Any]]:
        """The nodes of a snapshot."""
        return [line for line in self.json_lines("ls", snapshot, *words) if line.get("struct_type") == "node"]

    def dump(self, snapshot: str, path: str) -> bytes:
        """One file's bytes."""
        return self.run("dump", snapshot, path).stdout

    def stats(self, *words: str) -> dict[str, Any]:
        """What `restic stats` counts."""
        found: dict[str, Any] = self.json("stats", *words)
        return found

    def list_names(self, kind: str) -> list[str]:
        """The ids of packs, index, snapshots, keys, locks or blobs."""
        return self.run("list", kind, "--no-lock").stdout.decode().split("\n")[:-1]

    def cat(self, *words: str) -> bytes:
        """Decrypted bytes of an object: `cat("config")`, `cat("tree", "latest")`, `cat("blob", id)`."""
        return self.run("cat", *words, "--no-lock").stdout


@functools.cache
def _made_once(program: ResticProgram) -> Path:
    """A new repository, which goes when this process ends."""
    place = Path(tempfile.mkdtemp(prefix="hf-restic-", dir="/tmp"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    made = Restic(program, place / "repository", place / "temporary")
    made.init()
    (of_restic,) = (place / "repository" / "keys").iterdir()
    found = key_file.parse(of_restic.read_bytes())
    quick = key_file.create(
        PASSWORD.encode(),
        found.unlock(PASSWORD.encode()),
        username=found.username,
        hostname=found.hostname,
        created=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        salt=found.salt,
        n=16,
        r=1,
        p=1,
    )
    of_restic.with_name(digest(quick).hex()).write_bytes(quick)
    of_restic.unlink()
    return place / "repository"


def version_of(path: Path) -> str:
    """`0.14.0` out of `restic 0.14.0 compiled with go1.19.8 on linux/amd64`."""
    return subprocess.run([str(path), "version"], check=True, capture_output=True, text=True).stdout.split()[
        1
    ]


def fetch_newest() -> Path | None:
    """The newest restic that Debian offers, fetched once into the project's cache; None where it cannot be had."""
    folder = CACHE / "restic-newest"
    path = folder / "restic"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists() and find_tool("apt-get"):
            subprocess.run(
                [str(Path(__file__).with_name("fetch-restic")), str(folder)], check=False, capture_output=True
            )
    return path if path.exists() else None


def find_restics() -> list[ResticProgram]:
    """Debian's packaged restic and the newest, those of them that are there."""
    paths = (find_tool("restic"), fetch_newest())
    return [ResticProgram(version_of(path), path) for path in paths if path is not None]


@pytest.fixture(scope="session")
def restic_packaged() -> ResticProgram:
    """Debian's packaged restic (0.14 on Debian 12): the oldest reader that must be satisfied."""
    path = require_tool("restic")
    return ResticProgram(version_of(path), path)


@pytest.fixture(scope="session")
def restic_newest() -> ResticProgram:
    """The newest restic that Debian offers for download: the strictest reader."""
    path = fetch_newest()
    if path is None:
        missing("the newest restic could not be fetched with apt-get")
    assert path is not None
    return ResticProgram(version_of(path), path)


@pytest.fixture(scope="session")
def restics(restic_packaged: ResticProgram, restic_newest: ResticProgram) -> Sequence[ResticProgram]:
    """Both restics, the older first."""
    return (restic_packaged, restic_newest)


@pytest.fixture(params=["packaged", "newest"])
def restic_program(request: pytest.FixtureRequest) -> ResticProgram:
    """Runs the test once with each restic."""
    program: ResticProgram = request.getfixturevalue(f"restic_{request.param}")
    return program
