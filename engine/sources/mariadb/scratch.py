"""A throwaway server on the host, from the host's own binaries, for drills.

It lives in one private folder: its data, its socket, and its temporary tables too, since at its start a server removes all of those that lie
in its folder for them, also those of the live server beside it. One script makes it, waits, and takes it away; the life-line guard
(`hosts.script`) ends the script when we leave, are killed or lose the connection, and the folder is removed from a session that no signal of
that end reaches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from engine.errors import HostError, SourceError, ToolMissingError
from engine.hosts.base import Command, OpenHost, Process
from engine.model.secret import Secret
from engine.sources.base import Database
from engine.sources.mariadb.connection import Connection
from engine.sources.mariadb.database import MariadbDatabase
from engine.sources.mariadb.server import version_numbers

START_TIMEOUT_S = 120.0
GONE_WITHIN_S = 15
_MISSING, _NO_FOLDER, _FAILED = 69, 73, 70
"""EX_UNAVAILABLE, EX_CANTCREAT and EX_SOFTWARE of sysexits.h."""

# A socket's path has at most 107 bytes. Where we are root the server runs as its own account, or as nobody.
_SCRIPT = f"""
PATH=$PATH:/usr/sbin:/usr/local/sbin:/usr/libexec
umask 077
for t in mariadbd mariadb-install-db; do command -v $t >/dev/null 2>&1 || {{ echo "$t" >&2; exit {_MISSING}; }}; done
mariadbd --no-defaults --version
s=; command -v setsid >/dev/null 2>&1 && s=setsid
d=$(mktemp -d "${{TMPDIR:-/var/tmp}}/hf.XXXXXXXX") || exit {_NO_FOLDER}
pid=
clean() {{ trap "" HUP INT PIPE TERM; [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null; wait 2>/dev/null; cd /; $s sh -c 'for i in 1 2 3 4 5 6 7 8 9; do rm -rf "$1"; [ -e "$1" ] || exit 0; sleep 1; done' sh "$d"; }}
tell() {{ grep -i -e error -e denied "$d/log" >&2 || tail -n 3 "$d/log" >&2; }}
trap clean EXIT
trap 'clean; exit 143' HUP INT PIPE TERM
[ ${{#d}} -le 100 ] || {{ echo "the path $d is too long for a socket" >&2; exit {_NO_FOLDER}; }}
mkdir "$d/data" "$d/tmp"
u=
[ "$(id -u)" != 0 ] || {{ u=mysql; id -u mysql >/dev/null 2>&1 || u=nobody; chown "$u" "$d" "$d/data" "$d/tmp"; }}
echo "folder=$d"
cd /
mariadb-install-db --no-defaults --datadir="$d/data" --tmpdir="$d/tmp" --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve ${{u:+--user=$u}} </dev/null >"$d/log" 2>&1 & pid=$!
wait $pid || {{ tell; exit {_FAILED}; }}
mariadbd --no-defaults --datadir="$d/data" --tmpdir="$d/tmp" --socket="$d/s" --pid-file="$d/data/pid" --skip-networking --skip-name-resolve --skip-log-bin --event-scheduler=OFF --local-infile=OFF --secure-file-priv="$d/tmp" --max-allowed-packet=1G --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=OFF --performance-schema=OFF --log-bin-trust-function-creators=ON --character-set-server=utf8mb4 ${{u:+--user=$u}} </dev/null >"$d/log" 2>&1 & pid=$!
until [ -S "$d/s" ]; do kill -0 $pid 2>/dev/null || {{ tell; exit {_FAILED}; }}; sleep 0.1; done
echo "socket=$d/s"
wait $pid
tell
exit {_FAILED}
"""
_SERVE = "; ".join(line for line in _SCRIPT.splitlines() if line)
_GONE = f'i=0; while [ -e "$1" ]; do i=$((i+1)); [ $i -le {GONE_WITHIN_S} ] || exit 1; sleep 1; done'


def serve_command(as_user: str | None) -> Command:
    """The command that is the server's life, on one line: a rule of sudoers can hold no more."""
    return Command(("sh", "-c", _SERVE, "mariadb-scratch"), as_user=as_user)


@asynccontextmanager
async def scratch(host: OpenHost, version: str, as_user: str | None) -> AsyncIterator[Database]:
    """See `base.DatabaseSource.scratch`. Raises on entering: ToolMissingError, SourceError; on leaving: SourceError where its folder stayed."""
    folder = ""
    try:
        async with host.start(serve_command(as_user)) as process:
            with suppress(TimeoutError):
                async with asyncio.timeout(START_TIMEOUT_S):
                    said = await _answers(host, process)
                    folder = said["folder"]
            if not folder:
                raise SourceError(
                    f"a scratch server on {host.name} was not ready within {START_TIMEOUT_S:g} seconds"
                )
            if version_numbers(said["version"]) < version_numbers(version):
                raise SourceError(
                    f"the backup was made with MariaDB {version}, and {host.name} has an older one: {said['version']}",
                    hint="drill on a host with a server of that version",
                )
            yield MariadbDatabase(
                Connection(host, user="root", socket=said["socket"], as_user=as_user, secret=Secret(""))
            )
    finally:
        if folder:
            await _require_gone(host, folder, as_user)


async def _answers(host: OpenHost, process: Process) -> dict[str, str]:
    """What the script tells until the server listens. Raises: ToolMissingError, SourceError."""
    text = b""
    while b"\nsocket=" not in text or not text.endswith(b"\n"):
        data = await process.read()
        if not data:
            await _raise_failed(host, process)
        text += data
    lines = text.decode(errors="replace").splitlines()
    values = dict(line.split("=", 1) for line in lines[1:] if "=" in line)
    return {"version": lines[0].partition("Ver ")[2] or lines[0], **values}


async def _raise_failed(host: OpenHost, process: Process) -> None:
    ended = await process.wait()
    words = ended.stderr.decode(errors="replace").strip()[-500:]
    if ended.status == _MISSING:
        raise ToolMissingError(
            f"{words} is missing on {host.name}, so no scratch server can be started there",
            hint="install it there (Debian: `apt install mariadb-server`, whose service need not run)",
        )
    how = f"signal {ended.signal}" if ended.signal else f"status {ended.status}"
    raise SourceError(f"a scratch server on {host.name} ended with {how}: {words or 'nothing was said'}")


async def _require_gone(host: OpenHost, folder: str, as_user: str | None) -> None:
    with suppress(HostError):
        done = await host.run(Command(("sh", "-c", _GONE, "sh", folder), as_user=as_user))
        if done.exit.status == 1:
            raise SourceError(f"the scratch server's folder {folder} on {host.name} could not be removed")
