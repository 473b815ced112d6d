"""What of the fleet is real: a tree of files and a SQLite database in the home, backed up into two folders there for some weeks, and drilled."""

from __future__ import annotations

import contextlib
import datetime
import random
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.cli.demo.fleet import roster
from engine.clock import Clock
from engine.model.definitions import Storage
from engine.model.requests import BackupRequest, DrillRequest, VerifyRequest
from engine.service import Engine, open_engine

_DAYS_AGO: Final = (22, 15, 8, 3, 1)
"""When it was backed up."""
_DRILLED: Final = (15, 3)
_NOON: Final = datetime.time(12, 0, 2, tzinfo=datetime.UTC)
_FOLDERS: Final = ("meetings", "recipes", "travel")
_WORDS: Final = (
    "harbour",
    "ladder",
    "meadow",
    "signal",
    "copper",
    "window",
    "garden",
    "thunder",
    "marble",
    "lantern",
)
_CUSTOMERS: Final = 400


@dataclass(frozen=True, slots=True)
class Earlier:
    """A clock that is some days behind another one."""

    clock: Clock
    behind: datetime.timedelta

    def now(self) -> datetime.datetime:
        """See Clock."""
        return self.clock.now() - self.behind

    def monotonic(self) -> float:
        """See Clock."""
        return self.clock.monotonic()

    def local_offset(self, instant: datetime.datetime) -> datetime.timezone:
        """See Clock."""
        return self.clock.local_offset(instant)


def folder(home: Path) -> Path:
    """Where all of it lies."""
    return home / "fleet"


async def make(home: Path, clock: Clock) -> None:
    """Makes data and storages in a home whose secrets are set, and gives them a past. Raises: HoldfastError, OSError."""
    data = folder(home)
    make_data(data)
    for place, days in enumerate(_DAYS_AGO):
        async with open_engine(
            str(home), clock=Earlier(clock, _behind(clock, days)), environment={}
        ) as engine:
            if not place:
                await _define(engine, data)
            await engine.backup(BackupRequest((roster.NOTES, roster.LEDGER), (roster.NEAR, roster.SPARE)))
            if days in _DRILLED:
                for source in (roster.NOTES, roster.LEDGER):
                    await engine.drill(DrillRequest(source, budget_s=300, by=("Mira Lindholm",), seed=days))
        change_data(data, place)
    async with open_engine(str(home), clock=clock, environment={}) as engine:
        await engine.verify(VerifyRequest(storage=roster.NEAR, is_reading_data=True))


def _behind(clock: Clock, days: int) -> datetime.timedelta:
    """To the noon so many days ago."""
    now = clock.now()
    return now - datetime.datetime.combine(now.date() - datetime.timedelta(days), _NOON)


async def _define(engine: Engine, data: Path) -> None:
    for name in (roster.NEAR, roster.SPARE):
        place = Storage(name, "local", {"path": str(data / "storages" / name)}, roster.PASSWORD)
        await engine.add_storage(place, is_default=name == roster.NEAR)
    for source in roster.real_sources(data):
        await engine.add_source(source)


def make_data(data: Path) -> None:
    """Some notes, and the ledger of a small shop."""
    (data / "storages").mkdir(parents=True)
    dice = random.Random(1)  # noqa: S311 -- the same each time
    for name in _FOLDERS:
        place = data / roster.NOTES / name
        place.mkdir(parents=True)
        for number in range(8):
            text = "\n".join(" ".join(dice.choices(_WORDS, k=12)) for _ in range(dice.randrange(20, 300)))
            (place / f"{dice.choice(_WORDS)}-{number:02}.txt").write_text(text, encoding="ascii")
    (data / roster.NOTES / "photo.raw").write_bytes(dice.randbytes(300_000))
    with contextlib.closing(sqlite3.connect(data / f"{roster.LEDGER}.db")) as database, database:
        database.execute(
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, town TEXT NOT NULL)"
        )
        database.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers (id), cents INTEGER)"
        )
        names = [
            (f"{dice.choice(_WORDS)} {dice.choice(_WORDS)}", dice.choice(_WORDS)) for _ in range(_CUSTOMERS)
        ]
        database.executemany("INSERT INTO customers (name, town) VALUES (?, ?)", names)
        _orders(database, dice, 3_000)


def change_data(data: Path, place: int) -> None:
    """What people did until the next backup."""
    dice = random.Random(place + 2)  # noqa: S311 -- the same each time
    name = data / roster.NOTES / _FOLDERS[place % len(_FOLDERS)] / f"new-{place:02}.txt"
    name.write_text(" ".join(dice.choices(_WORDS, k=400)), encoding="ascii")
    old = sorted((data / roster.NOTES / "recipes").glob("*-0*.txt"))
    old[0].unlink()
    with old[1].open("a", encoding="ascii") as file:
        file.write("\none more line\n")
    with contextlib.closing(sqlite3.connect(data / f"{roster.LEDGER}.db")) as database, database:
        _orders(database, dice, 150)


def _orders(database: sqlite3.Connection, dice: random.Random, count: int) -> None:
    rows = [(dice.randrange(1, _CUSTOMERS), dice.randrange(100, 90_000)) for _ in range(count)]
    database.executemany("INSERT INTO orders (customer, cents) VALUES (?, ?)", rows)
