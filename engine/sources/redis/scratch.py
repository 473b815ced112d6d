"""A throwaway Redis server on the host: an RDB file in a private folder, on a Unix socket alone, until we leave.

Two commands share the folder. The *keeper* makes it, waits for the dump, runs the server, and removes the folder at its end; it has no
input of ours, so that the host's life line ends it when we go away, are killed or lose the connection. The dump comes by a second command,
which needs its standard input for the bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from engine.errors import HostError, SourceError
from engine.hosts.base import Command, OpenHost, Process, require_success
from engine.model.manifest import CheckResult, DatabaseFacts
from engine.sources.base import Database, LoadStream, Selection
from engine.sources.redis.client import Address, Client, find_tool, version_numbers
from engine.sources.redis.rdb import RdbCheck
from engine.sources.redis.server import LiveServer

_LONGEST_FOLDER_BYTES = 90
"""A socket's path holds 107 bytes."""
_ACCOUNTS = ("redis", "valkey", "nobody")
_MOST_DATABASES = 4096
"""A dump with a higher number than the server knows is refused by it; the default is 16."""

_ACCOUNT = 'for u in "$@"; do id -u "$u" >/dev/null 2>&1 && echo "$u" && exit; done; exit 1'
# The word behind the script: `$1` is the server, `$2` its client. `wait` ends for a trap, a builtin that reads a FIFO does not.
_KEEPER = "; ".join(
    line
    for line in f"""
umask 077
t=$(mktemp -d "${{TMPDIR:-/var/tmp}}/holdfast.XXXXXXXX") || exit 73
p=
clean() {{ trap "" HUP INT PIPE TERM; [ -z "$p" ] || {{ kill -KILL $p; wait $p; }} 2>/dev/null; cd /; rm -rf "$t"; }}
trap clean EXIT
trap 'clean; exit 143' HUP INT PIPE TERM
cd "$t" && mkfifo go || exit 73
echo "$t"
cat go >/dev/null & p=$!
wait $p
"$1" --port 0 --unixsocket "$t/socket" --unixsocketperm 700 --dir "$t" --dbfilename dump.rdb --save "" --appendonly no --databases {_MOST_DATABASES} --daemonize no --logfile "" >log 2>&1 </dev/null & p=$!
while kill -0 $p 2>/dev/null; do [ "$("$2" -s "$t/socket" PING 2>/dev/null)" != PONG ] || {{ echo ready; break; }}; sleep 0.1; done
wait $p
s=$?
p=
grep -E "# (Fatal|Can.t|Wrong|Short|Internal error|Unrecoverable|FATAL|Bad)|module" log | head -n 5 >&2
exit $s
""".splitlines()
    if line
)
_RECEIVE = 'umask 077; cat >"$1/dump.rdb"'
_ABSENT = 'n=0; while [ -e "$1" ]; do [ $n -lt 50 ] || exit 1; n=$((n + 1)); sleep 0.2; done'
_GO = 'echo go >"$1/go"'


@asynccontextmanager
async def opened(host: OpenHost, version: str) -> AsyncIterator[Database]:
    """The server, not yet started: it starts with what is loaded. See `base.DatabaseSource.scratch`. Raises: ToolMissingError, SourceError, HostError."""
    facts = await host.facts()
    server = find_tool(host.name, facts, ("redis-server", "valkey-server"), "redis-server")
    client = find_tool(host.name, facts, ("redis-cli", "valkey-cli"), "redis-tools")
    await _require_version(host, server, version)
    user = await unprivileged_account(host) if facts.user == "root" else None
    keeper = Command(("sh", "-c", _KEEPER, "redis", server, client), as_user=user)
    folder = ""
    async with host.start(keeper) as process:
        lines = _Lines(process)
        folder = await lines.next()
        if not folder:
            ended = await process.wait()
            require_success(host.name, keeper, ended)
        if len(folder.encode()) > _LONGEST_FOLDER_BYTES:
            raise SourceError(
                f"{folder} on {host.name} is too long for the path of a socket",
                hint="set TMPDIR for the host",
            )
        yield ScratchServer(_Place(host, folder, user), lines)
    await _require_absence(host, folder, user)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the server lives, and as whom."""

    host: OpenHost
    folder: str
    user: str | None

    def command(self, script: str, *, is_stream: bool = False) -> Command:
        """A shell's command on the folder, `$1`."""
        words = ("sh", "-c", script, "redis", self.folder)
        return Command(words, as_user=self.user, input="stream" if is_stream else "none")


class ScratchServer(LiveServer):
    """See `base.Database`. It takes one dump, under one name."""

    def __init__(self, place: _Place, lines: _Lines) -> None:
        address = Address(("-s", f"{place.folder}/socket"), f"{place.folder}/socket", as_user=place.user)
        super().__init__(Client(place.host, address), "")
        self._place = place
        self._lines = lines
        self._is_running = False

    async def identity(self) -> str:
        """The server's run id, or its folder as long as it is not started."""
        return await super().identity() if self._is_running else self._place.folder

    async def names(self) -> Sequence[str]:
        """What `create` made."""
        return [self._name] if self._name else []

    async def facts(self, name: str) -> DatabaseFacts:
        """See `base.Database.facts`; empty before a dump was loaded."""
        self._require(name)
        return await super().facts(name) if self._is_running else DatabaseFacts(name)

    async def create(self, name: str, like: DatabaseFacts, *, is_owned: bool = True) -> None:
        """Gives the one database its name. Raises: SourceError where it has one already."""
        if self._name:
            raise SourceError(
                f"a scratch server of Redis holds one dump, and this one has {self._name!r}",
                hint="open another",
            )
        self._name = name

    def load(self, name: str, selection: Selection) -> AbstractAsyncContextManager[LoadStream]:
        """Takes the dump, and starts the server with it. Raises: SourceError, for a selection too: an RDB file is loaded whole."""
        self._require(name)
        if selection.tables:
            raise SourceError(
                "of a dump of Redis nothing can be selected: a server loads it whole",
                hint="restore it whole beside, and copy what is wanted by DUMP and RESTORE",
            )
        if self._is_running:
            raise SourceError(f"a scratch server of Redis loads once, and {name!r} is there already")
        return self._load(name)

    @asynccontextmanager
    async def _load(self, name: str) -> AsyncIterator[LoadStream]:
        async with self._place.host.start(self._place.command(_RECEIVE, is_stream=True)) as process:
            yield _Load(self, name, process)

    async def begin(self) -> None:
        """Starts the server on the dump that is there now. Raises: SourceError where it does not load it."""
        go = self._place.command(_GO)
        require_success(self._place.host.name, go, (await self._place.host.run(go)).exit)
        if await self._lines.next() != "ready":
            ended = await self._lines.process.wait()
            words = " ".join(ended.stderr.decode(errors="backslashreplace").split())[:400]
            raise SourceError(
                f"the scratch server on {self._place.host.name} did not load the dump: {words or 'it said nothing'}"
            )
        self._is_running = True

    async def inspect(self, name: str) -> Sequence[CheckResult]:
        """`redis-check-rdb` on the file, and keys at random."""
        self._require(name)
        host = self._place.host
        tool = find_tool(
            host.name, await host.facts(), ("redis-check-rdb", "valkey-check-rdb"), "redis-tools"
        )
        done = await host.run(
            self._place.command(f'{tool} "$1/dump.rdb"'), timeout_s=3600.0, limit_bytes=8 << 20
        )
        is_sound = done.exit.is_success and b"RDB looks OK" in done.stdout
        said = "sound" if is_sound else "damaged"
        return [CheckResult(f"{tool} of {name}", "sound", said, is_sound), *await super().inspect(name)]

    async def drop(self, name: str) -> None:
        """Empties the server and removes the dump; the server itself goes with its folder, when the scratch is left."""
        if name != self._name:
            return
        if self._is_running:
            await self._client.run("FLUSHALL")
        discard = self._place.command('rm -f "$1/dump.rdb"')
        require_success(self._place.host.name, discard, (await self._place.host.run(discard)).exit)
        self._name = ""

    async def free_bytes(self) -> int | None:
        """See `base.Database.free_bytes`: of the folder's file system."""
        done = await self._place.host.run(self._place.command('df -Pk "$1"'))
        fields = done.stdout.decode(errors="replace").splitlines()[-1:]
        words = fields[0].split() if fields else []
        return int(words[3]) * 1024 if len(words) > 3 and words[3].isdecimal() else None


class _Load:
    """See `base.LoadStream`."""

    def __init__(self, server: ScratchServer, name: str, process: Process) -> None:
        self._server = server
        self._check = RdbCheck(f"the dump for {name!r}")
        self._process = process

    async def write(self, data: bytes) -> None:
        await self._send(self._check.take(data))

    async def finish(self) -> Sequence[str]:
        last, is_vouched_for = self._check.finish()
        await self._send(last)
        await self._process.close_input()
        while await self._process.read():
            pass
        ended = await self._process.wait()
        if not ended.is_success:
            words = ended.stderr.decode(errors="backslashreplace").strip()[-300:]
            raise SourceError(
                f"the dump could not be laid down for the scratch server: {words or 'it was cut off'}"
            )
        await self._server.begin()
        return () if is_vouched_for else ("the dump has no checksum (rdbchecksum no)",)

    async def _send(self, data: bytes) -> None:
        try:
            if data:
                await self._process.write(data)
        except BrokenPipeError:
            ended = await self._process.wait()
            words = ended.stderr.decode(errors="backslashreplace").strip()[-300:]
            raise SourceError(f"the dump could not be laid down for the scratch server: {words}") from None


class _Lines:
    """Lines of a process's standard output, one at a time."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._held = b""

    async def next(self) -> str:
        """The next one; empty at the end."""
        while b"\n" not in self._held:
            data = await self.process.read()
            if not data:
                return ""
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        return line.decode(errors="surrogateescape")


async def _require_version(host: OpenHost, server: str, version: str) -> None:
    done = await host.run(Command((server, "--version")))
    own = done.stdout.decode(errors="replace").strip()
    if version_numbers(own) < version_numbers(version):
        raise SourceError(
            f"{server} on {host.name} is older than the server of the backup ({version}): {own[:100]}",
            hint="an older server does not read a newer RDB file; drill on a host with the same version or a newer one",
        )


async def unprivileged_account(host: OpenHost) -> str:
    """The first of the accounts that may handle a dump where we are root. Raises: SourceError, HostError."""
    done = await host.run(Command(("sh", "-c", _ACCOUNT, "redis", *_ACCOUNTS)))
    if not done.exit.is_success:
        raise SourceError(
            f"{host.name} has no account without privileges for a scratch server: none of {', '.join(_ACCOUNTS)}"
        )
    return done.stdout.decode().strip()


async def _require_absence(host: OpenHost, folder: str, user: str | None) -> None:
    """Raises SourceError where the folder outlives the server. A host that is gone has its own life line."""
    command = Command(("sh", "-c", _ABSENT, "redis", folder), as_user=user)
    try:
        done = await host.run(command)
    except HostError:
        return
    if not done.exit.is_success:
        raise SourceError(f"the scratch server's folder {folder} on {host.name} could not be removed")
