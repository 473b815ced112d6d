"""source add|test|list|show|edit|remove."""

from __future__ import annotations

from engine.cli import definitions, diagnostics
from engine.cli.command import (
    Call,
    Command,
    Parser,
    StandardInput,
    add_name,
    declare_name,
    declare_nothing,
)
from engine.cli.options import add_option
from engine.cli.output import Column, shape
from engine.model import source_options, text
from engine.model.definitions import LOCAL_HOST, OptionValue, Source
from engine.model.names import check_name


def _declare_options(parser: Parser) -> None:
    for each in source_options.OPTIONS:
        add_option(parser, each)
    group = parser.add_argument_group("databases")
    for each in source_options.DATABASES:
        add_option(group, each)


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
    parser.add_argument(
        "--kind", required=True, metavar="KIND", help=f"one of {', '.join(source_options.KINDS)}"
    )
    parser.add_argument(
        "--host", default=LOCAL_HOST, metavar="HOST", help="this machine where it is left out"
    )
    _declare_options(parser)


async def _add(call: Call) -> int:
    arguments = call.arguments
    check_name("source", arguments.name)
    options = source_options.shaped(
        arguments.kind,
        arguments.host,
        definitions.given(arguments, source_options.KEPT),
        definitions.absolute,
    )
    options = await _keep_secrets(call, arguments.name, options)
    source = await call.engine.add_source(Source(arguments.name, arguments.kind, arguments.host, options))
    said = f"source {source.name} is defined; `holdfast backup {source.name}` takes it"
    return definitions.done(call, said, source)


async def _test(call: Call) -> int:
    found = await call.engine.test_source(call.arguments.name)
    call.output.line(f"source {call.arguments.name} can be read")
    pairs = [(f"  {name}", str(value)) for name, value in found.items() if name != "log_lacks"]
    definitions.show_pairs(call.output, pairs)
    if lacks := found.get("log_lacks"):
        call.output.line("its log lacks:")
        for line in lacks.splitlines():
            call.output.line(f"  {text.printable(line)}")
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
    if without := await call.engine.without_log(source.name):
        pairs.append(("instants", without))
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
    changes = definitions.changes(call.arguments, source_options.KEPT, "source")
    old = await call.engine.show_source(call.arguments.name)
    changes = await _keep_secrets(
        call, old.name, source_options.shaped(old.kind, old.host, changes, definitions.absolute)
    )
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
