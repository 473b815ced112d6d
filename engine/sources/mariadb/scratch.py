"""A throwaway server on the host, from the host's own binaries, for drills.

It lives in one private folder: its data, its socket, and its temporary tables too, since at its start a server removes all of those that lie
in its folder for them, also those of the live server beside it. One script makes it, waits, and takes it away; the life-line guard
(`hosts.script`) ends the script when we leave, are killed or lose the connection, and the folder is removed from a session that no signal of
that end reaches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

from engine.errors import HostError, SourceError, ToolMissingError
from engine.hosts.base import Command, OpenHost, Process
from engine.model.secret import Secret
from engine.sources.base import Database
from engine.sources.mariadb.connection import Connection
from engine.sources.mariadb.database import MariadbDatabase
from engine.sources.mariadb.server import version_numbers

START_TIMEOUT_S = 120.0
GONE_WITHIN_S = 15
_MISSING, NO_FOLDER, FAILED = 69, 73, 70
"""EX_UNAVAILABLE, EX_CANTCREAT and EX_SOFTWARE of sysexits.h."""

_PACKAGES = {"mariadb-backup": "mariadb-backup", "tar": "tar", "mysqld": "mysql-server"}

# A socket's path has at most 107 bytes. Where we are root the server runs as its own account, or as nobody.
_BEGIN = f"""
PATH=$PATH:/usr/sbin:/usr/local/sbin:/usr/libexec
umask 077
for t in %s; do command -v $t >/dev/null 2>&1 || {{ echo "$t" >&2; exit {_MISSING}; }}; done
v=$(%s --no-defaults --version) || exit {FAILED}; echo "version=${{v#*Ver }}"
s=; command -v setsid >/dev/null 2>&1 && s=setsid
pid= d=
clean() {{ trap "" HUP INT PIPE TERM; [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null; wait 2>/dev/null; cd /; [ -z "$d" ] || $s sh -c 'for i in 1 2 3 4 5 6 7 8 9; do rm -rf "$1"; [ -e "$1" ] || exit 0; sleep 1; done' sh "$d"; }}
tell() {{ grep -i -e error -e denied "$d/log" >&2 || tail -n 3 "$d/log" >&2; }}
trap clean EXIT
trap 'clean; exit 143' HUP INT PIPE TERM
d=$(mktemp -d "${{TMPDIR:-/var/tmp}}/hf.XXXXXXXX") || exit {NO_FOLDER}
[ ${{#d}} -le 100 ] || {{ echo "the path $d is too long for a socket" >&2; exit {NO_FOLDER}; }}
mkdir "$d/data" "$d/tmp"
u=
[ "$(id -u)" != 0 ] || {{ u=mysql; id -u mysql >/dev/null 2>&1 || u=nobody; chown "$u" "$d" "$d/data" "$d/tmp"; }}
echo "folder=$d"
cd /
"""
_INSTALL = f"""
mariadb-install-db --no-defaults --datadir="$d/data" --tmpdir="$d/tmp" --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve ${{u:+--user=$u}} </dev/null >"$d/log" 2>&1 & pid=$!
wait $pid || {{ tell; exit {FAILED}; }}
set --
"""
_INSTALL_MYSQL = f"""
mysqld --no-defaults --initialize-insecure --datadir="$d/data" --tmpdir="$d/tmp" --secure-file-priv=NULL --skip-log-bin --innodb-flush-method=nosync --innodb-doublewrite=OFF ${{u:+--user=$u}} </dev/null >"$d/log" 2>&1 & pid=$!
wait $pid || {{ tell; exit {FAILED}; }}
set -- --mysqlx=OFF --innodb-flush-method=nosync
"""
_START = f"""
%s --no-defaults --datadir="$d/data" --tmpdir="$d/tmp" --socket="$d/s" --pid-file="$d/data/pid" --skip-networking --skip-name-resolve --skip-log-bin --event-scheduler=OFF --local-infile=OFF --secure-file-priv="$d/tmp" --max-allowed-packet=1G --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=OFF --performance-schema=OFF --log-bin-trust-function-creators=ON --character-set-server=utf8mb4 ${{u:+--user=$u}} "$@" </dev/null >"$d/log" 2>&1 & pid=$!
until [ -S "$d/s" ]; do kill -0 $pid 2>/dev/null || {{ tell; exit {FAILED}; }}; sleep 0.1; done
echo "socket=$d/s"
"""
_SERVE = f"""
wait $pid
tell
exit {FAILED}
"""


def one_line(*parts: str) -> str:
    """A rule of sudoers can hold no more than one."""
    return "; ".join(line for part in parts for line in part.splitlines() if line)


def begin(tools: str, server: str = "mariadbd") -> str:
    """How a script begins that needs these programs of the host, of which the server says its version."""
    return _BEGIN % (tools, server)


START = _START % "mariadbd"
_SCRATCH = one_line(begin("mariadbd mariadb-install-db"), _INSTALL, START, _SERVE)
_SCRATCH_OF_MYSQL = one_line(begin("mysqld", "mysqld"), _INSTALL_MYSQL, _START % "mysqld", _SERVE)
_GONE = f'i=0; while [ -e "$1" ]; do i=$((i+1)); [ $i -le {GONE_WITHIN_S} ] || exit 1; sleep 1; done'


def serve_command(as_user: str | None, *, is_of_mysql: bool = False) -> Command:
    """The command that is an empty server's life."""
    script = _SCRATCH_OF_MYSQL if is_of_mysql else _SCRATCH
    return Command(("sh", "-c", script, "mariadb-scratch"), as_user=as_user)


@asynccontextmanager
async def scratch(
    host: OpenHost, version: str, as_user: str | None, *, is_of_mysql: bool = False
) -> AsyncIterator[Database]:
    """See `base.DatabaseSource.scratch`. Raises on entering: ToolMissingError, SourceError; on leaving: SourceError where its folder stayed."""
    said: dict[str, str] = {}
    try:
        async with host.start(serve_command(as_user, is_of_mysql=is_of_mysql)) as process:
            with suppress(TimeoutError):
                async with asyncio.timeout(START_TIMEOUT_S):
                    await listen(
                        host, process, said, "socket", lambda has: _require_as_new(host, has, version)
                    )
            if "socket" not in said:
                raise SourceError(
                    f"a scratch server on {host.name} was not ready within {START_TIMEOUT_S:g} seconds"
                )
            # The empty secret: no option file is read, which might hold the live server's password.
            connection = Connection(
                host, "root", said["socket"], as_user=as_user, secret=Secret(""), is_of_mysql=is_of_mysql
            )
            yield MariadbDatabase(connection)
    finally:
        if "folder" in said:
            await require_gone(host, said["folder"], as_user)


async def listen(
    host: OpenHost, process: Process, said: dict[str, str], until: str, require: Callable[[str], None]
) -> None:
    """Gathers what the script says, until it says that; `require` is given the server's version. Raises: ToolMissingError, SourceError; as `require`."""
    rest = b""
    while until not in said:
        data = await process.read()
        if not data:
            await raise_failed(host, process)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            name, _equals, value = line.decode(errors="replace").partition("=")
            said[name] = value
            if name == "folder":
                # Not before: what is refused leaves a folder, whose end is waited for by its name.
                require(said["version"])


def _require_as_new(host: OpenHost, has: str, needed: str) -> None:
    """Raises: SourceError where the host's server is older than the one that the backup was made with."""
    if version_numbers(has) < version_numbers(needed):
        raise SourceError(
            f"the backup was made with version {needed}, and {host.name} has an older one: {has}",
            hint="drill on a host with a server of that version",
        )


async def raise_failed(host: OpenHost, process: Process) -> NoReturn:
    """Raises: why the script ended."""
    ended = await process.wait()
    words = ended.stderr.decode(errors="replace").strip()[-500:]
    if ended.status == _MISSING:
        raise ToolMissingError(
            f"{words} is missing on {host.name}, so no scratch server can be started there",
            hint=f"install it there (Debian: `apt install {_PACKAGES.get(words, 'mariadb-server')}`, whose service need not run)",
        )
    how = f"signal {ended.signal}" if ended.signal else f"status {ended.status}"
    raise SourceError(f"a scratch server on {host.name} ended with {how}: {words or 'nothing was said'}")


async def require_gone(host: OpenHost, folder: str, as_user: str | None) -> None:
    """Raises: SourceError where the folder stays."""
    with suppress(HostError):
        done = await host.run(Command(("sh", "-c", _GONE, "sh", folder), as_user=as_user))
        if done.exit.status == 1:
            raise SourceError(f"the scratch server's folder {folder} on {host.name} could not be removed")
