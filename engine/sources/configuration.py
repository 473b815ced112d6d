"""Configuration files of a server, for backups of nothing else: read from the host with the rights that the source's commands have."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence

from engine.errors import HostError, SourceError
from engine.format.layout import encode_name
from engine.hosts.base import Command, OpenHost
from engine.sources.base import Item
from engine.sources.dump import DumpItem

MOST_FILES = 500
_MOST_BYTES = 8 << 20
_EXPAND = 'IFS=; for file in $1; do [ -f "$file" ] && printf "%s\\0" "$file"; done; :'
"""Without a field separator nothing but the pattern is expanded."""

Includes = Callable[[bytes], Sequence[str]]
"""The files that one of a server's files names: paths or patterns, those that are not absolute from its own folder on."""


def items(host: OpenHost, paths: Iterable[str], as_user: str | None) -> list[Item]:
    """An item for each file: its absolute path below `configuration/`. Raises: SourceError where there is none."""
    found = list(dict.fromkeys(map(posixpath.normpath, paths)))
    if not found:
        raise SourceError(f"{host.name} names no configuration file of this server to this account")
    return [DumpItem(item_path(path), host, _cat(path, as_user)) for path in found]


def item_path(path: str) -> str:
    """Where a file lies in the backup."""
    return "/".join(["configuration", *map(encode_name, path.strip("/").split("/"))])


async def with_included(
    host: OpenHost, paths: Iterable[str], as_user: str | None, includes: Includes
) -> list[str]:
    """The files and all that they include, each once. One that cannot be read is among them: its item says why. Raises: SourceError, HostError."""
    waiting, found = list(paths), list[str]()
    while waiting:
        path = posixpath.normpath(waiting.pop(0))
        if path in found:
            continue
        found.append(path)
        if len(found) > MOST_FILES:
            raise SourceError(f"{host.name} has more than {MOST_FILES} configuration files for one server")
        try:
            done = await host.run(_cat(path, as_user), limit_bytes=_MOST_BYTES)
        except HostError:
            continue
        for pattern in includes(done.stdout) if done.exit.is_success else ():
            whole = posixpath.join(posixpath.dirname(path), pattern)
            waiting += await expanded(host, whole, as_user)
    return found


async def expanded(host: OpenHost, pattern: str, as_user: str | None) -> list[str]:
    """The files that a pattern stands for, sorted as the shell sorts them. Raises: HostError."""
    done = await host.run(Command(("sh", "-c", _EXPAND, "sh", pattern), as_user=as_user))
    return [each.decode("utf-8", "surrogateescape") for each in done.stdout.split(b"\0") if each]


def words(line: bytes) -> list[str]:
    """The words of a line of a configuration file, quotes taken off; none of a comment."""
    text = line.decode("utf-8", "surrogateescape").strip()
    if text.startswith(("#", ";")):
        return []
    return [found[1] or found[2] or found[0] for found in re.finditer(r'"([^"]*)"|\'([^\']*)\'|\S+', text)]


def _cat(path: str, as_user: str | None) -> Command:
    name = path.encode("utf-8", "surrogateescape")
    return Command(("cat", "--", name), as_user=as_user)
