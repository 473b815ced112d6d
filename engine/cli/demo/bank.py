"""The demo's database: money that moves between accounts all the time, and never becomes more or less.

Run as a program it is the writer: it moves money in transactions until its standard input ends, which it does when the demo goes away,
however it goes. It imports nothing but Python's own, so that it starts at once.
"""

from __future__ import annotations

import random
import select
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

ACCOUNTS = 20_000
OPENING_BALANCE = 1000
_ACTIVE_ACCOUNTS = 200
"""Those that money moves between: as in most databases, most of it rests."""
_NOTE_BYTES = 500
_SEED = 21
_PAUSE_S = 0.005
_BUSY_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 10.0


def make(path: Path) -> None:
    """Makes the database, of about 20 MiB that do not compress well."""
    chance = random.Random(_SEED)  # noqa: S311 -- the same accounts each time
    rows = (
        (number, OPENING_BALANCE, chance.randbytes(_NOTE_BYTES).hex()[: _NOTE_BYTES * 2])
        for number in range(ACCOUNTS)
    )
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(
            "CREATE TABLE account (number INTEGER PRIMARY KEY, balance INTEGER NOT NULL, note TEXT)"
        )
        database.execute(
            "CREATE TABLE transfer (id INTEGER PRIMARY KEY, payer INTEGER, payee INTEGER, amount INTEGER)"
        )
        database.executemany("INSERT INTO account VALUES (?, ?, ?)", rows)
        database.commit()


@contextmanager
def being_written(path: Path) -> Iterator[None]:
    """Has a process of its own move money until the end of the body. Its first transfer is there when the body begins."""
    command = [sys.executable, "-I", __file__, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdout.read(1)
            yield
        finally:
            process.stdin.close()
            try:
                process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def transfers(path: Path) -> int:
    """How many transfers the database holds."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT count(*) FROM transfer").fetchone()[0])


def faults(path: Path) -> list[str]:
    """What is wrong with a database that was restored; none where it is whole and all of one instant."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        verdict = [row[0] for row in database.execute("PRAGMA integrity_check")]
        if verdict != ["ok"]:
            return [f"integrity_check says {verdict[0]}"]
        total = database.execute("SELECT sum(balance) FROM account").fetchone()[0]
    expected = ACCOUNTS * OPENING_BALANCE
    return [] if total == expected else [f"the accounts hold {total} instead of {expected}"]


def _write(path: str) -> None:
    chance = random.Random()  # noqa: S311 -- any transfer will do
    with closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)) as database:
        is_told = False
        while not select.select([sys.stdin], [], [], _PAUSE_S)[0]:
            payer, payee = chance.sample(range(_ACTIVE_ACCOUNTS), 2)
            amount = chance.randint(1, 5)
            with database:
                database.execute("UPDATE account SET balance = balance - ? WHERE number = ?", (amount, payer))
                database.execute("UPDATE account SET balance = balance + ? WHERE number = ?", (amount, payee))
                database.execute(
                    "INSERT INTO transfer (payer, payee, amount) VALUES (?, ?, ?)", (payer, payee, amount)
                )
            if not is_told:
                sys.stdout.write(".")
                sys.stdout.flush()
                is_told = True


if __name__ == "__main__":
    _write(sys.argv[1])
