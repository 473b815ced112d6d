"""A source: its kind first, then the fields of that kind; what its host has is offered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from engine.model import source_options
from engine.model.definitions import LOCAL_HOST, OptionValue, Source
from engine.model.options import Option
from engine.model.secret import Secret
from engine.model.text import counted
from tui import keys, paths
from tui.dialogs.fields import Check, Field, Values
from tui.dialogs.wizards import option_fields
from tui.dialogs.wizards.host import trial_text
from tui.dialogs.wizards.wizard import Wizard

if TYPE_CHECKING:
    from tui.app import ConsoleApp

KINDS: Final = ("files", "postgres", "mariadb", "mysql", "sqlite", "redis", "mongodb", "command")
_WANTED: Final = (
    "path", "exclude", "database", "all", "user", "secret", "socket", "db_host", "port", "run", "filename", "uri_from", "as_user",
    "physical", "log_spool", "log_slot", "log_binlog",
)  # fmt: skip
_LOGS: Final = ("log_spool", "log_slot", "log_binlog")
"""How a log comes; it goes with the server's files alone."""
_MAIN: Final = {
    "files": "path",
    "sqlite": "path",
    "command": "filename",
    "mongodb": "uri_from",
    "redis": "port",
}
"""The field beside which the test of the whole source stands; of the others `database`."""


class SourceWizard(Wizard[Source]):
    """Of a source; `begun` fills the fields of a new one."""

    noun = "source"

    def __init__(
        self,
        console: ConsoleApp,
        hosts: Sequence[str],
        old: Source | None = None,
        taken: Sequence[str] = (),
        begun: Source | None = None,
    ) -> None:
        super().__init__(console, old, taken)
        self._hosts = hosts
        self._begun = old or begun or Source("", "files")
        self._lacking: Sequence[str] = ()

    def fields(self) -> list[Field]:
        """Kind and host cannot be changed later: what was backed up is of them."""
        begun = self._begun
        options = _as_lists(begun.options)
        named: list[Field] = []
        if self.old is None:
            named = [
                Field("kind", "kind", begun.kind, "what is backed up: left and right", KINDS),
                Field(
                    "host",
                    "host",
                    begun.host,
                    "where it is: left and right",
                    self._hosts,
                    check=self.check_host,
                    checked_by=("kind",),
                ),
                Field(
                    "name",
                    "name",
                    begun.name,
                    "left empty: after host and kind",
                    check=self.check_name_field,
                    is_checked_by_all=True,
                ),
            ]
        fields = option_fields.fields_of(source_options.ALL, options, self._is_taken, _WANTED)
        tested = {
            name: {"check": self._test_beside(name), "is_checked_by_all": True}
            for name in {*_MAIN.values(), "database"} - {"uri_from"}
        }
        tested["path"] |= {"is_path": lambda values: self._host(values) == LOCAL_HOST}
        tested["database"] |= {"offers": self.databases}
        tested |= {name: {"check": self._log_check(name), "is_checked_by_all": True} for name in _LOGS}
        return [*named, *option_fields.with_checks(fields, **tested), option_fields.more_field()]

    def _kind(self, values: Values) -> str:
        return values.get("kind") or self._begun.kind

    def _host(self, values: Values) -> str:
        return values.get("host") or self._begun.host

    def _is_taken(self, option: Option, values: Values) -> bool:
        if option.name in _LOGS and values.get("physical") != "yes":
            return False
        return option in source_options.taken_by(self._kind(values))

    def definition(self, values: Values) -> tuple[Source, Mapping[str, Secret]]:
        """Raises: UsageError."""
        kind, host = self._kind(values), self._host(values)
        known = source_options.taken_by(kind)
        plain = {**values, "path": values.get("path", "")}
        paths_given = known[0].read(plain["path"]) if known[0].name == "path" else None
        name = (
            self.old.name
            if self.old is not None
            else values.get("name") or suggested(kind, host, paths_given)
        )
        given = option_fields.read(known, plain, lambda _option: f"source.{name}")
        options = source_options.shaped(kind, host, given.options, paths.absolute)
        return Source(name, kind, host, options), given.typed

    async def check_host(self, values: Values) -> str:
        """Logs in, and says the version of the tool that the kind needs."""
        host = await self.engine.show_host(self._host(values))
        trial = await self.engine.try_host(host)
        tool, tools = _TOOLS.get(self._kind(values), ""), dict(trial.tools)
        if tool and tool not in tools:
            return f"{trial_text(trial) if host.name != LOCAL_HOST else 'this machine'}, no {tool}"
        return f"{tool} {version_of(tools[tool])}".strip() if tool else trial_text(trial)

    def _test_beside(self, name: str) -> Check:
        async def check(values: Values) -> str:
            if _MAIN.get(self._kind(values), "database") != name or not self._is_whole(values):
                return ""
            source, typed = self.definition(values)
            return said_of(source, await self.engine.try_source(source, typed))

        return check

    def _log_check(self, name: str) -> Check:
        """Asks the server what it lacks; the lines stand below."""

        async def check(values: Values) -> str:
            if values.get(name, "") in ("", "no"):
                return ""
            self._lacking = ()
            source, typed = self.definition(values)
            self._lacking = await self.engine.try_log(source, typed)
            if settings := [each for each in self._lacking if not each.startswith("#")]:
                return f"{counted(len(settings), 'setting')} missing: see below"
            if self._lacking:
                return "something is missing: see below"
            return "the server is set for it"

        return check

    def preview(self, values: Values) -> Sequence[str]:
        """What the server lacks, then command line and TOML. Raises: UsageError."""
        is_logged = any(values.get(each, "") not in ("", "no") for each in _LOGS)
        lines = (
            ["add to the server's configuration:", *self._lacking, ""] if self._lacking and is_logged else []
        )
        return [*lines, *super().preview(values)]

    def _is_whole(self, values: Values) -> bool:
        """Whether enough is said that a test means anything."""
        kind = self._kind(values)
        if kind in ("files", "sqlite"):
            return bool(values.get("path"))
        if kind == "command":
            return bool(values.get("run") and values.get("filename"))
        if kind == "redis":
            return True
        return bool(values.get("database") or values.get("all") == "yes" or values.get("physical") == "yes")

    async def databases(self, values: Values) -> Sequence[tuple[str, str]]:
        """Those that the server shows to this account. Raises: SourceError, HostError."""
        everything = {**values, "database": "", "all": "yes", "table": "", "schema_only": "no"}
        source, typed = self.definition(everything)
        return [(each, each) for each in database_names(await self.engine.try_source(source, typed))]

    async def save(self, values: Values) -> None:
        """Raises: errors of the engine."""
        source, typed = self.definition(values)
        self.require_name(source.name)
        if self.old is None:
            self.done = await self.engine.add_source(source, typed=typed)
        else:
            changes = option_fields.differences(self.old.options, source.options, source_options.KEPT)
            self.done = await self.engine.edit_source(source.name, changes, typed=typed)


_TOOLS: Final[Mapping[str, str]] = {
    "files": "tar",
    "postgres": "pg_dump",
    "mariadb": "mariadb-dump",
    "mysql": "mysqldump",
    "redis": "redis-cli",
    "mongodb": "mongodump",
    "sqlite": "sqlite3",
}


def suggested(kind: str, host: str, path: OptionValue) -> str:
    """A name that nobody has to think of: `web-var-www`, `db1-postgres`."""
    place = "" if host == LOCAL_HOST else f"{host}-"
    what = kind
    first = path[0] if isinstance(path, tuple) and path else ""
    if isinstance(first, str) and first.strip("/"):
        what = "".join(each if each.isascii() and each.isalnum() else "-" for each in first.strip("/")).strip(
            "-"
        )
    name = f"{place}{what}"[:64]
    return name if name[:1].isalpha() else f"{kind}-{name}"[:64]


def database_names(found: Mapping[str, str]) -> Sequence[str]:
    """Of the databases that a test of all of them named."""
    single = [name.removeprefix("database ") for name in found if name.startswith("database ")]
    return single or [each.strip() for each in found.get("databases", "").split(",") if each.strip()]


def version_of(text: str) -> str:
    """`16.4` of `pg_dump (PostgreSQL) 16.4`."""
    found = re.search(r"\d+(\.\d+)+", text)
    return found[0] if found else ""


def said_of(source: Source, found: Mapping[str, str]) -> str:
    """What a test found, in a few words: `pg_dump 16.4, 3 databases`."""
    if source.kind == "files":
        paths_given = source.options.get("path")
        count = len(paths_given) if isinstance(paths_given, tuple | list) else 1
        missing = found.get("missing", "")
        return f"missing: {missing}" if missing else f"{counted(count, 'path')}, can be read"
    names = database_names(found)
    tool, version = _TOOLS.get(source.kind, ""), version_of(found.get("tool", "") or found.get("version", ""))
    parts = [f"{tool} {version}"] if tool and version else []
    parts += [counted(len(names), "database")] if names else []
    return ", ".join(parts) or "can be read"


def _as_lists(options: Mapping[str, OptionValue]) -> Mapping[str, OptionValue]:
    """A path alone is a list of one in its field."""
    path = options.get("path")
    return {**options, "path": (path,)} if isinstance(path, str) else options


async def add_source(console: ConsoleApp, begun: Source | None = None, *, title: str = "") -> Source | None:
    """A new source; `begun` fills the fields."""
    wizard = await _wizard(console, begun=begun)
    done = await wizard.run(title)
    if done is not None:
        console.tell(f"source {done.name} is defined: {keys.of('source.backup')} backs it up")
    return done


async def edit_source(console: ConsoleApp, name: str) -> Source | None:
    """Other options. Raises: UnknownNameError."""
    done = await (await _wizard(console, old=await console.engine.show_source(name))).run()
    if done is not None:
        console.tell(f"source {name} is changed")
    return done


async def _wizard(
    console: ConsoleApp, old: Source | None = None, begun: Source | None = None
) -> SourceWizard:
    hosts = [each.name for each in await console.engine.hosts()]
    taken = [each.name for each in await console.engine.sources()]
    return SourceWizard(console, hosts, old, taken, begun)
