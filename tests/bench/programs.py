"""What each program is called with: the one place that knows the command lines of holdfast, restic, borg, rsync and find."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.bench.measure import Run, run_quietly
from tests.servers import borg
from tests.servers.sshd import Sshd
from tests.servers.tools import PROJECT, require_tool

PASSWORD = "correct horse battery staple"
STREAM = "stream.sql"
"""What a stream's file is called in a backup."""
HOLDFAST = PROJECT / ".venv" / "bin" / "holdfast"


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of a program: the step's name, and the data that it is about."""

    step: str
    """`backup-stream`, `backup-tree`, `dump`, `restore`, `check`, `copy` or `list`."""
    data: Path
    """The stream's file or the tree's folder, also for a dump or restore of it."""
    target: Path = Path()
    """Where a restore or copy goes: a folder that is not there yet."""


class Program(Protocol):
    """One program on a repository of its own."""

    @property
    def name(self) -> str:
        """The column of the table."""
        ...

    def prepare(self, room: Path, task: Task) -> None:
        """Makes a fresh repository in the empty folder `room`; not measured."""
        ...

    def run(self, room: Path, task: Task) -> Run | None:
        """The command lines for a step; None where the program has no such thing."""
        ...

    def repository(self, room: Path) -> Path | None:
        """The folder whose size counts."""
        ...


def _cat(path: Path) -> tuple[str, ...]:
    return ("cat", str(path))


@dataclass(frozen=True, slots=True)
class Holdfast:
    """Ours, through the command line that people use; with `server`, the data is fetched from there; with `store`, the repository lies there."""

    server: Sshd | None = None
    name: str = "holdfast"
    store: Sshd | None = None

    def words(self, room: Path, *words: str) -> tuple[str, ...]:
        """A command line of it."""
        return (str(HOLDFAST), "--home", str(room / "home"), *words)

    def prepare_home(self, room: Path) -> tuple[str, ...]:
        """A home with the storage, and the host where there is one; gives the words that name it."""
        secret = room / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        secret.chmod(0o600)
        host = self.server or self.store
        if host is not None:
            login = f"{host.user}@{host.address}:{host.port}"
            keys = ("--identity", str(host.client_key), "--known-hosts", str(host.known_hosts))
            run_quietly(*self.words(room, "host", "add", "there", "--address", login, *keys))
        kind = ("local",) if self.store is None else ("sftp", "--host", "there")
        place = ("--path", str(room / "repository"), "--password", f"file:{secret}")
        run_quietly(*self.words(room, "storage", "add", "bench", "--kind", *kind, *place))
        return () if self.server is None else ("--host", "there")

    def prepare(self, room: Path, task: Task) -> None:
        """A home with the storage, the source, and the host where there is one."""
        where = self.prepare_home(room)
        if task.data.is_dir():
            run_quietly(
                *self.words(
                    room, "source", "add", "data", "--kind", "files", "--path", str(task.data), *where
                )
            )
        elif where:
            command = ("--run", f"cat {task.data}", "--filename", STREAM)
            run_quietly(*self.words(room, "source", "add", "data", "--kind", "command", *where, *command))

    def run(self, room: Path, task: Task) -> Run | None:
        """The verbs of a step."""
        if task.step == "backup-stream" and self.server is None:
            words = self.words(room, "backup", "--stdin", STREAM, "--as-source", "data", "--to", "bench")
            return Run((_cat(task.data), words), feeders=1)
        verbs = {
            "backup-stream": ("backup", "data", "--to", "bench"),
            "backup-tree": ("backup", "data", "--to", "bench"),
            "dump": ("dump", "latest:data", f"/{STREAM}"),
            "restore": ("restore", "latest:data", "--to", str(task.target)),
            "check": ("verify", "--storage", "bench", "--read-data"),
        }
        return Run((self.words(room, *verbs[task.step]),)) if task.step in verbs else None

    def repository(self, room: Path) -> Path | None:
        """The storage's folder."""
        return room / "repository"


@dataclass(frozen=True, slots=True)
class StockRestic:
    """A restic, with its cache and its temporary files in the room; with `server`, the stream comes through OpenSSH's client; with
    `store`, the repository lies there, and is reached by that client too."""

    path: Path
    name: str
    server: Sshd | None = None
    store: Sshd | None = None

    def _words(self) -> tuple[str, ...]:
        if self.store is None:
            return (str(self.path), "--quiet")
        return (
            str(self.path),
            "--quiet",
            "-o",
            f"sftp.command={require_tool('ssh')} -F {self.store.ssh_config} here -s sftp",
        )

    def _environment(self, room: Path) -> Mapping[str, str]:
        (room / "temporary").mkdir(exist_ok=True)
        return {
            "RESTIC_REPOSITORY": f"{'' if self.store is None else 'sftp:here:'}{room / 'repository'}",
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": str(room / "cache"),
            "TMPDIR": str(room / "temporary"),
        }

    def prepare(self, room: Path, task: Task) -> None:
        """`restic init`."""
        run_quietly(*self._words(), "init", environment=self._environment(room))

    def run(self, room: Path, task: Task) -> Run | None:
        """The commands of a step."""
        words = self._words()
        environment = self._environment(room)
        if task.step == "backup-stream":
            feeder = _cat(task.data) if self.server is None else tuple(self.server.ssh(*_cat(task.data)))
            reader = (*words, "backup", "--stdin", "--stdin-filename", STREAM)
            return Run((feeder, reader), environment, feeders=1 if self.server is None else 0)
        commands = {
            "backup-tree": ("backup", str(task.data)),
            "dump": ("dump", "latest", f"/{STREAM}"),
            "restore": ("restore", "latest", "--target", str(task.target)),
            "check": ("check", "--read-data"),
        }
        if task.step not in commands or (self.server and task.step == "backup-tree"):
            return None
        return Run(((*words, *commands[task.step]),), environment)

    def repository(self, room: Path) -> Path | None:
        """The repository."""
        return room / "repository"


@dataclass(frozen=True, slots=True)
class Borg:
    """Debian's borg with zstd 3 and the encryption that is fastest where the CPU knows SHA-256."""

    path: Path
    name: str
    options: tuple[str, ...] = field(default=("--compression", "zstd,3"))

    def _environment(self, room: Path) -> Mapping[str, str]:
        return {**borg.environment(room / "base"), "TMPDIR": str(room)}

    def prepare(self, room: Path, task: Task) -> None:
        """`borg init`."""
        run_quietly(
            self.path,
            "init",
            "--encryption",
            "repokey",
            room / "repository",
            environment=self._environment(room),
        )

    def run(self, room: Path, task: Task) -> Run | None:
        """The commands of a step; archives are named by the time."""
        archive = f"{room / 'repository'}::{{now:%H%M%S%f}}"
        environment = self._environment(room)
        create = (str(self.path), "create", *self.options)
        if task.step == "backup-stream":
            return Run(
                (_cat(task.data), (*create, "--stdin-name", STREAM, archive, "-")),
                environment,
                feeders=1,
            )
        if task.step == "backup-tree":
            return Run(((*create, archive, str(task.data)),), environment)
        if task.step not in ("dump", "restore"):
            return None
        newest = (
            run_quietly(
                self.path, "list", "--short", "--last", "1", room / "repository", environment=environment
            )
            .decode()
            .strip()
        )
        words = (str(self.path), "extract", f"{room / 'repository'}::{newest}")
        if task.step == "dump":
            return Run(((*words, "--stdout"),), environment)
        task.target.mkdir()
        return Run((words,), environment, cwd=task.target)

    def repository(self, room: Path) -> Path | None:
        """The repository."""
        return room / "repository"


@dataclass(frozen=True, slots=True)
class Rsync:
    """`rsync -a` from the server, the plain copy that a first backup of many files is held against."""

    server: Sshd
    name: str = "rsync -a"

    def prepare(self, room: Path, task: Task) -> None:
        """Nothing to make."""

    def run(self, room: Path, task: Task) -> Run | None:
        """The copy; it serves as the first backup of a tree."""
        if task.step != "backup-tree":
            return None
        shell = f"{require_tool('ssh')} -F {self.server.ssh_config}"
        return Run(
            ((str(require_tool("rsync")), "-a", "-e", shell, f"here:{task.data}/", str(room / "copy")),)
        )

    def repository(self, room: Path) -> Path | None:
        """Not compared: a copy is no repository."""
        return None


@dataclass(frozen=True, slots=True)
class Find:
    """A bare `ssh host find`, the least that any look at a tree costs; `printf` adds what a backup must know of each file."""

    server: Sshd
    name: str = "find"
    printf: str = ""

    def prepare(self, room: Path, task: Task) -> None:
        """Nothing to make."""

    def run(self, room: Path, task: Task) -> Run | None:
        """The listing, thrown away."""
        if task.step != "backup-tree":
            return None
        words = ("find", str(task.data), *(("-printf", f"'{self.printf}'") if self.printf else ()))
        return Run((tuple(self.server.ssh(*words)),))

    def repository(self, room: Path) -> Path | None:
        """There is none."""
        return None


@dataclass(frozen=True, slots=True)
class Pass:
    """`python3 -c pass` with this very interpreter: what any Python program costs."""

    name: str = "python3 -c pass"

    def words(self) -> tuple[str, ...]:
        """Its command line."""
        return (sys.executable, "-c", "pass")
