"""What is done with the logs of sources from several views: shipped, looked at, searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.model import log_words
from engine.model.instants import ChangeQuery, LogChange
from engine.model.requests import ShipRequest
from engine.model.schedules import Action, Schedule
from engine.model.text import counted, size
from tui.dialogs.confirm import TypeName
from tui.dialogs.menu import Menu
from tui.dialogs.reader import Reader
from tui.panes.timeline import to_second
from tui.text import clock, printable

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_FOUND = 200
"""So many changes are offered."""


async def ship(console: ConsoleApp, source: str) -> None:
    """Now, to the storages that its schedules ship to: its host forgets what all of those have."""
    request = ShipRequest((source,), await console.engine.log_storages(source))
    await console.submit("ship", request, f"shipping the log of {source}")


async def show_report(console: ConsoleApp, source: str) -> None:
    """A page: what of it can be reached, what is missing, how far it is behind, what waits; and in a line each the other sources with a log."""
    report = await console.engine.log_report(source)
    lines = [*log_words.lines(report), ""]
    if report.lag_s is not None:
        lines.append(f"lag         {clock(report.lag_s)} behind the last look")
    if report.state is not None and report.state.free_bytes is not None:
        lines.append(f"room        {size(report.state.free_bytes)} free where it waits on the host")
    lines.append(
        f"size        {size(report.size_bytes)} in {printable(', '.join(report.storages)) or 'no storage'}"
    )
    others = [each for each in await console.engine.log_reports() if each.source != source]
    lines += ["", "other logs"] if others else []
    lines += [
        f"  {printable(each.source)}: recoverable to {log_words.instant(each.recoverable_to)}, {counted(len(each.gaps), 'gap')}"
        for each in others
    ]
    await console.ask(
        Reader(f"log of {source}", [*lines, "", f"Same as: holdfast logs show {printable(source)}"])
    )


async def show_setup(console: ConsoleApp, source: str) -> None:
    """A page of lines for the server's own configuration. Raises: UsageError where sources of that kind have no log; SourceError, HostError."""
    console.tell(f"{printable(source)}: asking its server...")
    lines = [printable(each) for each in await console.engine.log_setup(source)]
    console.tell("nothing is missing" if not lines else f"{counted(len(lines), 'setting')} missing")
    if lines:
        said = ["Add these to the server's configuration, and restart it:", "", *lines]
        await console.ask(Reader(f"what the server of {source} lacks before its log can be shipped", said))


async def drop(console: ConsoleApp, source: str) -> None:
    """What the server keeps for us goes, once its name was typed. Raises: UsageError where it keeps none; SourceError, HostError."""
    report = await console.engine.log_report(source)
    schedules = await console.engine.log_schedules(source)
    lines = [
        *map(printable, log_words.dropping(report, schedules)),
        f"Same as: holdfast logs drop {printable(source)}",
    ]
    if await console.ask(TypeName(f"LET THE SERVER OF {printable(source)} FORGET ITS LOG", lines, source)):
        console.tell(f"{printable(source)}: asking its server...")
        dropped = await console.engine.drop_log(source)
        console.tell(
            printable(
                f"{source}: {dropped} is dropped"
                if dropped
                else f"the server of {source} kept nothing for us"
            )
        )
        console.main.pane.view.reload()


async def find_change(console: ConsoleApp, source: str) -> LogChange | None:
    """Asks for a table, has the log searched for what dropped, emptied or deleted from it, and gives the one that a person chose.

    Raises: UnknownNameError, UsageError, StorageError, DamagedError, SourceError, HostError.
    """
    table = await console.ask_line("dropped, emptied or deleted from which table: ")
    if not table:
        return None
    console.tell("searching the log...")
    found = await console.engine.find_changes(ChangeQuery(source, table))
    read = f"{counted(found.segments, 'segment')} of the log were read"
    if not found.changes:
        console.tell(f"nothing did that to {printable(table)}: {read}")
        return None
    newest = found.changes[: -_FOUND - 1 : -1]
    console.tell(read)
    chosen = await console.ask(
        Menu("Just before which?", [(str(place), _change(each)) for place, each in enumerate(newest)])
    )
    return newest[int(chosen)] if chosen is not None else None


def _change(change: LogChange) -> str:
    what = f"{change.rows} rows {change.kind}" if change.rows else change.kind
    tables: Sequence[str] = change.tables or ("?",)
    return printable(
        f"{to_second(change.at)}  {what}  {change.database} {', '.join(tables)}  transaction {change.named}"
    )


def shipping(source: str) -> Schedule:
    """What a schedule of its log may begin with."""
    return Schedule(f"{source}-log", Action.SHIP, "every 5 minutes", sources=(source,))
