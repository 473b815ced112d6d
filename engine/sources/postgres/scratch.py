"""A throwaway server from the host's own binaries, whose life is one channel's.

One shell on the host makes the folder, runs the server in it and waits for the end of its standard input. That comes when we close it,
are killed, or lose the connection; then it stops the server and removes the folder. It waits for no signal, so nobody needs to be there
to send one. As root it starts the server as `postgres`, or `nobody`: servers refuse root.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.errors import SourceError, ToolMissingError
from engine.hosts.base import Command, OpenHost, Process, require_started
from engine.sources.base import Database
from engine.sources.postgres import words
from engine.sources.postgres.connection import Connection
from engine.sources.postgres.database import PostgresDatabase

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
_NO_BINARIES = 69
"""EX_UNAVAILABLE of sysexits.h, which no program of PostgreSQL ends with."""

SCRIPT = r"""
version=$1
umask 077
for bin in "/usr/lib/postgresql/$version/bin" "/usr/pgsql-$version/bin" "/usr/lib/postgresql$version/bin" "/usr/libexec/postgresql$version" \
  "/opt/homebrew/opt/postgresql@$version/bin" "$(pg_config --bindir 2>/dev/null </dev/null)" "$(dirname "$(command -v postgres)" 2>/dev/null)"; do
  [ -x "$bin/postgres" ] && [ -x "$bin/initdb" ] || continue
  case $("$bin/postgres" --version </dev/null) in *" $version"[.\ a-z]*|*" $version") found=$bin; break ;; esac
done
[ -n "${found-}" ] || { echo "there is no postgres and initdb of version $version" >&2; exit 69; }
folder= server=
end() {
  trap '' HUP INT PIPE TERM
  [ -z "$server" ] || { kill -QUIT "$server"; wait "$server"; }
  cd /
  # In a session of its own, so that no signal for this one ends it half-way.
  [ -z "$folder" ] || setsid rm -rf "$folder" || rm -rf "$folder"
} >/dev/null 2>&1
trap end EXIT
trap 'exit 143' HUP INT PIPE TERM
folder=$(mktemp -d "${TMPDIR:-/var/tmp}/hf.XXXXXXXX") || exit 73
as() { exec "$@"; }
if [ "$(id -u)" = 0 ]; then
  account=postgres
  id -u postgres >/dev/null 2>&1 || account=nobody
  chown "$account:" "$folder" || exit 73
  if command -v setpriv >/dev/null 2>&1; then
    as() { exec setpriv --reuid="$account" --regid="$(id -g "$account")" --clear-groups -- "$@"; }
  else
    as() { exec runuser -u "$account" -- "$@"; }
  fi
fi
cd "$folder" || exit 73
[ "$(printf %s "$folder/.s.PGSQL.5432" | wc -c)" -lt 107 ] || { echo "$folder is too long for the path of a socket" >&2; exit 73; }
(as "$found/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions </dev/null >&2) || exit 1
as "$found/postgres" -D "$folder/data" -k "$folder" -p 5432 -c listen_addresses= -c fsync=off -c full_page_writes=off \
  -c synchronous_commit=off -c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=4GB -c autovacuum=off -c archive_mode=off \
  -c logging_collector=off -c log_destination=stderr -c log_min_error_statement=panic -c log_error_verbosity=terse \
  -c max_locks_per_transaction=256 </dev/null >"$folder/log" 2>&1 3<&- &
server=$!
while ! "$found/pg_isready" -q -h "$folder" -p 5432 -U postgres -t 3 </dev/null; do
  kill -0 "$server" 2>/dev/null || { tail -n 5 "$folder/log" >&2; server=; exit 1; }
  sleep 0.1
done
printf 'ready\n%s\n%s\n' "$folder" "$found"
cat >/dev/null
"""


@asynccontextmanager
async def started(host: OpenHost, as_user: str | None, version: str) -> AsyncIterator[Database]:
    """See `base.DatabaseSource.scratch`."""
    major = major_version(version)
    command = Command(("sh", "-c", SCRIPT, "sh", major), as_user=as_user, input="stream")
    async with host.start(command) as process:
        try:
            folder, binaries = await _ready(host, command, process, major)
            connection = Connection(
                user="postgres", socket=folder, port=5432, as_user=as_user, folder=binaries
            )
            yield PostgresDatabase(host, connection, "postgres")
        finally:
            await _stop(process)


def major_version(version: str) -> str:
    """`15` of `15.20 (Debian …)`, `9.6` of `9.6.24`. Raises: SourceError."""
    found = re.match(r"(9\.\d+|\d+)", version)
    if not found:
        raise SourceError(f"{version!a} is no version of PostgreSQL")
    return found[1]


async def _ready(host: OpenHost, command: Command, process: Process, major: str) -> tuple[str, str]:
    """The socket's folder and that of the binaries. Raises: ToolMissingError, SourceError, HostError."""
    said = b""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while said.count(b"\n") < 3:
                piece = await process.read()
                if not piece:
                    break
                said += piece
    except TimeoutError:
        raise SourceError(
            f"a server for a drill did not start on {host.name} within {START_TIMEOUT_S:g} seconds"
        ) from None
    lines = said.decode(errors="surrogateescape").splitlines()
    if len(lines) >= 3 and lines[0] == "ready":
        return lines[1], lines[2]
    ended = await process.wait()
    if ended.status == _NO_BINARIES:
        raise ToolMissingError(
            f"{host.name} has no server of PostgreSQL {major}, of which the backup is",
            hint=f"install it there (Debian: `apt install --no-install-recommends postgresql-{major}`); it need not run",
        )
    require_started(host.name, command, ended)
    raise words.failure(ended, f"a server for a drill did not start on {host.name}")


async def _stop(process: Process) -> None:
    """Ends the server's life line, and waits until its folder is gone, for a while. Cancelled meanwhile, the host finishes it alone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.close_input()
            await process.wait()
