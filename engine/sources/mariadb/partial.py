"""Backups of a part of a MariaDB or MySQL server: its roles, its configuration files, and how a dump of schema or rows alone is told."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from engine.errors import SourceError
from engine.hosts.base import Command
from engine.model.backup import Scope
from engine.sources import configuration
from engine.sources.base import Item
from engine.sources.mariadb import accounts
from engine.sources.mariadb.answers import texts
from engine.sources.mariadb.connection import Connection, Tools
from engine.sources.mariadb.items import Gathered, MemoryItem, manifest_item

SCOPES = frozenset({Scope.SCHEMA, Scope.CONTENT, Scope.ROLES, Scope.CONFIGURATION})
CONTENT_WORDS = ("--no-create-info", "--skip-triggers", "--skip-routines", "--skip-events")
_PLACES = ("/etc/my.cnf", "/etc/mysql/my.cnf", "/etc/mysql/mariadb.cnf")
"""Where servers look that were told nothing else. Source: MariaDB's manual, "Configuring MariaDB with Option Files"."""
_ARGUMENTS = r"""\
pid=$(cat -- "$1" 2>/dev/null) && tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -a -e '^--no-defaults$' -e '^--defaults.*-file='
:
"""


async def role_items(connection: Connection, tools: Tools, gathered: Gathered) -> list[Item]:
    """Users, roles and grants alone. Where the account may not read them there is no backup. Raises: SourceError, HostError."""

    async def users() -> tuple[bytes, Sequence[str]]:
        script, warnings = await accounts.read_globals(connection, tools)
        if script == accounts.DENIED_SCRIPT:
            raise SourceError(warnings[0], hint="let the account SELECT from the database mysql")
        return script, warnings

    return [MemoryItem(accounts.GLOBALS_PATH, users), manifest_item(gathered)]


async def configuration_items(connection: Connection, gathered: Gathered) -> list[Item]:
    """The option files that the server reads, and what they include. Raises: SourceError, HostError.

    A server does not say which these are: its arguments do, where the account may see them; else it is those that every server reads.
    """
    if not connection.is_on_host:
        raise SourceError(
            f"the server's configuration files are not on {connection.host.name}",
            hint="back it up from the machine where the server runs",
        )
    (rows,) = await connection.results("SELECT @@global.datadir, @@global.pid_file")
    datadir, pid_file = texts(rows[0])
    command = Command(
        ("sh", "-c", _ARGUMENTS, "sh", posixpath.join(datadir, pid_file)), as_user=connection.as_user
    )
    done = await connection.host.run(command)
    arguments = done.stdout.decode("utf-8", "surrogateescape").splitlines()
    named = {each.partition("=")[0]: each.partition("=")[2] for each in arguments}
    paths = [path for option, path in named.items() if path and option.endswith("-file")]
    if not {"--no-defaults", "--defaults-file"} & named.keys():
        for place in _PLACES:
            paths += await configuration.expanded(connection.host, place, connection.as_user)
    found = await configuration.with_included(connection.host, paths, connection.as_user, _included)
    return [*configuration.items(connection.host, found, connection.as_user), manifest_item(gathered)]


def _included(text: bytes) -> list[str]:
    patterns = []
    for line in text.splitlines():
        match configuration.words(line):
            case ["!include", path]:
                patterns.append(path)
            case ["!includedir", folder]:
                patterns.append(f"{folder.rstrip('/')}/*.cnf")
    return patterns
