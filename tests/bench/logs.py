"""Point in time: whether shipping keeps up with pgbench at full speed and what it costs, and a base and a restore with its log beside pgBackRest.

The restores are of the same cluster and the same log, onto the same disk; how long the server itself replays, with all of the log beside it
and its files in place, is taken off both.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.sources.postgres.spool import archive_command
from tests.bench.measure import Run, RunFailedError, measure, run_quietly
from tests.bench.programs import Holdfast
from tests.bench.report import Figure
from tests.servers.postgres import Postgres, as_server, running_postgres
from tests.servers.tools import require_tool

SCALE = int(os.environ.get("HOLDFAST_BENCH_SCALE", "65"))
"""Of pgbench: 1 GB."""
LOG_BYTES = (1 << 30) * SCALE // 65
KEEPING_UP_S = int(os.environ.get("HOLDFAST_BENCH_SECONDS", "180"))
LAG_LIMIT_S = 10.0
LOST_LIMIT = 0.05
FLOOR = 1.2
"""How many times as fast as pgBackRest as Debian brings it, which compresses by gzip; told beside it is how it does with the quicker zstd.
It encrypts nothing, which we always do."""
COMPRESSIONS = {"gz": 1 / FLOOR, "zst": None}
_POLL_S = 5
_DATABASE = "bench"
_GROWTH = "update pgbench_accounts set abalance = abalance + 1 where aid between {} and {}"
_STEP_ROWS = 200_000
_RESTORING = ("open the base", "prepare a throwaway server", "restore the base and its log", "replay the log")
"""The steps of a drill that end with a server at the instant; the others look into it."""
_QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=4GB",
          "autovacuum=off", "archive_mode=off", "hot_standby=off", "listen_addresses=", "max_locks_per_transaction=256")  # fmt: skip
"""As a throwaway server of ours is started."""


def _pgbench(server: Postgres, *words: str) -> str:
    where = ("-h", str(server.directory), "-p", str(server.port), "-U", "postgres")
    return run_quietly(require_tool("pgbench"), *words, *where, _DATABASE).decode()


def _load(server: Postgres, seconds: int) -> float:
    """Transactions a second at full speed."""
    said = _pgbench(server, "-n", "-c", "4", "-j", "2", "-T", str(seconds))
    line = next(each for each in said.splitlines() if each.startswith("tps = "))
    return float(line.split()[2])


def _archive_by(server: Postgres, command: str) -> None:
    """From now on, and waits until nothing is left from before."""
    quoted = command.replace("'", "''")
    server.psql(f"alter system set archive_command = '{quoted}'")
    server.psql("select pg_reload_conf()")


def _settle(server: Postgres) -> None:
    """Closes the segment and waits until all that is whole was handed over."""
    server.psql("checkpoint")
    name = server.psql("select pg_walfile_name(pg_switch_wal())")
    while server.psql(f"select last_archived_wal >= '{name}' from pg_stat_archiver") != "t":
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class _Ours:
    """holdfast on a home in that room."""

    room: Path

    def words(self, *words: str) -> tuple[str, ...]:
        """A command line of it."""
        return Holdfast().words(self.room, *words)

    def prepare(self, server: Postgres) -> None:
        """The storage and the source."""
        Holdfast().prepare_home(self.room)
        where = ("--socket", str(server.directory), "--port", str(server.port), "--user", "postgres")
        spool = ("--physical", "--log-spool", str(server.spool))
        run_quietly(*self.words("source", "add", "shop", "--kind", "postgres", *where, *spool))

    def told(self, *words: str) -> Any:
        """What it prints as JSON, at its end."""
        return json.loads(run_quietly(*self.words(*words, "--json")).splitlines()[-1])

    def _looked_at(self) -> str:
        return str(self.told("logs", "show", "shop")["state"]["polled_at"])

    @contextlib.contextmanager
    def shipping(self) -> Iterator[None]:
        """Meanwhile it ships; what it costs to begin is not part of it."""
        before = self._looked_at()
        words = self.words("logs", "ship", "shop", "--follow", "1h", "--poll", f"{_POLL_S}s")
        with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
            try:
                while process.poll() is None and self._looked_at() == before:
                    time.sleep(0.1)
                yield
                if process.poll() is not None:
                    raise RunFailedError(f"shipping ended with {process.returncode}")
            finally:
                process.terminate()


def _keeping_up(server: Postgres, ours: _Ours) -> Iterator[Figure]:
    """Three minutes at full speed, and as long before and after with the log going nowhere: the tables grow meanwhile, and the server slower."""
    spool = archive_command(str(server.spool))
    idle = [_unshipped(server)]
    _archive_by(server, spool)
    server.psql("checkpoint")
    begun = server.psql("select pg_current_wal_lsn()")
    with ours.shipping():
        tps = _load(server, KEEPING_UP_S)
        ended = _seconds(server.psql("select clock_timestamp()"))
        reached = ours.told("logs", "show", "shop")["state"]
        lag_s = ended - _seconds(reached["covered_until"])
    grown = int(server.psql(f"select pg_wal_lsn_diff(pg_current_wal_lsn(), '{begun}')::bigint"))
    idle.append(_unshipped(server))
    yield Figure("shipping, pgbench at full speed: transactions a second", tps, "")
    yield Figure("shipping, pgbench at full speed: log", grown / KEEPING_UP_S / (1 << 20), "MiB/s")
    yield Figure(f"shipping, pgbench at full speed: lag after {KEEPING_UP_S} s", lag_s, "s", LAG_LIMIT_S)
    for name, each in zip(("before", "after"), idle, strict=True):
        yield Figure(f"without shipping, {name} it: transactions a second", each, "")
    yield Figure("shipping: transactions lost to it", 1 - tps / statistics.mean(idle), "", LOST_LIMIT)


def _unshipped(server: Postgres) -> float:
    """Transactions a second with the log going nowhere."""
    _archive_by(server, "true")
    server.psql("checkpoint")
    return _load(server, KEEPING_UP_S)


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True, slots=True)
class _PgBackRest:
    """pgBackRest with a local repository, as it comes but for two processes."""

    room: Path
    server: Postgres
    compress: str

    def prepare(self) -> None:
        """Its configuration and its stanza."""
        self.room.mkdir()
        os.chown(self.room, self.server.data.stat().st_uid, -1)
        paths = {each: self.room / each for each in ("repository", "lock", "log", "spool")}
        self.configuration.write_text(
            f"[global]\nrepo1-path={paths['repository']}\nlock-path={paths['lock']}\nlog-path={paths['log']}\nspool-path={paths['spool']}\n"
            f"process-max=2\ncompress-type={self.compress}\nstart-fast=y\nrepo1-retention-full=1\nlog-level-console=warn\nlog-level-file=off\n\n"
            f"[shop]\npg1-path={self.server.data}\npg1-port={self.server.port}\npg1-socket-path={self.server.directory}\npg1-user=postgres\n",
            encoding="ascii",
        )
        run_quietly(*self.words("stanza-create"))

    @property
    def configuration(self) -> Path:
        """Its file."""
        return self.room / "pgbackrest.conf"

    def words(self, *words: str) -> list[str]:
        """A command line of it, as the server's account."""
        return as_server(
            str(require_tool("pgbackrest")), f"--config={self.configuration}", "--stanza=shop", *words
        )

    @property
    def pushing(self) -> str:
        """As archive_command."""
        return f"pgbackrest --config={self.configuration} --stanza=shop archive-push %p"

    def fetching(self, data: Path) -> str:
        """As restore_command."""
        return f"pgbackrest --config={self.configuration} --stanza=shop --pg1-path={data} --archive-async archive-get %f %p"


def _recovered(server: Postgres, data: Path, restore_command: str) -> float:
    """How long a server on these files needs until it has replayed all that there is, in seconds."""
    with (data / "postgresql.auto.conf").open("w", encoding="ascii") as settings:
        settings.write(f"restore_command = '{restore_command}'\nrecovery_target_timeline = 'current'\n")
    (data / "recovery.signal").touch()
    for each in (data / "postgresql.auto.conf", data / "recovery.signal"):
        os.chown(each, data.stat().st_uid, -1)
    settings_ = [word for each in _QUICK for word in ("-c", each)]
    began = time.perf_counter()
    place = ("-D", str(data), "-k", str(data.parent), "-p", "5432")
    with subprocess.Popen(
        as_server(str(server.binaries / "postgres"), *place, *settings_),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    ) as process:
        ask = [str(server.binaries / "pg_isready"), "-q", "-h", str(data.parent), "-p", "5432"]
        while subprocess.run(ask, check=False).returncode:
            if process.poll() is not None:
                raise RunFailedError(f"the server on {data} ended with {process.returncode}")
            time.sleep(0.05)
        spent_s = time.perf_counter() - began
        process.terminate()
    return spent_s


def _rivals_restore(server: Postgres, rival: _PgBackRest, copies: Path) -> tuple[float, float]:
    """How long pgBackRest's restore takes with its log, and how long the server itself replays of that, in seconds."""
    spent: list[float] = []
    for is_own in (True, False):
        place = Path(tempfile.mkdtemp(prefix="hf-pgbr-", dir="/tmp"))
        try:
            place.chmod(0o755)
            os.chown(place, server.data.stat().st_uid, -1)
            data = place / "data"
            restoring = measure(Run((tuple(rival.words("restore", f"--pg1-path={data}")),))).wall_s
            command = rival.fetching(data) if is_own else f"ln -f {copies}/%f %p"
            spent.append(_recovered(server, data, command) + (restoring if is_own else 0.0))
        finally:
            shutil.rmtree(place, ignore_errors=True)
    return spent[0], spent[1]


def _grow(server: Postgres) -> None:
    """So much log."""
    begun = server.psql("select pg_current_wal_lsn()")
    first = 1
    while int(server.psql(f"select pg_wal_lsn_diff(pg_current_wal_lsn(), '{begun}')::bigint")) < LOG_BYTES:
        server.psql(_GROWTH.format(first, first + _STEP_ROWS - 1), _DATABASE)
        first = (first + _STEP_ROWS) % (SCALE * 100_000)


def _restoring(server: Postgres, ours: _Ours, room: Path) -> Iterator[Figure]:
    """A base of each, the same log to each, and a restore by each."""
    rivals = [_PgBackRest(room / f"pgbackrest-{each}", server, each) for each in COMPRESSIONS]
    copies = server.directory / "copies"
    # In a file: a line of the configuration is at most 1024 characters long once it is filled in.
    script = room / "archive-by-pgbackrest"
    lines = [
        f"mkdir -p {copies} && cp %p {copies}/%f",
        archive_command(str(server.spool)),
        *(each.pushing for each in rivals),
    ]
    text = "set -e\n" + "\n".join(lines) + "\n"
    script.write_text(text.replace("%p", "$1").replace("%f", "$2"), encoding="ascii")
    for each in rivals:
        each.prepare()
    _archive_by(server, f"sh {script} %p %f")
    _settle(server)
    size_gb = int(server.psql(f"select pg_database_size('{_DATABASE}')")) / 1e9
    mine_s = measure(Run((ours.words("backup", "shop"),))).wall_s
    for each in rivals:
        theirs_s = measure(Run((tuple(each.words("backup", "--type=full")),))).wall_s
        yield Figure(f"base backup: {each.compress} pgBackRest", theirs_s, "s")
        yield Figure(
            f"base backup: our time over pgBackRest's, {each.compress}",
            mine_s / theirs_s,
            "",
            COMPRESSIONS[each.compress],
        )
    yield Figure("base backup", mine_s / size_gb, "s per GB")
    _grow(server)
    _settle(server)
    shipped = measure(Run((ours.words("logs", "ship", "shop"),)))
    log_gb = ours.told("logs", "show", "shop")["size_bytes"] / 1e9
    yield Figure("logs shipped that waited", shipped.wall_s / log_gb, "s per GB")
    drilled = ours.told(
        "drill",
        "shop",
        "--level",
        "point-in-time",
        "--at",
        ours.told("logs", "show", "shop")["recoverable_to"],
    )
    mine = sum(each["duration_s"] for each in drilled["steps"] if each["step"] in _RESTORING)
    for each in rivals:
        theirs, replay_s = _rivals_restore(server, each, copies)
        yield Figure(f"restore with its log: the server's own replay, beside {each.compress}", replay_s, "s")
        yield Figure(f"restore with its log: {each.compress} pgBackRest", theirs, "s")
        ratio = (mine - replay_s) / (theirs - replay_s)
        yield Figure(
            f"restore with its log: our time over pgBackRest's, {each.compress}",
            ratio,
            "",
            COMPRESSIONS[each.compress],
        )
    yield Figure("restore with its log", mine, "s")
    yield Figure(
        "restore with its log: recovery time", mine / (size_gb + log_gb), "s per GB of cluster and log"
    )
    for step in drilled["steps"]:
        yield Figure(f"  {step['step']}", step["duration_s"], "s")


def shipping(place: Path) -> Iterator[Figure]:
    """Whether it keeps up, and what it costs."""
    with running_postgres(is_durable=True, is_archiving=True, settings="max_wal_size = 4GB\n") as server:
        server.psql(f"create database {_DATABASE}")
        _archive_by(server, "true")
        _pgbench(server, "-i", "-q", "-s", str(SCALE))
        _archive_by(server, archive_command(str(server.spool)))
        _settle(server)
        for each in server.spool.iterdir():
            each.unlink()
        ours = _Ours(place)
        ours.prepare(server)
        run_quietly(*ours.words("backup", "shop"))
        run_quietly(*ours.words("logs", "ship", "shop"))
        yield from _keeping_up(server, ours)


def restores(place: Path) -> Iterator[Figure]:
    """A base, and a restore with its log."""
    with running_postgres(is_durable=True, is_archiving=True, settings="max_wal_size = 4GB\n") as server:
        server.psql(f"create database {_DATABASE}")
        _archive_by(server, "true")
        _pgbench(server, "-i", "-q", "-s", str(SCALE))
        ours = _Ours(place)
        ours.prepare(server)
        yield from _restoring(server, ours, place)


def figures(place: Path) -> Iterator[Figure]:
    """All of it."""
    for name, part in (("shipping", shipping), ("restores", restores)):
        room = place / name
        room.mkdir()
        yield from part(room)
        shutil.rmtree(room)
