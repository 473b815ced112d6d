"""A throwaway server on the host of a backup's own files, for drills: `scratch`, but for what it is made of.

The files come as a tar archive on standard input, mariadb-backup brings them to one instant, and the server starts from them. It lasts as
long as that input is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from engine.errors import SourceError
from engine.hosts.base import Command, OpenHost, Process
from engine.model.manifest import Manifest
from engine.model.secret import Secret
from engine.sources import tar_feed
from engine.sources.base import Database
from engine.sources.mariadb.connection import Connection
from engine.sources.mariadb.database import MariadbDatabase
from engine.sources.mariadb.physical import INCREMENTS
from engine.sources.mariadb.scratch import (
    FAILED,
    NO_FOLDER,
    START,
    START_TIMEOUT_S,
    begin,
    listen,
    one_line,
    raise_failed,
    require_gone,
)
from engine.sources.mariadb.server import version_numbers
from engine.sources.server_files import Revival

RECOVERY_TIMEOUT_S = 6 * 3600.0
"""How long the redo log may take."""
_SETTINGS = ("innodb_page_size", "innodb_data_file_path", "innodb_undo_tablespaces")
"""Of the settings that mariadb-backup writes beside the files, those without which no server could read them."""
# `$1` parts of the archive's names are above what comes into the folder `$3`, which is empty where `$4` increments lie beside the data; `$2` KiB are
# needed. The accounts among the files may all have passwords: one more is made, which the server knows by the account of the host that uses it.
TAKE = rf"""
as() {{ exec "$@"; }}
[ -z "$u" ] || {{ if command -v setpriv >/dev/null 2>&1; then as() {{ exec setpriv --reuid="$u" --regid="$(id -g "$u")" --clear-groups -- "$@"; }}; else as() {{ exec runuser -u "$u" -- "$@"; }}; fi; }}
f=$(df -P -k "$d" 2>/dev/null </dev/null | {{ read -r x; read -r x x x f x && echo "$f"; }})
[ "${{f:-$2}}" -ge "$2" ] || {{ echo "where $d is $f KiB are free, and $2 are needed" >&2; exit {NO_FOLDER}; }}
echo taking=1
(as tar -x -o -f - -C "$d/$3" --strip-components="$1") || exit {NO_FOLDER}
n=0; for i in "$d/{INCREMENTS}"/*/; do [ ! -d "$i" ] || n=$((n+1)); done
[ "$n" = "$4" ] || {{ echo "of $4 increments $n are there" >&2; exit {FAILED}; }}
p() {{ (as mariadb-backup --no-defaults --prepare --target-dir="$d/data" --tmpdir="$d/tmp" "$@") </dev/null >"$d/log" 2>&1 & pid=$!; wait $pid && tail -n 1 "$d/log" | grep -q "completed OK!" || {{ tell; exit {FAILED}; }}; }}
p
for i in "$d/{INCREMENTS}"/*/; do [ ! -d "$i" ] || {{ p --incremental-dir="$i"; rm -rf "$i"; }}; done
o() {{ sed -n "s/^$1=\([A-Za-z0-9_:;.]*\)\$/--$1=\1/p" "$d/data/backup-my.cnf" 2>/dev/null | tail -n 1; }}
me=$(id -un)
for w in "CREATE OR REPLACE USER \`$me\`@localhost IDENTIFIED VIA unix_socket" "GRANT ALL ON *.* TO \`$me\`@localhost WITH GRANT OPTION"; do echo "$w;"; done >"$d/tmp/init"
[ -z "$u" ] || chown "$u" "$d/tmp/init"
echo "user=$me"
set -- --init-file="$d/tmp/init" {" ".join(f"$(o {each})" for each in _SETTINGS)}
"""
HOLD = "cat >/dev/null"
_SCRIPT = one_line(begin("mariadbd mariadb-backup tar"), TAKE, START, HOLD)


@dataclass(frozen=True, slots=True)
class Taking:
    """The script of a throwaway server that takes its files."""

    host: OpenHost
    process: Process
    as_user: str | None
    version: str
    """Of the server that the files are of."""
    said: dict[str, str] = field(default_factory=dict)
    """What the script said so far."""

    async def until(self, word: str, timeout_s: float = RECOVERY_TIMEOUT_S) -> None:
        """Waits until the script says that word. Raises: ToolMissingError; SourceError where it does not; HostError."""
        host = self.host
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await listen(
                    host, self.process, self.said, word, lambda has: _require_same(host, has, self.version)
                )
        if word not in self.said:
            raise SourceError(f"a scratch server on {host.name} was not ready within {timeout_s:g} seconds")

    def feed(self, start: Callable[[], Awaitable[Database]]) -> tar_feed.TarFeed:
        """What the files go into; `start` waits for the server, once they are there."""
        return tar_feed.TarFeed(self.process, partial(raise_failed, self.host, self.process), start)

    def connection(self) -> Connection:
        """To the server of which the script spoke."""
        said = self.said
        # The empty secret: no option file is read, which might hold the live server's password.
        return Connection(
            self.host, user=said["user"], socket=said["socket"], as_user=self.as_user, secret=Secret("")
        )


@asynccontextmanager
async def taking(
    host: OpenHost, as_user: str | None, manifest: Manifest, depth: int, script: str, more_bytes: int = 0
) -> AsyncIterator[Taking]:
    """Starts a script that begins as ours does, and waits until it takes files; it needs room for these, and `more_bytes`.

    Raises on leaving: SourceError where its folder stayed.
    """
    count = len(manifest.increments)
    size_bytes = sum(each.size_bytes for each in manifest.databases)
    # Increments of a chain have no more than half of its full copy (`jobs.increments`).
    needed_kib = (size_bytes + (size_bytes // 2 if count else 0) + more_bytes) >> 10
    words = ("sh", "-c", script, "mariadb-revival", str(depth), str(needed_kib), "" if count else "data", str(count))  # fmt: skip
    said: dict[str, str] = {}
    try:
        async with host.start(Command(words, as_user=as_user, input="stream")) as process:
            try:
                found = Taking(host, process, as_user, manifest.server_version, said)
                await found.until("taking", START_TIMEOUT_S)
                yield found
            finally:
                await tar_feed.stop(process)
    finally:
        if "folder" in said:
            await require_gone(host, said["folder"], as_user)


@asynccontextmanager
async def revived(
    host: OpenHost, as_user: str | None, manifest: Manifest, depth: int
) -> AsyncIterator[Revival]:
    """See `server_files.PhysicalSource.revive`. Raises on leaving: SourceError where its folder stayed."""
    async with taking(host, as_user, manifest, depth, _SCRIPT) as script:

        async def start() -> Database:
            await script.until("socket")
            return MariadbDatabase(script.connection())

        yield script.feed(start)


def _require_same(host: OpenHost, has: str, needed: str) -> None:
    """Raises: SourceError where the host's programs are of another version, which may take the files for damaged, or worse."""
    if version_numbers(has) != version_numbers(needed):
        raise SourceError(
            f"the files are those of MariaDB {needed}, and {host.name} has {has}",
            hint="drill on a host with a server and mariadb-backup of that version",
        )
