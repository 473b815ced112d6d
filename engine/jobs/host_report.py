"""What a host is, what could be backed up there, what no source takes, and the least privilege that its sources need."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from engine.hosts import facts as host_facts
from engine.hosts import grants as host_grants
from engine.hosts.base import Command, OpenHost
from engine.model.definitions import Host, Source
from engine.model.results import HostReport
from engine.sources import registry
from engine.sources.base import GrantingSource

_DATA_FOLDERS = ("/etc", "/home", "/srv", "/var/www", "/opt", "/var/lib/docker/volumes", "/root")
_FIND_SQLITE = (
    "find", *_DATA_FOLDERS, "/var/lib", "-xdev", "-maxdepth", "5", "-type", "f", "-size", "+7k",
    "(", "-name", "*.db", "-o", "-name", "*.sqlite", "-o", "-name", "*.sqlite3", ")", "-print0",
)  # fmt: skip
_MOST_PROPOSALS = 40


async def report(host: OpenHost, sources: Sequence[Source], elapsed: Callable[[], float]) -> HostReport:
    """Asks the host. Raises: HostError."""
    facts = await host.facts()
    duration_s = elapsed()
    versions = host_facts.parse(host.name, (await host.run(host_facts.VERSIONS)).stdout).tools
    folders = await _folders(host)
    databases = await _sqlite_files(host)
    uncovered = [
        path for path in (*folders, *databases) if not any(_covers(source, path) for source in sources)
    ]
    proposals = [_proposal(host.name, path, is_database=path in databases) for path in uncovered]
    return HostReport(
        name=host.name,
        duration_s=duration_s,
        hostname=facts.hostname,
        user=facts.user,
        tools=tuple(sorted({**facts.tools, **versions}.items())),
        proposals=tuple(proposals[:_MOST_PROPOSALS]),
        uncovered=tuple(uncovered),
    )


async def grants(definition: Host, host: OpenHost, sources: Sequence[Source]) -> str:
    """Text to paste on the host, which is open for the user that logs in: nothing is allowed there yet. Raises: HostError."""
    facts = await host.facts()
    commands: list[Command] = [host_facts.COMMAND] if sources else []
    contributed: list[host_grants.Grant] = []
    for source in sources:
        async with registry.open_source(source, host) as opened:
            commands += await opened.commands()
            if isinstance(opened, GrantingSource):
                contributed += await opened.grants()
    return host_grants.grants(definition, facts, commands, contributed)


async def _folders(host: OpenHost) -> list[str]:
    """Those of the usual data folders that hold anything."""
    words = ("find", *_DATA_FOLDERS, "-maxdepth", "0", "-type", "d", "-not", "-empty", "-print0")
    done = await host.run(Command(words))
    return [path.decode(errors="backslashreplace") for path in done.stdout.split(b"\0") if path]


async def _sqlite_files(host: OpenHost) -> list[str]:
    done = await host.run(Command(_FIND_SQLITE), timeout_s=30.0)
    return [path.decode(errors="backslashreplace") for path in done.stdout.split(b"\0") if path]


def _covers(source: Source, path: str) -> bool:
    """Whether a source takes that path: files by any root above it; a database file only by a source of its own, for a copy of a file
    that is written to is no backup of the database.
    """
    value = source.options.get("path")
    roots = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else ()
    if source.kind == "sqlite":
        return path in roots
    is_database = path.endswith((".db", ".sqlite", ".sqlite3"))
    return not is_database and any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


def _proposal(host: str, path: str, *, is_database: bool) -> str:
    name = "".join(letter if letter.isalnum() else "-" for letter in path.strip("/")).strip("-")[:40]
    kind = "sqlite" if is_database else "files"
    return f"holdfast source add {shlex.quote(f'{host}-{name}')} --kind {kind} --host {shlex.quote(host)} --path {shlex.quote(path)}"
