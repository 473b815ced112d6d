"""pgbench's database: dumped over SSH into a repository and loaded again, beside PostgreSQL's own tools; and how much a second backup adds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import Run, run_quietly, size_bytes
from tests.bench.programs import Holdfast, Program, Task
from tests.bench.report import Figure
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.sshd import Sshd, running_sshd
from tests.servers.tools import require_tool

SCALE = 50
"""Of pgbench: 100,000 accounts each, 750 MB in all."""
ACCOUNTS = 100_000 * SCALE
GROWTH_LIMIT = 0.25
LOGIN = ("SetEnv HOME=/",)
"""So that no start-up file of the account's shell is measured, which each channel would run."""
_DATABASE = "bench"
_LOADED = "loaded"
_TRANSACTIONS = 10_000
_NEWEST = f"""
update pgbench_accounts set abalance = abalance + 1 where aid > {ACCOUNTS - ACCOUNTS // 20};
insert into pgbench_accounts select aid, 1, 0, '' from generate_series({ACCOUNTS + 1}, {ACCOUNTS + ACCOUNTS // 20}) aid;
"""
"""Changes the newest twentieth of the keys, and appends as many."""


@contextlib.contextmanager
def running(scale: float = 1.0) -> Iterator[Postgres]:
    """A server with pgbench's database, which writes as it comes from its maker: what it may lose is part of no figure."""
    with running_postgres(is_durable=True) as server:
        server.psql(f"create database {_DATABASE}")
        initialise = ("-i", "-q", "-s", str(max(1, round(SCALE * scale))))
        run_quietly(require_tool("pgbench"), *initialise, *_where(server), _DATABASE)
        server.psql("checkpoint")
        yield server


def _where(server: Postgres) -> tuple[str, ...]:
    return ("-h", str(server.directory), "-p", str(server.port), "-U", "postgres")


def _forget_loaded(server: Postgres) -> None:
    server.psql(f"drop database if exists {_LOADED}")
    server.psql("checkpoint")


@dataclass(frozen=True, slots=True)
class HoldfastDatabase:
    """Ours: a source of kind postgres, on a host over SSH."""

    server: Postgres
    host: Sshd
    name: str = "holdfast"

    def prepare(self, room: Path, task: Task) -> None:
        """A home with the storage, the host and the source."""
        program = Holdfast(self.host)
        program.prepare_home(room)
        options = ("--socket", str(self.server.directory), "--port", str(self.server.port))
        source = ("--kind", "postgres", "--database", _DATABASE, "--user", "postgres", *options)
        run_quietly(*program.words(room, "source", "add", "data", "--host", "there", *source))
        run_quietly(*program.words(room, "source", "add", "here", *source))

    def run(self, room: Path, task: Task) -> Run | None:
        """The verbs of a step."""
        words: tuple[str, ...] = ("backup", "data", "--to", "bench")
        if task.step.startswith("load-database"):
            _forget_loaded(self.server)
            words = ("restore", "latest:data", "--into", _LOADED)
            if task.step == "load-database":
                words = (*words, "--on", "here")
        return Run((Holdfast(self.host).words(room, *words),))

    def repository(self, room: Path) -> Path | None:
        """The storage's folder."""
        return room / "repository"


@dataclass(frozen=True, slots=True)
class PlainTools:
    """`ssh host pg_dump -Fc -Z0`, thrown away, and pg_restore of such an archive: from a file on the server's own machine, and through ssh."""

    server: Postgres
    host: Sshd
    name: str = "plain tools"

    def prepare(self, room: Path, task: Task) -> None:
        """The archive that is loaded."""
        words = (*_where(self.server), "-Fc", "-Z0", "-f", str(room / "archive"), _DATABASE)
        run_quietly(require_tool("pg_dump"), *words)

    def run(self, room: Path, task: Task) -> Run | None:
        """One command each."""
        if task.step.startswith("load-database"):
            _forget_loaded(self.server)
            self.server.psql(f"create database {_LOADED}")
            words: tuple[str, ...] = ("pg_restore", *_where(self.server), "-d", _LOADED)
            if task.step == "load-database":
                return Run(((*words, str(room / "archive")),))
            return Run((("cat", str(room / "archive")), tuple(self.host.ssh(*words))))
        return Run((tuple(self.host.ssh("pg_dump", *_where(self.server), "-Fc", "-Z0", _DATABASE)),))

    def repository(self, room: Path) -> Path | None:
        """There is none."""
        return None


def programs(server: Postgres, host: Sshd) -> list[Program]:
    """Ours, and what it is held against."""
    return [HoldfastDatabase(server, host), PlainTools(server, host)]


def growth(place: Path) -> Iterator[Figure]:
    """What a second backup adds, over what the first one did: after changes to the newest keys, and after pgbench's own load."""
    with running() as server, running_sshd(extra=LOGIN) as host:
        program, task = HoldfastDatabase(server, host), Task("backup-database", place)
        program.prepare(place, task)
        first = _added(program, place, task)
        server.psql(_NEWEST, _DATABASE)
        newest = _added(program, place, task) / first
        yield Figure("pgbench, newest keys changed: added over the first backup", newest, "", GROWTH_LIMIT)
        load = ("-n", "-c", "2", "-t", str(_TRANSACTIONS // 2))
        run_quietly(require_tool("pgbench"), *load, *_where(server), _DATABASE)
        everywhere = _added(program, place, task) / first
        yield Figure(f"pgbench, {_TRANSACTIONS} of its own transactions: added over the first backup", everywhere, "")  # fmt: skip


def _added(program: HoldfastDatabase, room: Path, task: Task) -> int:
    before = size_bytes(program.repository(room)) or 0
    run = program.run(room, task)
    assert run is not None
    run_quietly(*run.stages[0])
    return (size_bytes(program.repository(room)) or 0) - before
