"""The whole way by keys alone, in a terminal over SSH: from an empty home to a passed drill, which outlives the session that began it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.service import open_engine
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.sshd import Sshd
from tests.tui.tmux import Tmux, open_tmux
from tui.dialogs.base import DEAF_S

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def terminal(tmp_path: Path, sshd: Sshd, start_sshd: Callable[[], Sshd]) -> Iterator[Tmux]:
    """A terminal at whose other end, over SSH, the console is begun on a home that is not there yet; its user's key opens the host `sshd`."""
    keys = tmp_path / "user" / ".ssh"
    keys.mkdir(parents=True)
    shutil.copy(sshd.client_key, keys / "id_ed25519")
    environment = {
        "HOME": tmp_path / "user", "HOLDFAST_HOME": tmp_path / "home", "LC_ALL": "C.UTF-8", "PYTHONPATH": PROJECT,
    }  # fmt: skip
    words = [f"{name}={value}" for name, value in environment.items()]
    login = start_sshd().ssh("env", *words, sys.executable, "-m", "engine")
    with open_tmux([login[0], "-tt", *login[1:]]) as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server of this test's own, for all databases of it are backed up; `_gate` is in the way of whoever brings one of them back."""
    with running_postgres() as started:
        gate = _gate(started)
        gate.touch()
        started.psql("create database shop")
        started.psql(
            f"""
            create function public.waits(value int) returns int language plpgsql immutable as $$
            begin
              while pg_catalog.pg_stat_file('{gate}', true) is null loop perform pg_catalog.pg_sleep(0.02); end loop;
              return value;
            end $$;
            create table orders (id int primary key);
            insert into orders select generate_series(1, 1000);
            create index on orders (public.waits(id));
            """,
            "shop",
        )
        gate.unlink()
        yield started
        gate.touch()


def _gate(server: Postgres) -> Path:
    """A file without which no copy of the database can be made whole: an index of it waits for that file."""
    return server.directory / "gate"


def _read_the_question(terminal: Tmux, text: str) -> None:
    """A person reads what a dialog asks: it takes no key before that could be."""
    terminal.sees(text)
    time.sleep(DEAF_S * 1.1)


def _fill(terminal: Tmux, **values: object) -> None:
    """Types into fields of a form, over what stands there."""
    for field, value in values.items():
        _go_to_field(terminal, field.replace("_", "-"))
        terminal.press("C-u")
        terminal.type(str(value))
        terminal.sees(str(value)[-20:])


def _go_to_field(terminal: Tmux, label: str) -> None:
    """By enter, which goes on to the next, or up; the form says that it is in the third of its five fields as `3/5`."""
    rows = [line.strip("| ") for line in terminal.sees(f"| {label} ").splitlines()]
    number = next(index for index, row in enumerate(rows) if row.partition("  ")[0] == label) - 1
    while (place := terminal.finds(r"(\d+)/(\d+) +\|")) and int(place[1]) != number:
        step = 1 if int(place[1]) < number else -1
        terminal.press("Enter" if step > 0 else "Up")
        terminal.sees(f" {int(place[1]) + step}/{place[2]} ")


def _take_kit(terminal: Tmux, **storage: object) -> None:
    """Saves the form of a storage, and reads the kit that is shown for it."""
    _fill(terminal, **storage)
    terminal.press("C-s")
    terminal.sees("Recovery kit", "shown this once")
    terminal.press("Escape")
    terminal.misses("Recovery kit")


def _define_the_first(terminal: Tmux, host: Sshd, server: Postgres) -> None:
    """The guide of the first start: host, source, storage, backup."""
    terminal.sees("Welcome to holdfast")
    terminal.type(f"{host.user}@{host.address}:{host.port}")
    terminal.press("Enter")
    _read_the_question(terminal, "Trust this key")
    terminal.press("y")
    _read_the_question(terminal, "is backed up?")
    terminal.press("/")
    terminal.type(server.directory.name)
    terminal.press("Enter")
    terminal.misses("/etc")
    terminal.press("Space", "Enter")
    _read_the_question(terminal, "Where backups are kept")


@pytest.mark.slow
async def test_from_an_empty_home_to_a_passed_drill_that_outlives_its_session(
    terminal: Tmux, sshd: Sshd, server: Postgres, tmp_path: Path
) -> None:
    """All that a person must be able to do over a line that breaks."""
    _define_the_first(terminal, sshd, server)
    _take_kit(terminal, path=tmp_path / "main")
    terminal.sees("today")
    terminal.press("4")
    terminal.sees("[4 Storage]")
    terminal.press("n")
    terminal.sees("New storage")
    _take_kit(terminal, name="second", path=tmp_path / "second")
    terminal.sees("storage second is defined")
    _define_schedule(terminal)
    terminal.press("1")
    terminal.sees("[1 Backups]")
    terminal.press("D")
    terminal.sees("throwaway server", "writes to live hosts: none")
    terminal.press("Enter")
    terminal.sees("inspect postgres", "running")
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.begin()
    terminal.sees("[1 Backups]", "1 run", "run drill")
    terminal.press("3")
    terminal.sees("[3 Restore]", "running: ")
    terminal.press("J")
    terminal.sees("inspect postgres", "running")
    _gate(server).touch()
    terminal.sees("PASS", "checks", "scratch gone: yes")
    await _holds_what_was_defined(tmp_path / "home")


def _define_schedule(terminal: Tmux) -> None:
    """Nightly, of the source that there is, kept for a week."""
    terminal.press("2")
    terminal.sees("[2 Schedules]")
    terminal.press("n")
    terminal.sees("New schedule")
    _fill(terminal, cron="daily at 02:00", name="nightly", keep_daily="7")
    _go_to_field(terminal, "source")
    terminal.press("C-o")
    terminal.sees("space mark")
    terminal.press("Space", "Enter")
    terminal.sees("runs ")
    terminal.press("C-s")
    terminal.misses("New schedule")
    terminal.sees("schedule nightly is written down")


async def _holds_what_was_defined(home: Path) -> None:
    """In the catalog, by what another process reads."""
    async with open_engine(str(home)) as engine:
        assert [each.kind for each in await engine.hosts()] == ["local", "ssh"]
        (source,) = await engine.sources()
        assert [each.name for each in await engine.storages()] == ["main", "second"]
        backup = await engine.latest_backup(source.name)
        assert (source.kind, backup.status) == ("postgres", "completed")
        assert [each.schedule.name for each in await engine.schedules()] == ["nightly"]
        (drill,) = await engine.jobs(verb="drill")
        assert drill.status.value == "completed"
        (evidence,) = await engine.evidence(source=source.name)
    assert evidence.status == "passed"
