"""What servers must be set to before their logs can be shipped: for tests of sources and hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from engine.errors import HoldfastError
from engine.hosts.base import OpenHost
from engine.model import log_watch
from engine.model.definitions import Source
from engine.model.results import LogLacks
from engine.model.secret import Secret
from engine.sources import registry
from engine.sources.base import OpenSource
from engine.sources.logs import LogSource


async def lacking(source: Source, opened: OpenSource) -> LogLacks | None:
    """Of a source that is open; None where nothing is missing, or no log goes on from its backups. Raises: SourceError, HostError."""
    if not isinstance(opened, LogSource):
        return None
    if not opened.is_logged:
        if not source.options.get("physical"):
            return None
        way = "--log-slot holdfast" if source.kind == "postgres" else "--log-binlog"
        said = f"its log is not shipped, so that no instant between its backups can be reached: holdfast source edit {source.name} {way}"
        return LogLacks(source.name, (), said)
    lines = tuple(await opened.setup())
    return LogLacks(source.name, lines) if lines else None


async def of_host(
    host: OpenHost, sources: Sequence[Source], resolve_secret: Callable[[str], Awaitable[Secret]]
) -> list[LogLacks]:
    """Of those of a host's sources whose log is to be shipped, or could be; why one could not be asked is told in its place."""
    found = []
    for source in sources:
        if not log_watch.is_logged(source) and not source.options.get("physical"):
            continue
        lacks: LogLacks | None
        try:
            secrets = await registry.secrets_of(source, resolve_secret)
            async with registry.open_source(source, host, secrets) as opened:
                lacks = await lacking(source, opened)
        except HoldfastError as error:
            lacks = LogLacks(
                source.name, (), f"{error.message}; {error.hint}" if error.hint else error.message
            )
        if lacks is not None:
            found.append(lacks)
    return found
