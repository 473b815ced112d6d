"""Some rows of live tables, each as the line that mariadb-dump writes for it: by mariadb-dump itself, told which rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from engine.errors import HoldfastError, SourceError
from engine.hosts.base import Command, require_started
from engine.model.contents import RowSample, Sampled
from engine.sources.mariadb.connection import Connection
from engine.sources.mariadb.contents import SampleReader
from engine.sources.mariadb.facts import look
from engine.sources.rows import SampledRows

_WORDS: Final = (
    "--opt", "--comments", "--quote-names", "--single-transaction", "--quick", "--hex-blob", "--skip-triggers", "--skip-routines",
    "--skip-events", "--no-create-info",
)  # fmt: skip
_AT_ONCE: Final = 200
"""Tables that one run of the dumper takes where all of their rows are wanted."""
_MARGIN: Final = 1.5


async def sample(connection: Connection, name: str, rows: Mapping[str, int], seed: int) -> Sampled:
    """See `base.SamplingDatabase.sample`. A table of more rows is read whole by the server, which sends the chosen ones."""
    tools = await connection.tools()
    if tools.is_mysql:
        return Sampled(unread=dict.fromkeys(rows, "mysqldump writes several rows on a line"))
    counts = {table.name: table.rows for table in (await look(connection, name)).facts.tables}
    samples: dict[str, RowSample] = {}
    unread: dict[str, str] = {}
    for tables, where, is_whole in _runs({each: rows[each] for each in rows if each in counts}, counts, seed):
        command = connection.command(
            tools.dumper, *_WORDS, f"--where={where}", "--", name, *tables, is_mysql=False, is_text=True
        )
        try:
            found = await _dumped(connection, command)
        except HoldfastError as error:
            unread |= dict.fromkeys(tables, error.message)
            continue
        for each in tables:
            taken = found.get(each, SampledRows())
            samples[each] = taken.sample(each, is_whole=is_whole and taken.rows < rows[each])
    return Sampled(samples, unread)


def _runs(
    rows: Mapping[str, int], counts: Mapping[str, int], seed: int
) -> Iterator[tuple[Sequence[str], str, bool]]:
    """Runs of the dumper: tables, which rows of them, and whether those are the first ones, so that fewer are all."""
    few = [name for name, most in rows.items() if counts[name] <= most]
    for most in sorted({rows[name] for name in few}):
        alike = [name for name in few if rows[name] == most]
        for begin in range(0, len(alike), _AT_ONCE):
            yield alike[begin : begin + _AT_ONCE], f"1 LIMIT {most}", True
    for name in rows:
        if counts[name] > rows[name]:
            share = min(1.0, _MARGIN * rows[name] / counts[name])
            yield [name], f"RAND({seed}) < {share:.9f} LIMIT {rows[name]}", False


async def _dumped(connection: Connection, command: Command) -> Mapping[str, SampledRows]:
    held = SampleReader()
    async with connection.host.start(command) as process:
        while data := await process.read():
            held.feed(data)
        ended = await process.wait()
    require_started(connection.host.name, command, ended)
    if not ended.is_success:
        raise connection.failure(command, ended, SourceError)
    return held.finish()
