"""Sessions that stand in the way of a database's end."""

from __future__ import annotations

from engine.sources.mariadb.answers import texts
from engine.sources.mariadb.connection import STATEMENT_TIMEOUT_S, Connection
from engine.sources.mariadb.facts import is_name

LOCK_TIMEOUT_S = 30
"""How long a statement waits for those that use its tables. The server's own default is a day."""


async def end_sessions(connection: Connection, name: str) -> int:
    """Ends the sessions that have chosen that database; returns how many there were. Those that we may not end stay.

    Raises: SourceError, HostError.
    """
    (rows,) = await connection.results(
        f"SELECT id FROM information_schema.processlist WHERE {is_name('db', name)} AND id <> CONNECTION_ID()"
    )
    numbers = [number for (number,) in map(texts, rows)]
    if numbers:
        command = await connection.client_command("--force")
        statements = "".join(f"KILL {int(number)};\n" for number in numbers)
        await connection.host.run(command, input_bytes=statements.encode(), timeout_s=STATEMENT_TIMEOUT_S)
    return len(numbers)
