"""A source where it never was: on a host that has its kind's programs, and nothing to do with what is live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.errors import UsageError
from engine.jobs.context import JobContext
from engine.model.definitions import LOCAL_HOST, OptionValue, Source
from engine.model.requests import DrillRequest

_LEAST: Final[Mapping[str, Mapping[str, OptionValue]]] = {
    "postgres": {"all": True},
    "mariadb": {"all": True},
    "mysql": {"all": True},
    "sqlite": {"path": "/lost.db"},
    "redis": {},
}
"""The least that a kind is told so that it can be restored into a throwaway server: nothing that leads to a live one."""


def has_server(kind: str) -> bool:
    """Whether a throwaway server can be made of that kind."""
    return kind in _LEAST


def least(source: Source, host: str) -> Source:
    """The source on that host, with no more than a restore beside needs."""
    options = _LEAST.get(source.kind, source.options)
    return Source(source.name, source.kind, host, dict(options))


async def require_possible(context: JobContext, request: DrillRequest, kind: str) -> None:
    """Raises: UnknownNameError for a host that is not defined; UsageError where nothing of such a drill is done on any host."""
    if request.host != LOCAL_HOST:
        await context.catalog.hosts.get(request.host)
    if not has_server(kind):
        raise UsageError(f"backups of kind {kind} are drilled on this machine alone", hint="leave --host out")
    if request.level not in ("", "server", "parse"):
        raise UsageError(
            f"there is no level {request.level} on another host than the source's own",
            hint="its levels there: parse, server",
        )
