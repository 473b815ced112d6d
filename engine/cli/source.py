"""source add|test|list|show|edit|remove."""

from __future__ import annotations

from typing import Final

from engine.cli import definitions, diagnostics
from engine.cli.command import (
    Call,
    Command,
    Parser,
    StandardInput,
    add_name,
    declare_name,
    declare_nothing,
    reference,
)
from engine.cli.options import count, seconds
from engine.cli.output import Column, shape
from engine.errors import UsageError
from engine.model.definitions import LOCAL_HOST, OptionValue, Source
from engine.model.names import check_name
from engine.model.objectives import parse

_KINDS: Final = ("files", "sqlite", "postgres", "mariadb", "mysql", "redis", "mongodb", "command")
_OPTIONS: Final = (
    "path", "exclude", "one_file_system", "run", "filename", "database", "all", "table", "schema_only", "physical", "jobs",
    "user", "secret", "socket", "db_host", "port", "service", "tls", "tls_ca", "uri_from", "oplog", "read_preference",
    "as_user", "in_container", "mask", "objective",
)  # fmt: skip
_TLS: Final = ("disable", "require", "verify-ca", "verify-full")


def _declare_options(parser: Parser) -> None:
    parser.add_argument(
        "--path",
        action="append",
        metavar="PATH",
        help="files: what is backed up (may be repeated); sqlite: the database",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        metavar="PATTERN",
        help="files: leave out, as restic understands it (may be repeated)",
    )
    parser.add_argument(
        "--one-file-system", action="store_true", help="files: stay on the file system of each path"
    )
    parser.add_argument("--run", metavar="COMMAND", help="command: its output is the content")
    parser.add_argument(
        "--filename", metavar="NAME", help="command: what the content is called in the backup"
    )
    parser.add_argument(
        "--objective",
        action="append",
        type=_objective,
        metavar="NAME=VALUE",
        help="duration=2h of a backup, success=95 percent of them, recovery-point=1d, recovery-time=1h of a drill: missed, it is an alert (may be repeated)",
    )
    _declare_database(parser)


def _objective(given: str) -> str:
    """`recovery-point=1d` as `recovery-point=86400`. Raises: UsageError."""
    name, _, value = given.partition("=")
    said = value.removesuffix("%") if name == "success" else f"{seconds(value or 'nothing'):g}"
    parse([f"{name}={said}"])
    return f"{name}={said}"


def _declare_database(parser: Parser) -> None:
    group = parser.add_argument_group("databases")
    group.add_argument("--database", action="append", metavar="NAME", help="dump this one (may be repeated)")
    group.add_argument("--all", action="store_true", help="dump every database but the server's own")
    group.add_argument(
        "--table", action="append", metavar="T", help="dump this table alone (may be repeated)"
    )
    group.add_argument("--schema-only", action="store_true", help="no rows")
    group.add_argument(
        "--physical", action="store_true", help="postgres, mariadb: the whole server's files, not a dump"
    )
    group.add_argument(
        "--jobs",
        type=count,
        metavar="N",
        help="postgres: dump a large database by N dumps at once, in one snapshot",
    )
    group.add_argument("--user", metavar="U", help="log in to the database as this user")
    group.add_argument("--secret", type=reference, metavar="REF", help="where its password is kept")
    group.add_argument("--socket", metavar="PATH", help="postgres: its folder; mariadb, redis: the file")
    group.add_argument("--db-host", metavar="H", help="where the database listens, as the host sees it")
    group.add_argument("--port", type=count, metavar="N", help="the port that it listens on")
    group.add_argument("--service", metavar="NAME", help="postgres: an entry of the host's pg_service.conf")
    group.add_argument("--tls", choices=_TLS, help="verify-full: certificate and name are checked")
    group.add_argument("--tls-ca", metavar="FILE", help="certificates that are trusted, a file of the host")
    group.add_argument("--uri-from", type=reference, metavar="REF", help="mongodb: where its URI is kept")
    group.add_argument(
        "--oplog", action="store_true", help="mongodb: a dump of one instant (replica sets alone)"
    )
    group.add_argument("--read-preference", metavar="MODE", help="mongodb: secondary, for one")
    group.add_argument("--as", dest="as_user", metavar="USER", help="run the client as this user of the host")
    group.add_argument(
        "--mask",
        action="append",
        metavar="TABLE.COLUMN=RULE",
        help="hash, null or replace:TEXT, whenever it is restored to a staging environment (may be repeated)",
    )
    group.add_argument(
        "--in-container", metavar="KIND:NAME", help="docker:NAME, podman:NAME or kubectl:NAMESPACE/POD"
    )


async def _keep_secrets(call: Call, name: str, options: dict[str, OptionValue]) -> dict[str, OptionValue]:
    """A secret that was typed is sealed in the vault: each backup needs it."""
    kept = dict(options)
    for option in ("secret", "uri_from"):
        if isinstance(getattr(call.arguments, option, None), StandardInput):
            await call.engine.keep_secret(f"source.{name}", "-")
            kept[option] = f"vault:source.{name}"
    return kept


def _declare_add(parser: Parser) -> None:
    add_name(parser, "source")
    parser.add_argument("--kind", required=True, metavar="KIND", help=f"one of {', '.join(_KINDS)}")
    parser.add_argument(
        "--host", default=LOCAL_HOST, metavar="HOST", help="this machine where it is left out"
    )
    _declare_options(parser)


async def _add(call: Call) -> int:
    arguments = call.arguments
    check_name("source", arguments.name)
    options = _shaped(arguments.kind, arguments.host, definitions.given(arguments, _OPTIONS))
    options = await _keep_secrets(call, arguments.name, options)
    source = await call.engine.add_source(Source(arguments.name, arguments.kind, arguments.host, options))
    said = f"source {source.name} is defined; `holdfast backup {source.name}` takes it"
    return definitions.done(call, said, source)


def _shaped(kind: str, host: str, options: dict[str, OptionValue]) -> dict[str, OptionValue]:
    """The options as the kind takes them. Raises: UsageError for several paths where one is meant."""
    paths = options.get("path")
    if not isinstance(paths, tuple):
        return options
    if host == LOCAL_HOST:
        paths = tuple(definitions.absolute(path) for path in paths)
    if kind == "files":
        return {**options, "path": paths}
    if len(paths) > 1:
        raise UsageError(f"a source of kind {kind} has one --path", hint="define a source for each")
    return {**options, "path": paths[0]}


async def _test(call: Call) -> int:
    found = await call.engine.test_source(call.arguments.name)
    call.output.line(f"source {call.arguments.name} can be read")
    definitions.show_pairs(call.output, [(f"  {name}", str(value)) for name, value in found.items()])
    call.output.result({"source": call.arguments.name, "found": dict(found)})
    return diagnostics.DONE


async def _list(call: Call) -> int:
    sources = await call.engine.sources()
    heads = [Column("SOURCE"), Column("KIND"), Column("HOST"), Column("OPTIONS", is_flexible=True)]
    rows = [[each.name, each.kind, each.host, definitions.shown(each.options)] for each in sources]
    return definitions.listed(call, heads, rows, sources)


async def _show(call: Call) -> int:
    source = await call.engine.show_source(call.arguments.name)
    pairs = [("name", source.name), ("kind", source.kind), ("host", source.host)]
    for name, value in source.options.items():
        values = value if isinstance(value, tuple | list) else [value]
        pairs += [(name, str(each)) for each in values]
    found = await call.engine.source_health(source.name)
    pairs.append(("health", f"{found.score} of 100" + (f" ({found.limit})" if found.limit else "")))
    pairs += [(f"  {part.name}", f"{part.points} of {part.most}: {part.reason}") for part in found.parts]
    definitions.show_pairs(call.output, pairs)
    call.output.result({**shape(source), "health": shape(found)})
    return diagnostics.DONE


def _declare_edit(parser: Parser) -> None:
    add_name(parser, "source")
    _declare_options(parser)
    definitions.add_unset(parser)


async def _edit(call: Call) -> int:
    changes = definitions.changes(call.arguments, _OPTIONS, "source")
    old = await call.engine.show_source(call.arguments.name)
    changes = await _keep_secrets(call, old.name, _shaped(old.kind, old.host, changes))
    source = await call.engine.edit_source(old.name, changes)
    return definitions.done(call, f"source {source.name} is changed", source)


ADD = Command(_declare_add, _add)
TEST = Command(declare_name("source"), _test)
LIST = Command(declare_nothing, _list)
SHOW = Command(declare_name("source"), _show)
EDIT = Command(_declare_edit, _edit)
REMOVE = definitions.removal(
    "source",
    lambda engine, name: engine.remove_source(name),
    lambda engine, name: engine.show_source(name),
    asks="? its backups stay",
    tells="; its backups are kept",
)
