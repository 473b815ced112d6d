"""Which databases of a host no source takes, and the source lines that would.

`host test` looks without a password: a server that lets the login's own account in (by its socket) is asked for its databases, others are
one line each.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from engine.errors import HostError
from engine.hosts import servers
from engine.hosts.base import Command, Completed, OpenHost
from engine.hosts.servers import DEFAULT_PORTS, FoundServer
from engine.model.definitions import OptionValue, Source

_ASKED_TIMEOUT_S = 10.0
_HERE = ("", "localhost", "127.0.0.1", "::1")
_POSTGRES_NAMES = "select encode(convert_to(datname, 'utf8'), 'hex') from pg_database where datallowconn and not datistemplate"
_MARIADB_NAMES = (
    "select hex(convert(schema_name using utf8mb4)) from information_schema.schemata "
    "where schema_name not in ('information_schema', 'performance_schema', 'mysql', 'sys')"
)


@dataclass(frozen=True, slots=True)
class Found:
    """One server, and what it said of itself."""

    server: FoundServer
    names: Sequence[str] | None = None
    """Of its databases; None where it did not let us look."""
    wants_password: bool = False
    """Whether it answered that it does."""


async def look(host: OpenHost) -> list[Found]:
    """Finds the servers of a host, and asks each. A host that forbids a look shows less; nothing is raised for it."""
    facts = await host.facts()
    images: list[tuple[str, str]] = []
    for runtime in ("docker", "podman"):
        if runtime in facts.tools:
            images += servers.parse_containers(runtime, await _said(host, servers.containers(runtime)))
    found = servers.find(
        servers.unix_sockets(await _said(host, servers.UNIX_SOCKETS)),
        servers.tcp_ports(await _said(host, servers.TCP_SOCKETS)),
        servers.processes(await _said(host, servers.PROCESSES)),
        images,
    )
    return [await _ask(host, each, facts.user) for each in found]


def uncovered(found: Iterable[Found], sources: Sequence[Source]) -> list[str]:
    """What no source takes, a line each: a server, or those of its databases that were left out."""
    lines = []
    for each in found:
        taking = [source for source in sources if takes(source, each.server)]
        if not taking:
            lines.append(_described(each))
        elif each.names is not None and not any(_takes_all(source) for source in taking):
            taken = {name for source in taking for name in _texts(source, "database")}
            lines += [
                f"{each.server.kind} database {name}, {each.server.describe()}"
                for name in each.names
                if name not in taken
            ]
    return lines


def proposals(host: str, login: str, found: Iterable[Found], sources: Sequence[Source]) -> list[Source]:
    """A source for each server that no source takes; where a password is needed its REF is `-`: it is asked for."""
    return [
        _proposal(host, login, each)
        for each in found
        if not any(takes(source, each.server) for source in sources)
    ]


def takes(source: Source, server: FoundServer) -> bool:
    """Whether a source reads that server, as far as its options tell: the same kind, and the same container, socket or port."""
    if _kind(source) != server.kind or _text(source, "in_container") != server.container:
        return False
    if server.container or server.kind == "mongodb":
        return True
    if _text(source, "db_host") not in _HERE:
        return False
    socket, port = _text(source, "socket"), _port(source)
    if server.kind == "postgres":
        return port == server.port and (not socket or not server.socket or _same(socket, server.socket))
    if socket:
        return _same(socket, server.socket)
    return port == (server.port or DEFAULT_PORTS[server.kind])


def _takes_all(source: Source) -> bool:
    return source.kind in ("redis", "mongodb") or any(
        source.options.get(each) for each in ("all", "physical")
    )


def _kind(source: Source) -> str:
    return "mariadb" if source.kind == "mysql" else source.kind


def _text(source: Source, name: str) -> str:
    value = source.options.get(name)
    return value if isinstance(value, str) else ""


def _texts(source: Source, name: str) -> Sequence[str]:
    value = source.options.get(name)
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, Sequence) else ()


def _port(source: Source) -> int:
    value = source.options.get("port")
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else DEFAULT_PORTS[_kind(source)]


def _same(one: str, other: str) -> bool:
    """/var/run is /run by another name."""
    return one.rstrip("/").removeprefix("/var") == other.rstrip("/").removeprefix("/var")


def _described(found: Found) -> str:
    names = ""
    if found.names is not None and found.server.kind in ("postgres", "mariadb"):
        names = f": {', '.join(found.names)}" if found.names else ": no database of its own"
    return found.server.describe() + names


def _proposal(host: str, login: str, found: Found) -> Source:
    server = found.server
    place = server.container.partition(":")[2] or (str(server.port) if server.port else "")
    name = f"{host}-{server.kind}" + (
        f"-{place}" if place and server.port != DEFAULT_PORTS[server.kind] else ""
    )
    options: dict[str, OptionValue] = {"all": True} if server.kind in ("postgres", "mariadb") else {}
    options |= {"in_container": server.container} if server.container else _reach(server, login)
    if server.kind == "mongodb":
        options["uri_from"] = "-"
    elif found.wants_password:
        options |= {"secret": "-"}
    return Source(name, server.kind, host, options)


def _reach(server: FoundServer, login: str) -> dict[str, OptionValue]:
    """How the server is reached, and as whom where its socket knows people by their account."""
    if server.kind == "mongodb":
        return {}
    owner = {"postgres": "postgres", "mariadb": "root"}.get(server.kind, login)
    as_user: dict[str, OptionValue] = {"as_user": owner} if server.socket and owner != login else {}
    if server.kind == "postgres" and server.socket:
        return {"socket": server.socket, "port": server.port, **as_user}
    if server.socket:
        return {"socket": server.socket, **as_user}
    return {"db_host": "127.0.0.1", "port": server.port or DEFAULT_PORTS[server.kind]}


async def _ask(host: OpenHost, server: FoundServer, login: str) -> Found:
    """By the server's own client, which never prompts. A server that is not known by its socket is asked only where that needs no account."""
    tools = (await host.facts()).tools
    if server.container:
        return Found(server)
    if server.kind == "redis":
        client = next((each for each in ("redis-cli", "valkey-cli") if each in tools), "")
        done = await _run(host, _redis_ping(client, server)) if client else None
        return Found(server, wants_password=done is not None and b"NOAUTH" in done.stdout + done.exit.stderr)
    question = _names_question(server, login, tools)
    if question is None:
        return Found(server, wants_password=server.kind in ("postgres", "mariadb"))
    return _answered(server, await _run(host, question))


def _redis_ping(client: str, server: FoundServer) -> Command:
    reach = ("-s", server.socket) if server.socket else ("-p", str(server.port))
    return Command((client, *reach, "PING"))


def _names_question(server: FoundServer, login: str, tools: Container[str]) -> Command | None:
    """What asks a server for the names of its databases by its socket; None where that is not to be had."""
    if not server.socket:
        return None
    if server.kind == "postgres" and "psql" in tools:
        place = ("-h", server.socket, "-p", str(server.port), "-d", "postgres")
        return Command(
            ("psql", "-w", "-AtX", *place, "-c", _POSTGRES_NAMES),
            {"PGCONNECT_TIMEOUT": "5"},
            as_user="postgres" if login == "root" else None,
        )
    client = next((each for each in ("mariadb", "mysql") if each in tools), "")
    if server.kind == "mariadb" and client:
        options = ("--skip-password", "--connect-timeout=5", "-N", "-B", "-S", server.socket)
        return Command((client, *options, "-e", _MARIADB_NAMES))
    return None


def _answered(server: FoundServer, done: Completed | None) -> Found:
    if done is None or not done.exit.is_success:
        return Found(server, wants_password=done is not None and b"assword" in done.exit.stderr)
    lines = done.stdout.decode("ascii", "replace").split()
    try:
        return Found(server, sorted(bytes.fromhex(line).decode(errors="replace") for line in lines))
    except ValueError:
        return Found(server)


async def _run(host: OpenHost, command: Command) -> Completed | None:
    try:
        return await host.run(command, limit_bytes=8 << 20, timeout_s=_ASKED_TIMEOUT_S)
    except HostError:
        return None


async def _said(host: OpenHost, command: Command) -> bytes:
    done = await _run(host, command)
    return done.stdout if done is not None else b""
