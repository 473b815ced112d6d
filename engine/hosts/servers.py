"""The database servers of a host, by what can be seen without a login to any: listening sockets, processes, containers. Pure but for the commands.

Nothing of what is found is run: a process may call itself anything, and its program may be anybody's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from engine.hosts.base import Command

DEFAULT_PORTS = {"postgres": 5432, "mariadb": 3306, "redis": 6379, "mongodb": 27017}
UNIX_SOCKETS = Command(("cat", "/proc/net/unix"))
TCP_SOCKETS = Command(("sh", "-c", "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null"))
PROCESSES = Command(("sh", "-c", 'grep -azH "" /proc/[0-9]*/cmdline 2>/dev/null; :'))
"""Each argument of each process behind its file's name, ended by NUL."""


def containers(runtime: str) -> Command:
    """Name and image of each that runs; for docker and podman."""
    return Command((runtime, "ps", "--format", "{{.Names}}\t{{.Image}}"))


_LISTENING_UNIX = 0x10000
"""__SO_ACCEPTCON among the flags of /proc/net/unix."""
_LISTENING_TCP = "0A"
_POSTGRES_SOCKET = re.compile(r"(/.*)/\.s\.PGSQL\.(\d+)")
_MARIADB_SOCKET = re.compile(r"/.*/(?:mysql|mysqld|mariadb|mariadbd)[^/]*\.sock(?:et)?")
_REDIS_SOCKET = re.compile(r"/.*/(?:redis|valkey)[^/]*\.sock(?:et)?")
_MONGODB_SOCKET = re.compile(r"/.*/mongodb-(\d+)\.sock")
_REDIS_TITLE = re.compile(
    r"(?:\S*/)?(?:redis|valkey)-server (?:unixsocket:(/.*?)|(\S+):(\d+))(?: \[cluster\])?\s*"
)
_POSTGRES_PROGRAM = re.compile(r"(?:.*/)?(?:postgres|postmaster)")
_MARIADB_PROGRAM = re.compile(r"(?:.*/)?(?:mariadbd|mysqld)")
_MONGODB_PROGRAM = re.compile(r"(?:.*/)?mongod")
_PROGRAM_VERSION = re.compile(r"/(?:postgresql|pgsql)[-/](\d+(?:\.\d+)?)/")
_IMAGES = {
    "postgres": re.compile(r"postgres|postgis|timescale|supabase/postgres"),
    "mariadb": re.compile(r"mariadb|mysql|percona"),
    "redis": re.compile(r"redis|valkey"),
    "mongodb": re.compile(r"mongo"),
}
_NO_SERVER_IMAGES = re.compile(
    r"admin|exporter|express|commander|insight|backup|bouncer|sentinel|proxy|operator"
)


@dataclass(frozen=True, slots=True)
class FoundServer:
    """One server, as far as it can be seen from outside."""

    kind: str
    socket: str = ""
    """postgres: its folder; others: the file."""
    port: int | None = None
    """On this machine, where it is known."""
    container: str = ""
    """`docker:NAME`, `podman:NAME`; empty where it runs on the host itself."""
    data: str = ""
    """Its data folder, where its command line names it."""
    version: str = ""
    """As its program's path says it."""

    def describe(self) -> str:
        """For people: `postgres 15, port 5432, socket /run/postgresql, data in /var/lib/postgresql/15/main`."""
        parts = [f"{self.kind} {self.version}".strip()]
        parts += [f"in {self.container}"] if self.container else []
        parts += [f"port {self.port}"] if self.port is not None else []
        parts += [f"socket {self.socket}"] if self.socket else []
        parts += [f"data in {self.data}"] if self.data else []
        return ", ".join(parts)


def unix_sockets(answer: bytes) -> list[str]:
    """The paths on which anybody listens, from /proc/net/unix; sorted, each once."""
    found = set()
    for line in answer.decode("utf-8", "surrogateescape").splitlines():
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[7].startswith("/") and _hex(fields[3]) & _LISTENING_UNIX:
            found.add(fields[7])
    return sorted(found)


def tcp_ports(answer: bytes) -> list[int]:
    """The ports on which anybody listens, from /proc/net/tcp and tcp6; sorted, each once."""
    found = set()
    for line in answer.decode(errors="replace").splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTENING_TCP:
            found.add(_hex(fields[1].rpartition(":")[2]))
    return sorted(found - {0})


def processes(answer: bytes) -> list[tuple[str, ...]]:
    """The command lines, from what PROCESSES says."""
    found: dict[str, list[str]] = {}
    for piece in answer.decode("utf-8", "surrogateescape").split("\0"):
        name, colon, argument = piece.partition(":")
        if colon and name.endswith("/cmdline"):
            found.setdefault(name, []).append(argument)
    return [tuple(words) for words in found.values()]


def find(
    sockets: Sequence[str],
    ports: Sequence[int],
    command_lines: Iterable[Sequence[str]],
    images: Sequence[tuple[str, str]] = (),
) -> list[FoundServer]:
    """The servers. `images` are pairs of a container (`docker:NAME`) and its image."""
    lines = list(command_lines)
    servers = [
        *_postgres(sockets, lines),
        *_mariadb(sockets, lines),
        *_redis(sockets, lines),
        *_mongodb(sockets, lines),
    ]
    inside = [
        FoundServer(kind, container=container)
        for container, image in images
        if (kind := _image_kind(image)) is not None
    ]
    # A default port that nobody explains: a server whose process is hidden from us, or a container's port that is published.
    unexplained = [
        FoundServer(kind, port=port)
        for kind, port in DEFAULT_PORTS.items()
        if port in ports and not any(each.kind == kind for each in (*servers, *inside))
    ]
    return [*servers, *inside, *unexplained]


def _postgres(sockets: Sequence[str], lines: Sequence[Sequence[str]]) -> list[FoundServer]:
    """By its sockets, which tell the port; data folder and version where there is one process alone, and so no doubt whose they are."""
    by_port: dict[str, FoundServer] = {}
    for path in sockets:
        if found := _POSTGRES_SOCKET.fullmatch(path):
            known = by_port.get(found[2])
            # /run is the shorter name where a server listens in two folders, or in one by two names.
            if known is None or len(found[1]) < len(known.socket):
                by_port[found[2]] = FoundServer("postgres", found[1], int(found[2]))
    servers = list(by_port.values())
    mains = [line for line in lines if _POSTGRES_PROGRAM.fullmatch(line[0]) and _option(line, "-D")]
    if len(servers) == len(mains) == 1:
        version = _PROGRAM_VERSION.search(mains[0][0]) or _PROGRAM_VERSION.search(_option(mains[0], "-D"))
        servers = [replace(servers[0], data=_option(mains[0], "-D"), version=version[1] if version else "")]
    return servers


def _mariadb(sockets: Sequence[str], lines: Sequence[Sequence[str]]) -> list[FoundServer]:
    paths = [path for path in sockets if _MARIADB_SOCKET.fullmatch(path) and "mysqlx" not in path]
    servers = []
    for line in lines:
        if _MARIADB_PROGRAM.fullmatch(line[0]):
            path, port = _option(line, "--socket"), _option(line, "--port")
            is_only = not path and len(paths) == 1
            servers.append(
                FoundServer(
                    "mariadb", paths[0] if is_only else path, _number(port), data=_option(line, "--datadir")
                )
            )
    known = {each.socket for each in servers}
    return [each for each in servers if each.socket or each.port] + [
        FoundServer("mariadb", path) for path in paths if path not in known
    ]


def _redis(sockets: Sequence[str], lines: Sequence[Sequence[str]]) -> list[FoundServer]:
    """It writes where it listens into its own title, unless it was told not to."""
    titles = filter(None, (_REDIS_TITLE.fullmatch(" ".join(line)) for line in lines))
    servers = [FoundServer("redis", found[1] or "", _number(found[3] or "")) for found in titles]
    return servers or [FoundServer("redis", path) for path in sockets if _REDIS_SOCKET.fullmatch(path)]


def _mongodb(sockets: Sequence[str], lines: Sequence[Sequence[str]]) -> list[FoundServer]:
    ports = {int(found[1]): path for path in sockets if (found := _MONGODB_SOCKET.fullmatch(path))}
    servers = [FoundServer("mongodb", path, port) for port, path in sorted(ports.items())]
    mains = [line for line in lines if _MONGODB_PROGRAM.fullmatch(line[0])]
    if not servers:
        servers = [
            FoundServer(
                "mongodb",
                port=_number(_option(line, "--port")) or DEFAULT_PORTS["mongodb"],
                data=_option(line, "--dbpath"),
            )
            for line in mains
        ]
    return servers


def _image_kind(image: str) -> str | None:
    name = image.lower().partition("@")[0]
    if _NO_SERVER_IMAGES.search(name):
        return None
    return next((kind for kind, pattern in _IMAGES.items() if pattern.search(name)), None)


def parse_containers(runtime: str, answer: bytes) -> list[tuple[str, str]]:
    """Pairs for `find`, from what `containers` says."""
    pairs = (line.split("\t") for line in answer.decode(errors="replace").splitlines())
    return [
        (f"{runtime}:{pair[0]}", pair[1])
        for pair in pairs
        if len(pair) == 2 and re.fullmatch(r"[A-Za-z0-9][\w.-]*", pair[0])
    ]


def _option(line: Sequence[str], name: str) -> str:
    """The value of an option, as its own word or behind `=`; empty where it is not given."""
    for position, word in enumerate(line):
        if word == name and position + 1 < len(line):
            return line[position + 1]
        if word.startswith(f"{name}=") or (len(name) == 2 and word.startswith(name) and len(word) > 2):
            return word[len(name) :].removeprefix("=")
    return ""


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and int(text) else None


def _hex(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0
