"""What a host is: one command asks, one pure function reads the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from engine.errors import HostError
from engine.hosts.base import Command, Facts

VERSIONED = ("find", "tar", "sqlite3")
"""Tools whose version decides something at every backup."""
NAMED = ("python3", "zstd", "pg_dump", "mariadb-dump", "mysqldump", "redis-cli", "mongodump")
"""Tools whose version a person wants to see; asking takes a tenth of a second, so only `VERSIONS` does."""
FOUND = (
    *NAMED, "bash", "cat", "doas", "docker", "getfacl", "getfattr", "ionice", "kubectl", "mariadb", "mariadb-backup", "mongorestore", "mysql", "nice",
    "pg_basebackup", "pg_restore", "podman", "psql", "redis-check-rdb", "redis-server", "renice", "rsync", "runuser", "sha256sum", "stat", "sudo", "timeout",
    "valkey-check-rdb", "valkey-cli", "valkey-server",
)  # fmt: skip
"""Tools of which it is enough to know that they are there: asking docker or kubectl for a version may take a second."""
_MOST_CHARACTERS: Final = 200

_SCRIPT = (
    'echo "hostname=$(uname -n)"; echo "system=$(uname -s)"; echo "user=$(id -un 2>/dev/null || id -u)"; '
    'read -r l rest 2>/dev/null </proc/loadavg && echo "load=$l"; '
    "for t in $1; do command -v $t >/dev/null 2>&1 && "
    '$t --version 2>&1 </dev/null | { IFS= read -r v; echo "tool=$t=$v"; }; done; '
    'for t in $2; do command -v $t >/dev/null 2>&1 && echo "at=$t" && command -v $t; done; :'
)
"""One line, since a rule of sudoers can hold no more. No more processes than it needs: the path of a tool is on the line below its name."""


def command(versioned: Sequence[str], found: Sequence[str] = ()) -> Command:
    """What asks for the versions of some tools, and for the places of others."""
    return Command(("/bin/sh", "-c", _SCRIPT, "facts", " ".join(versioned), " ".join(found)))


COMMAND = command(VERSIONED, FOUND)
VERSIONS = command((*VERSIONED, *NAMED))


def parse(host: str, answer: bytes) -> Facts:
    """Reads the answer to COMMAND. Lines that are none of ours (a login shell's greeting) are passed over. Raises: HostError."""
    values: dict[str, str] = {}
    tools: dict[str, str] = {}
    found = ""
    for line in answer.decode(errors="replace").splitlines():
        name, equals, value = line.partition("=")
        if found:
            tools[found], found = line[:_MOST_CHARACTERS], ""
        elif name == "at" and equals:
            found = value
        elif name == "tool" and equals:
            tool, _, version = value.partition("=")
            tools[tool] = version[:_MOST_CHARACTERS]
        elif name in {"hostname", "system", "user", "load"} and equals:
            values[name] = value
    if not {"hostname", "system", "user"} <= values.keys():
        raise HostError(
            f"{host} did not say what it is", hint="its login shell must run a POSIX command line"
        )
    return of(values["hostname"], values["system"], values["user"], _number(values.get("load", "")), tools)


def of(hostname: str, system: str, user: str, load: float | None, tools: Mapping[str, str]) -> Facts:
    """With what follows from the tools' versions."""
    return Facts(
        hostname=hostname,
        system=system,
        user=user,
        tools=tools,
        load=load,
        has_gnu_find="GNU findutils" in tools.get("find", ""),
        has_gnu_tar="GNU tar" in tools.get("tar", ""),
    )


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 <= found < 1e6 else None
