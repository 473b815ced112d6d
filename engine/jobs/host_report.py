"""What a host is, what could be backed up there, what no source takes, and the least privilege that its sources need."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.hosts import facts as host_facts
from engine.hosts import grants as host_grants
from engine.hosts.base import Command, OpenHost
from engine.hosts.grants import Occasion
from engine.jobs import found_databases
from engine.jobs.found_databases import Found
from engine.model import command_lines
from engine.model.definitions import Host, OptionValue, Source
from engine.model.results import HostReport
from engine.sources import registry
from engine.sources.base import GrantingSource, OccasionalSource, OpenSource

_SERVER_FOLDERS = (
    "/var/lib/postgresql", "/var/lib/pgsql", "/var/lib/mysql", "/var/lib/redis", "/var/lib/valkey", "/var/lib/mongodb", "/var/lib/mongo",
)  # fmt: skip
"""Data of servers that may not even run: no source of kind files is proposed for them, for a copy of them is no backup."""
_DATA_FOLDERS = ("/etc", "/home", "/srv", "/var/www", "/opt", "/var/lib/docker/volumes", "/root")
# What bears the name of a database but not its beginning is none; what cannot be read may be one.
_IS_SQLITE = 'for f; do [ -r "$f" ] && [ "$(head -c 15 "$f" | tr -d "\\0")" != "SQLite format 3" ] || printf "%s\\0" "$f"; done'
_SQLITE_FILES = (
    "-xdev", "-maxdepth", "5", "-type", "f", "-size", "+7k",
    "(", "-name", "*.db", "-o", "-name", "*.sqlite", "-o", "-name", "*.sqlite3", ")",
    "-exec", "sh", "-c", _IS_SQLITE, "sh", "{}", "+",
)  # fmt: skip
_MOST_PROPOSALS = 40


async def report(
    host: OpenHost, sources: Sequence[Source], elapsed: Callable[[], float], own: Sequence[str] = ()
) -> HostReport:
    """Asks the host. `own`: folders of holdfast's own, of which nothing is a source: its catalog has copies in the storages. Raises: HostError."""
    facts = await host.facts()
    duration_s = elapsed()
    versions = host_facts.parse(host.name, (await host.run(host_facts.VERSIONS)).stdout).tools
    folders = await _folders(host, _DATA_FOLDERS)
    databases = await sqlite_files(host, (*_DATA_FOLDERS, "/var/lib"))
    uncovered = [
        path
        for path in (*folders, *databases)
        if not any(_covers(source, path) for source in sources)
        and not any(_is_below(path, each) for each in own)
    ]
    found = await found_databases.look(host)
    proposals = found_databases.proposals(host.name, facts.user, found, sources)
    proposals += [_proposal(host.name, path, is_database=path in databases) for path in uncovered]
    without_server = [path for path in await _folders(host, _SERVER_FOLDERS) if not _is_served(path, found)]
    return HostReport(
        name=host.name,
        duration_s=duration_s,
        hostname=facts.hostname,
        user=facts.user,
        tools=tuple(sorted({**facts.tools, **versions}.items())),
        proposals=tuple(
            command_lines.line(command_lines.adding(each)) for each in proposals[:_MOST_PROPOSALS]
        ),
        proposed=tuple(proposals[:_MOST_PROPOSALS]),
        uncovered=(*found_databases.uncovered(found, sources), *without_server, *uncovered),
    )


async def grants(definition: Host, host: OpenHost, sources: Sequence[Source]) -> str:
    """Text to paste on the host, which is open for the user that logs in: nothing is allowed there yet. Raises: HostError."""
    facts = await host.facts()
    commands: list[Command] = [host_facts.COMMAND] if sources else []
    contributed: list[host_grants.Grant] = []
    occasions: list[Occasion] = []
    for source in sources:
        async with registry.open_source(source, host) as opened:
            commands += await opened.commands()
            if isinstance(opened, GrantingSource):
                contributed += await opened.grants()
            occasions += await _occasions(opened)
    return host_grants.grants(definition, facts, [Occasion("backup", commands), *occasions], contributed)


async def _occasions(opened: OpenSource) -> list[Occasion]:
    """What a source does not tell is not known; what a restore runs never is, for it makes names of its own."""
    found = list(await opened.occasions()) if isinstance(opened, OccasionalSource) else []
    if not any(each.purpose == "diff" for each in found):
        found.append(Occasion("diff", more="a comparison asks for what it finds"))
    return [*found, Occasion("restore", more="a restore makes names of its own")]


def _is_served(folder: str, found: Sequence[Found]) -> bool:
    """Whether a server of its kind runs: then that server is what a source takes, or does not."""
    kinds = {
        "postgresql": "postgres",
        "pgsql": "postgres",
        "mysql": "mariadb",
        "valkey": "redis",
        "mongo": "mongodb",
    }
    name = folder.rpartition("/")[2]
    return any(each.server.kind == kinds.get(name, name) and not each.server.container for each in found)


async def _folders(host: OpenHost, folders: Sequence[str]) -> list[str]:
    """Those of the folders that hold anything."""
    words = ("find", *folders, "-maxdepth", "0", "-type", "d", "-not", "-empty", "-print0")
    done = await host.run(Command(words))
    return [path.decode(errors="backslashreplace") for path in done.stdout.split(b"\0") if path]


async def sqlite_files(host: OpenHost, folders: Sequence[str]) -> list[str]:
    """The SQLite databases not too deep below the folders. Raises: HostError."""
    done = await host.run(Command(("find", *folders, *_SQLITE_FILES)), timeout_s=30.0)
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
    return not is_database and any(_is_below(path, root) for root in roots)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _proposal(host: str, path: str, *, is_database: bool) -> Source:
    name = "".join(letter if letter.isalnum() else "-" for letter in path.strip("/")).strip("-")[:40]
    value: OptionValue = path if is_database else (path,)
    return Source(f"{host}-{name}", "sqlite" if is_database else "files", host, {"path": value})
