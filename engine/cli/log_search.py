"""logs find: the transaction that did it, and the restore to just before it."""

from __future__ import annotations

import shlex

from engine.cli import diagnostics
from engine.cli.command import Call, Command, Parser, add_name
from engine.cli.output import Column, shape
from engine.errors import UsageError
from engine.model import text, when
from engine.model.instants import ALL_TABLES, LEAST_ROWS, ChangeQuery, FoundChanges, LogChange

_WORDS = {
    "dropped": "dropped",
    "replaced": "emptied or rewritten",
    "deleted": "rows deleted",
    "updated": "rows updated",
    "inserted": "rows inserted",
    "said": "statement",
}


def _declare(parser: Parser) -> None:
    add_name(parser, "source")
    parser.add_argument(
        "--dropped",
        default="",
        metavar="TABLE",
        help="when this table was dropped, emptied, or many of its rows changed; with its schema or database, or without",
    )
    parser.add_argument(
        "--changed",
        default="",
        metavar="TABLE",
        help="each transaction that deleted rows of this table, or updated them where the log tells, those of most rows first",
    )
    parser.add_argument(
        "--statement",
        default="",
        metavar="TEXT",
        help="when a statement that holds this was run, where the log tells",
    )
    parser.add_argument(
        "--between",
        nargs=2,
        metavar="WHEN",
        help="what happened in that time; with --dropped no other time is looked at",
    )
    parser.add_argument("--storage", default="", metavar="STORAGE", help="as this storage holds the log")


async def _find(call: Call) -> int:
    arguments = call.arguments
    if arguments.dropped and arguments.changed:
        raise UsageError("--dropped and --changed exclude each other: --changed finds what was dropped too")
    if not (arguments.dropped or arguments.changed or arguments.statement or arguments.between):
        raise UsageError(
            "say what is looked for: --dropped TABLE, --changed TABLE, --statement TEXT or --between WHEN WHEN",
            hint=f"holdfast logs find {arguments.name} --dropped orders",
        )
    since, until = (
        when.parse(each, call.clock.now(), call.clock.local_offset) if each else None
        for each in (arguments.between or ("", ""))
    )
    if since is not None and until is not None and until < since:
        raise UsageError("the first instant of --between lies behind the second")
    query = ChangeQuery(
        arguments.name,
        arguments.dropped or arguments.changed,
        since,
        until,
        arguments.statement,
        arguments.storage,
        least_rows=1 if arguments.changed or arguments.statement else LEAST_ROWS,
        is_largest_first=bool(arguments.changed),
    )
    found = await call.engine.find_changes(query)
    columns = (
        Column("WHEN"),
        Column("WHAT"),
        Column("DATABASE", is_optional=True),
        Column("TABLE", is_flexible=True),
        Column("ROWS", is_right=True),
        Column("TRANSACTION", is_right=True),
        Column("PLACE", is_optional=True),
        Column("STATEMENT", is_optional=True),
    )
    call.output.table(columns, [_row(each) for each in found.changes])
    for line in lines(found, is_largest_first=query.is_largest_first):
        call.output.line(line)
    call.output.result(shape(found))
    return diagnostics.DONE


def _row(change: LogChange) -> list[str]:
    files = f"of files {', '.join(change.relations)}" if change.relations else "-"
    tables = ", ".join(change.tables) or files
    return [
        change.at.astimezone().isoformat(sep=" ", timespec="milliseconds"),
        _WORDS.get(change.kind, change.kind) + (f", in series {change.left}" if change.left else ""),
        text.printable(change.database),
        text.printable(tables),
        str(change.rows or "-"),
        change.named,
        change.position,
        text.printable(change.statement),
    ]


def lines(found: FoundChanges, *, is_largest_first: bool = False) -> list[str]:
    """What was read, and what to do now, for people."""
    read = f"{text.counted(found.segments, 'segment')} of the log were read, in {found.storage}"
    if not found.changes:
        return [f"nothing of that was found; {read}"]
    meant = found.changes[0 if is_largest_first else -1]
    left = sorted({each.left for each in found.changes if each.left})
    said = [read]
    if found.unnamed:
        said.append(
            f"{text.counted(found.unnamed, 'change')} to tables whose names no base tells are not all shown"
        )
    if left:
        said.append(
            f"series {', '.join(left)} of the log was left for another before that: what was done there is in no server that went on, and a restore "
            "goes there by TRANSACTION@SERIES"
        )
    which = "largest" if is_largest_first else "last"
    said.append(f"back to just before the {which} of them: {restoring(found.source, meant)}")
    return said


def restoring(source: str, change: LogChange) -> str:
    """The command that brings back what the change took, beside what is live."""
    words = [
        "holdfast",
        "restore",
        "--source",
        source,
        "--at-transaction",
        change.named,
        "--just-before",
    ]
    words += ["--into", "before_it"]
    if change.tables:
        words += ["--database", change.database]
    for table in (each for each in change.tables if each != ALL_TABLES):
        words += ["--table", table]
    return shlex.join(words)


FIND = Command(_declare, _find)
