"""Reading a SQLite database: the copy, and the manifest."""

from __future__ import annotations

import posixpath
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from engine.errors import (
    ConfigurationError,
    HoldfastError,
    IncompleteDumpError,
    PathMissingError,
    SourceError,
    ToolMissingError,
)
from engine.format.layout import encode_name
from engine.hosts.base import Command, Exit, Facts, OpenHost
from engine.model.definitions import Source
from engine.model.manifest import DatabaseFacts, Manifest
from engine.sources.base import Database, Item, ParseStream, Secrets, Traits, TreeFeed
from engine.sources.dump import DumpItem, manifest_item
from engine.sources.options import Reader
from engine.sources.sqlite import scratch
from engine.sources.sqlite.facts import GENERATE, instant, parse, without_facts
from engine.sources.sqlite.folder import Folder, SqliteFolder

_BUSY_TIMEOUT_MS = 5000
_VACUUM_INTO_SINCE = (3, 27)
_NO_FILE, _NO_FOLDER = 66, 73
"""Statuses of our own scripts (EX_NOINPUT and EX_CANTCREAT of sysexits.h), which sqlite3 does not use."""

_NOT_A_DATABASE = 26
"""SQLite's own number; what is shorter than its smallest page it takes for an empty database, which a file cut short is not."""
_SMALLEST_BYTES = 512


def _one_line(script: str) -> str:
    """A script of statements that each fill a line, as one line: a rule of sudoers can hold no more."""
    return "; ".join(line for line in script.splitlines() if line)


# `$1` is the database.
_LOOK = f"""
[ -f "$1" ] || {{ echo "there is no such file" >&2; exit {_NO_FILE}; }}
[ ! -s "$1" ] || [ ! -r "$1" ] || [ "$(wc -c <"$1")" -ge {_SMALLEST_BYTES} ] || {{ echo "file is not a database" >&2; exit {_NOT_A_DATABASE}; }}
"""
# /var/tmp, because /tmp is often in memory. It may be told
# to end twice, by us and by its guard, and the second time must not end `rm`;
# and a shell that reports a child's end to a standard error that is gone gets a SIGPIPE, which must not end it either.
_FRAME = f"""
{_LOOK}
umask 077
t=$(mktemp -d "${{TMPDIR:-/var/tmp}}/holdfast.XXXXXXXX") || exit {_NO_FOLDER}
clean() {{ trap "" HUP INT PIPE TERM; cd /; rm -rf "$t"; }}
trap clean EXIT
trap 'clean; exit 143' HUP INT PIPE TERM
cd "$t" || exit {_NO_FOLDER}
"""
_SQLITE3 = f"sqlite3 -batch -bail -readonly -init /dev/null -cmd '.timeout {_BUSY_TIMEOUT_MS}'"
# `$2` prints statements, which print the facts. Where they fail, the manifest knows less and the copy is none the worse.
_COUNT = f"""
{_SQLITE3} copy.db "$2" </dev/null >count.sql 2>/dev/null || :
sqlite3 -batch -readonly -init /dev/null copy.db <count.sql >&2 2>/dev/null || :
"""
_VACUUM = _one_line(
    _FRAME
    + f"""
{_SQLITE3} "$1" "VACUUM INTO 'copy.db'" </dev/null >&2 || exit
{_COUNT}
[ -f copy.db ] && cat copy.db
"""
)
_BACKUP = _one_line(
    _FRAME
    + f"""
{_SQLITE3} "$1" ".backup copy.db" </dev/null >&2 || exit
[ "$({_SQLITE3} copy.db 'PRAGMA integrity_check(1)' </dev/null)" = ok ] || {{ echo "the copy is malformed" >&2; exit 11; }}
{_COUNT}
cat copy.db
"""
)
_CHECK = _one_line(f"""
{_LOOK}
{_SQLITE3} "$1" "PRAGMA schema_version; PRAGMA page_count; PRAGMA page_size" </dev/null
""")
_PYTHON_OPEN = f"""
import os, shutil, signal, sqlite3, sys, tempfile, urllib.parse
path = sys.argv[1]
if not os.path.isfile(path):
    print("there is no such file", file=sys.stderr)
    sys.exit({_NO_FILE})
if 0 < os.path.getsize(path) < {_SMALLEST_BYTES}:
    print("file is not a database", file=sys.stderr)
    sys.exit({_NOT_A_DATABASE})
try:
    source = sqlite3.connect("file:" + urllib.parse.quote(os.fsencode(path)) + "?mode=ro", uri=True, timeout={_BUSY_TIMEOUT_MS / 1000})
    version = source.execute("PRAGMA schema_version").fetchone()[0]
except sqlite3.Error as error:
    sys.exit("Error: %s" % error)
"""
_PYTHON_CHECK = (
    _PYTHON_OPEN
    + "print(version)\nfor name in ('count', 'size'):\n    print(source.execute('PRAGMA page_' + name).fetchone()[0])"
)
_PYTHON_BACKUP = (
    _PYTHON_OPEN
    + f"""
def count(path):
    try:
        copy = sqlite3.connect(path)
        for (statement,) in [row for select in sys.argv[2].split("; ") if select for row in copy.execute(select)]:
            try:
                print(copy.execute(statement).fetchone()[0], file=sys.stderr)
            except sqlite3.Error:
                pass
        copy.close()
    except sqlite3.Error:
        pass
def leave(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)
signal.signal(signal.SIGTERM, leave)
os.umask(0o77)
try:
    folder = tempfile.TemporaryDirectory(prefix="holdfast.", dir=os.environ.get("TMPDIR", "/var/tmp"))
except OSError as error:
    print(error, file=sys.stderr)
    sys.exit({_NO_FOLDER})
with folder as name:
    try:
        copy = sqlite3.connect(os.path.join(name, "copy.db"))
        source.backup(copy)
        verdict = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        copy.close()
        if verdict != "ok":
            raise sqlite3.DatabaseError("the copy is malformed: %s" % verdict)
        count(os.path.join(name, "copy.db"))
        with open(os.path.join(name, "copy.db"), "rb") as whole:
            shutil.copyfileobj(whole, sys.stdout.buffer, 1 << 20)
        sys.stdout.buffer.flush()
    except (sqlite3.Error, OSError) as error:
        sys.exit("Error: %s" % error)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""
)


class SqliteSource:
    """See `base.OpenSource`."""

    traits = Traits(kind="sqlite", shape="items", can_load=True, is_whole=True, is_database=True)

    def __init__(self, definition: Source, host: OpenHost) -> None:
        """Raises: ConfigurationError."""
        given = Reader(definition)
        self._host = host
        self._path = given.text("path")
        given.require_no_more()
        if not self._path.startswith("/") or self._path.endswith("/"):
            raise ConfigurationError(
                f"option --path of source {definition.name} must be an absolute path of a file, not {self._path!a}"
            )

    @classmethod
    @asynccontextmanager
    async def open(cls, definition: Source, host: OpenHost, secrets: Secrets) -> AsyncIterator[SqliteSource]:
        """Opens it; there is no secret to know. Raises: ConfigurationError."""
        del secrets
        yield cls(definition, host)

    async def check(self) -> Mapping[str, str]:
        """See `base.OpenSource.check`. Raises: PathMissingError, ToolMissingError, SourceError, HostError."""
        facts = await self._host.facts()
        tool = self._tool(facts)
        words = (
            ("sh", "-c", _CHECK, "sqlite", self._path)
            if tool == "sqlite3"
            else ("python3", "-c", _PYTHON_CHECK, self._path)
        )
        done = await self._host.run(Command(words))
        self._judge(done.exit)
        _schema, pages, page_bytes = map(int, done.stdout.split())
        return {"tool": tool, "version": facts.tools[tool], "size_bytes": str(pages * page_bytes)}

    async def items(self) -> Sequence[Item]:
        """See `base.OpenSource.items`. Raises: ToolMissingError, HostError."""
        (command,) = await self.commands()
        name = posixpath.basename(self._path)
        path = f"databases/{encode_name(name)}"
        lines: list[bytes] = []
        dump = DumpItem(path, self._host, command, self._judge, lines.extend)
        return [dump, manifest_item(lambda: self._manifest(name, path, lines))]

    async def _manifest(self, name: str, path: str, lines: Sequence[bytes]) -> Manifest:
        facts = await self._host.facts()
        version = facts.tools[self._tool(facts)]
        return Manifest(
            kind="sqlite",
            taken_at=instant(lines),
            server_version=version,
            tool_version=version,
            identity=f"{facts.hostname}:{posixpath.dirname(self._path)}",
            databases=[parse(name, lines, path)] if lines else [],
        )

    async def commands(self) -> Sequence[Command]:
        """See `base.OpenSource.commands`. Raises: ToolMissingError, HostError."""
        facts = await self._host.facts()
        if self._tool(facts) != "sqlite3":
            return [Command(("python3", "-c", _PYTHON_BACKUP, self._path, GENERATE))]
        script = _VACUUM if _version(facts.tools["sqlite3"]) >= _VACUUM_INTO_SINCE else _BACKUP
        return [Command(("sh", "-c", script, "sqlite", self._path, GENERATE))]

    def tree(self) -> AbstractAsyncContextManager[TreeFeed]:
        """There is none. Raises: SourceError."""
        raise SourceError("a source of kind sqlite has no tree, but an item")

    def database(self) -> AbstractAsyncContextManager[Database]:
        """See `base.DatabaseSource.database`: the folder of the file. Needs sqlite3 on the host."""
        return self._database()

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Database]:
        facts = await self._host.facts()
        if "sqlite3" not in facts.tools:
            raise ToolMissingError(
                f"{self._host.name} has no sqlite3, so {self._path} can neither be counted nor restored",
                hint="install it there (Debian: `apt install sqlite3`)",
            )
        folder, name = posixpath.split(self._path)
        yield SqliteFolder(Folder(self._host, folder), name)

    def scratch(self, version: str) -> AbstractAsyncContextManager[Database]:
        """See `base.DatabaseSource.scratch`: a folder, for the file needs no server of a certain version."""
        del version
        return scratch.opened(self._host)

    def parsing(self, facts: DatabaseFacts) -> AbstractAsyncContextManager[ParseStream]:
        """See `base.ParsingSource.parsing`: the dump is the file, which its own checker reads page by page in a private folder."""
        return scratch.parsing(self._host, facts)

    def _tool(self, facts: Facts) -> str:
        for tool in ("sqlite3", "python3"):
            if tool in facts.tools:
                return tool
        raise ToolMissingError(
            f"{self._host.name} has neither sqlite3 nor python3, so a database in use cannot be copied whole",
            hint=f"install sqlite3 there (Debian: `apt install sqlite3`), then `holdfast host test {self._host.name}`",
        )

    def _judge(self, ended: Exit) -> Sequence[str]:
        if ended.is_success:
            return ()
        words = without_facts(ended.stderr)
        place = f"{self._path} on {self._host.name}"
        if ended.status == _NO_FILE:
            raise PathMissingError(f"{place} is not there")
        raise self._reason(ended, words, place)

    def _reason(self, ended: Exit, words: str, place: str) -> HoldfastError:
        if ended.status == _NO_FOLDER:
            return SourceError(
                f"no private folder could be made for a copy of {place}: {words}",
                hint="set TMPDIR for the host",
            )
        if "disk is full" in words or "No space left" in words or "disk I/O error" in words:
            return IncompleteDumpError(
                f"the disk of {self._host.name} has no room for a copy of {place}: {words}",
                hint="the copy needs as much free space as the database, in /var/tmp or where TMPDIR of the host points",
            )
        if "malformed" in words or "not a database" in words:
            return IncompleteDumpError(
                f"{place} is damaged: {words}", hint="try `sqlite3 FILE .recover` on a copy of it"
            )
        if "locked" in words or "busy" in words:
            return IncompleteDumpError(
                f"{place} stayed locked for {_BUSY_TIMEOUT_MS // 1000} seconds: {words}",
                hint="back it up when its writer is idle",
            )
        how = f"status {ended.status}" if ended.status is not None else f"signal {ended.signal}"
        return IncompleteDumpError(f"{place} could not be copied ({how}): {words or 'nothing was said'}")


def _version(line: str) -> tuple[int, ...]:
    """The numbers that `sqlite3 --version` begins with; empty where there are none."""
    found = re.match(r"(\d+)\.(\d+)", line)
    return tuple(map(int, found.groups())) if found else ()
