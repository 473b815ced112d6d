"""A folder of SQLite files as a `Database`: a restore writes a file of a fresh name, checks it, and renames it over the live one."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from engine.errors import SourceError, ToolMissingError, UnknownNameError
from engine.hosts.base import Command, Completed, OpenHost, Process
from engine.model.manifest import CheckResult, DatabaseFacts
from engine.model.masking import MaskRule
from engine.sources.base import LoadStream, Selection
from engine.sources.sqlite import masking
from engine.sources.sqlite.facts import GENERATE, parse

_SAFE_SINCE = (3, 37)
"""From here on sqlite3 can be kept from running programs and touching other files, which its SQL otherwise may."""
_CHECK_TIMEOUT_S = 6 * 3600.0
_LONGEST_FINDINGS = 5
_ABSENT, _PRESENT, _BUSY, _FAILED = 66, 17, 75, 74

# In each, `$1` is the folder and `$2` a name in it.
_SQLITE3 = "sqlite3 -batch -bail -init /dev/null -cmd '.timeout 5000'"
_CD = f'cd "$1" || exit {_ABSENT}; '
_LIST = (
    _CD
    + 'for f in ./* ./.[!.]*; do [ -f "$f" ] && [ "$(head -c 15 "$f" 2>/dev/null)" = "SQLite format 3" ] && printf "%s\\0" "$f"; done; :'
)
_CREATE = "umask 077; set -C; " + _CD + f'( : >"./$2" ) 2>/dev/null || exit {_PRESENT}'
_RECEIVE = "umask 077; " + _CD + 'cat >"./$2" && { sync "./$2" . 2>/dev/null || sync; }'
_FACTS = (
    _CD
    + f'[ -f "./$2" ] || exit {_ABSENT}; {_SQLITE3} -readonly "./$2" "$3" </dev/null | sqlite3 -batch -readonly -init /dev/null "./$2"'
)
_CHECK = _CD + f'[ -f "./$2" ] || exit {_ABSENT}; {_SQLITE3} -readonly "./$2" "$3" </dev/null'
_QUERY = (
    _CD
    + f'[ -f "./$2" ] || exit {_ABSENT}; sqlite3 -batch -bail -init /dev/null -safe -readonly "./$2" "$3" </dev/null'
)
_HAND_OVER = (
    _CD
    + '[ ! -f "./$3" ] || { chown "$(stat -c %u:%g "./$3")" "./$2" && chmod "$(stat -c %a "./$3")" "./$2"; }'
)
_DROP = _CD + 'rm -f -- "./$2" "./$2-wal" "./$2-shm" "./$2-journal"'
_RUN = _CD + f'[ -f "./$2" ] || exit {_ABSENT}; {_SQLITE3} "./$2"'
# A hard link never takes the place of what is there.
_RENAME = _CD + f'ln "./$2" "./$3" 2>/dev/null || exit {_PRESENT}; rm -f -- "./$2"'
_FREE = 'df -Pk "$1"'
# `$2` takes the place of `$3`, which is kept as `$4`. A log that belongs to the old file must never lie beside the new one, and is either
# taken into the old file, which fails where a program has it open, or, where the old file is damaged, goes with it.
_SWAP = "; ".join(
    line
    for line in f"""
{_CD.removesuffix("; ")}
[ -f "./$2" ] || exit {_ABSENT}
[ ! -e "./$4" ] && [ ! -L "./$4" ] || exit {_PRESENT}
[ ! -L "./$3" ] || {{ echo "it is a symbolic link: name the file itself" >&2; exit {_FAILED}; }}
mode=
if [ -f "./$3" ]; then chown "$(stat -c %u:%g "./$3")" "./$2" && chmod "$(stat -c %a "./$3")" "./$2" || exit {_FAILED}; mode=$({_SQLITE3} "./$3" "PRAGMA journal_mode" </dev/null 2>/dev/null); said=$({_SQLITE3} "./$3" "PRAGMA journal_mode=DELETE; BEGIN EXCLUSIVE; ROLLBACK" </dev/null 2>&1); case $said in *locked*|*busy*) [ "$mode" != wal ] || {_SQLITE3} "./$3" "PRAGMA journal_mode=WAL" </dev/null >/dev/null 2>&1; exit {_BUSY} ;; esac; ln "./$3" "./$4" || exit {_FAILED}; fi
back() {{ for s in -wal -journal; do [ ! -e "./$4$s" ] || mv "./$4$s" "./$3$s"; done; rm -f "./$4"; exit {_FAILED}; }}
for s in -wal -journal; do [ ! -e "./$3$s" ] || mv "./$3$s" "./$4$s" || back "$@"; done
rm -f "./$3-shm" "./$2-wal" "./$2-shm" "./$2-journal"
mv -fT "./$2" "./$3" || back "$@"
sync "./$3" . 2>/dev/null || sync
[ "$mode" != wal ] || {_SQLITE3} "./$4" "PRAGMA journal_mode=WAL" </dev/null >/dev/null 2>&1
:
""".splitlines()
    if line
)


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the files lie, and as whom they are touched."""

    host: OpenHost
    path: str
    as_user: str | None = None

    def command(self, script: str, *words: str, is_stream: bool = False) -> Command:
        """A shell's command on the folder."""
        return Command(
            ("sh", "-c", script, "sqlite", self.path, *words),
            as_user=self.as_user,
            input="stream" if is_stream else "none",
        )

    async def run(self, script: str, *words: str, timeout_s: float = 60.0) -> Completed:
        """One to its end. Raises: HostError."""
        return await self.host.run(self.command(script, *words), limit_bytes=16 << 20, timeout_s=timeout_s)


class SqliteFolder:
    """See `base.Database`."""

    def __init__(self, folder: Folder, live: str = "") -> None:
        """`live` is the file that is never dropped or loaded into; empty in a scratch folder."""
        self._folder = folder
        self._live = live
        self._owned: set[str] = set()

    async def identity(self) -> str:
        """The host's own name and the folder."""
        return f"{(await self._folder.host.facts()).hostname}:{self._folder.path}"

    async def names(self) -> Sequence[str]:
        """The files of the folder that begin as SQLite's do."""
        done = await self._folder.run(_LIST)
        self._require(done, "", "listed")
        found = [name.decode("utf-8", "surrogateescape") for name in done.stdout.split(b"\0") if name]
        return sorted(name.removeprefix("./") for name in found)

    async def facts(self, name: str) -> DatabaseFacts:
        """See `base.Database.facts`. Counts every table, and so reads the file."""
        done = await self._folder.run(_FACTS, _valid(name), GENERATE, timeout_s=_CHECK_TIMEOUT_S)
        if done.exit.status == _ABSENT or b"holdfast size " not in done.stdout:
            self._require(done, name, "counted")
            raise SourceError(f"{self._at(name)} could not be counted: {_said(done)}")
        return parse(name, done.stdout.splitlines())

    async def create(self, name: str, like: DatabaseFacts, *, is_owned: bool = True) -> None:
        """An empty file, for us alone until it is whole; then (`is_owned`) it gets owner and mode of the live one."""
        self._require(await self._folder.run(_CREATE, _valid(name)), name, "made")
        if is_owned and self._live:
            self._owned.add(name)

    async def hand_over(self, name: str) -> Sequence[str]:
        """Gives a file that was loaded to those who may read the live one. Returns a warning where that cannot be."""
        if name not in self._owned:
            return ()
        done = await self._folder.run(_HAND_OVER, name, self._live)
        return (
            ()
            if done.exit.is_success
            else (f"{self._at(name)} could not be given to the owner of {self._live}: {_said(done)}",)
        )

    def load(self, name: str, selection: Selection) -> AbstractAsyncContextManager[LoadStream]:
        """Writes the file, to the disk and not only into memory, and checks it. Raises: SourceError for the live one, and for a selection."""
        if name == self._live:
            raise SourceError(
                f"{self._at(name)} is never written over", hint="load under a fresh name beside it, then swap"
            )
        if selection.tables:
            raise SourceError(
                "of a SQLite database nothing can be selected: it is one file",
                hint="restore it beside, then `ATTACH` it to the live one and copy the rows",
            )
        return self._load(name)

    @asynccontextmanager
    async def _load(self, name: str) -> AsyncIterator[LoadStream]:
        async with self._folder.host.start(
            self._folder.command(_RECEIVE, _valid(name), is_stream=True)
        ) as process:
            yield _Load(self, name, process)

    async def inspect(self, name: str) -> Sequence[CheckResult]:
        """`integrity_check`, which reads every page, and `foreign_key_check`."""
        results = []
        for check, expected in (("integrity_check", "ok"), ("foreign_key_check", "")):
            done = await self._folder.run(_CHECK, _valid(name), f"PRAGMA {check}", timeout_s=_CHECK_TIMEOUT_S)
            if done.exit.status == _ABSENT:
                self._require(done, name, "checked")
            found = done.stdout.decode(errors="replace").strip()
            passed = done.exit.is_success and found == expected
            lines = (found or _said(done)).splitlines()
            actual = "ok" if passed else "; ".join(lines[:_LONGEST_FINDINGS])[:300]
            results.append(CheckResult(f"{check} of {name}", "ok", actual, passed))
        return results

    async def query(self, name: str, statement: str) -> str:
        """See `base.Database.query`: by sqlite3, read-only and in its safe mode. Raises: SourceError, ToolMissingError."""
        if statement.strip().startswith("."):
            raise SourceError(f"{statement!r} is a command of sqlite3, and no SQL")
        version = _version((await self._folder.host.facts()).tools.get("sqlite3", ""))
        if version < _SAFE_SINCE:
            raise ToolMissingError(
                f"{self._folder.host.name} has no sqlite3 that runs a query safely",
                hint=f"sqlite3 {'.'.join(map(str, _SAFE_SINCE))} or newer does",
            )
        done = await self._folder.run(_QUERY, _valid(name), statement, timeout_s=_CHECK_TIMEOUT_S)
        self._require(done, name, "asked")
        return done.stdout.decode(errors="backslashreplace").removesuffix("\n")

    async def swap(self, fresh: str, live: str, aside: str) -> Sequence[str]:
        """See `base.Database.swap`. The live file has one name or the other at every instant. Raises: SourceError, where it is in use too."""
        done = await self._folder.run(
            _SWAP, _valid(fresh), _valid(live), _valid(aside), timeout_s=_CHECK_TIMEOUT_S
        )
        if done.exit.status == _BUSY:
            raise SourceError(
                f"{self._at(live)} is in use, and nothing was changed",
                hint="stop the application that has it open",
            )
        if done.exit.status == _PRESENT:
            raise SourceError(f"{self._at(aside)} is there already, and nothing was changed")
        self._require(done, fresh, f"put in the place of {live!r}")
        return (
            f"a program that still has the old {live} open goes on with it, under the name {aside}: restart it",
        )

    async def mask(self, name: str, rules: Mapping[str, Sequence[MaskRule]], key: bytes) -> None:
        """See `base.MaskingDatabase.mask`."""
        done = await self._folder.run(_CHECK, _valid(name), masking.QUESTION, timeout_s=_CHECK_TIMEOUT_S)
        self._require(done, name, "looked at")
        script = masking.script(done.stdout.splitlines(), rules, key)
        done = await self._folder.host.run(
            self._folder.command(_RUN, _valid(name), is_stream=True),
            input_bytes=script.encode("utf-8", "surrogateescape"),
            timeout_s=_CHECK_TIMEOUT_S,
        )
        self._require(done, name, "masked")

    async def give_name(self, fresh: str, name: str, like: DatabaseFacts) -> Sequence[str]:
        """See `base.MaskingDatabase.give_name`."""
        del like
        self._require(await self._folder.run(_RENAME, _valid(fresh), _valid(name)), name, "named")
        return ()

    async def drop(self, name: str) -> None:
        """See `base.Database.drop`. Raises: SourceError for the live one."""
        if name == self._live:
            raise SourceError(f"{self._at(name)} is the live database, and is not dropped")
        self._require(await self._folder.run(_DROP, _valid(name)), name, "removed")

    def connect_line(self, name: str) -> str:
        """See `base.Database.connect_line`."""
        return shlex.join(("sqlite3", "-readonly", f"{self._folder.path}/{name}"))

    async def free_bytes(self) -> int | None:
        """See `base.Database.free_bytes`: of the folder's file system."""
        done = await self._folder.run(_FREE)
        found = re.search(r"\s\d+\s+\d+\s+(\d+)\s+\d+%", done.stdout.decode(errors="replace"))
        return int(found[1]) * 1024 if found else None

    def _at(self, name: str) -> str:
        return f"{self._folder.path}/{name} on {self._folder.host.name}"

    def _require(self, done: Completed, name: str, what: str) -> None:
        """Raises unless it went well: UnknownNameError, SourceError."""
        if done.exit.is_success:
            return
        if done.exit.status == _ABSENT:
            raise UnknownNameError(f"{self._at(name)} is not there")
        if done.exit.status == _PRESENT:
            raise SourceError(f"{self._at(name)} is there already")
        raise SourceError(f"{self._at(name)} could not be {what}: {_said(done)}")


class _Load:
    """See `base.LoadStream`."""

    def __init__(self, folder: SqliteFolder, name: str, process: Process) -> None:
        self._folder = folder
        self._name = name
        self._process = process

    async def write(self, data: bytes) -> None:
        try:
            if data:
                await self._process.write(data)
        except BrokenPipeError:
            await self._require_end()

    async def finish(self) -> Sequence[str]:
        await self._process.close_input()
        while await self._process.read():
            pass
        await self._require_end()
        wrong = [each for each in await self._folder.inspect(self._name) if not each.passed]
        if any(each.check.startswith("integrity_check") for each in wrong):
            raise SourceError(f"what was loaded as {self._name} is damaged: {wrong[0].actual}")
        return [
            *(f"{each.check}: {each.actual}" for each in wrong),
            *await self._folder.hand_over(self._name),
        ]

    async def _require_end(self) -> None:
        ended = await self._process.wait()
        if not ended.is_success:
            words = ended.stderr.decode(errors="backslashreplace").strip()[-300:]
            raise SourceError(f"{self._name} could not be written: {words or 'it was cut off'}")


def _valid(name: str) -> str:
    """The name, if it can be a file's. Raises: UnknownNameError."""
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise UnknownNameError(f"{name!r} cannot be the name of a file")
    return name


def _said(done: Completed) -> str:
    return done.exit.stderr.decode(errors="backslashreplace").strip()[:300] or "it said nothing"


def _version(line: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", line)
    return tuple(map(int, found.groups())) if found else ()
