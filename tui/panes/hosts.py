"""Hosts: the machines that sources are on, what was found there, and what no source takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from textual import on
from textual.widget import Widget

from engine.model import host_options
from engine.model.command_lines import adding, line
from engine.model.definitions import LOCAL_HOST, Host, Source, retired_reason
from engine.model.results import HostReport
from engine.model.spans import span
from engine.model.text import counted
from tui import backup_work, keys
from tui.actions import Action
from tui.dialogs import wizards
from tui.dialogs.busy import Busy
from tui.dialogs.confirm import TypeName
from tui.dialogs.reader import Reader
from tui.panes.base import View
from tui.place import bindings
from tui.text import printable
from tui.widgets.page import Page
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

_NONE: Final = "there is no host yet: {host.new} defines one"


class HostsView(View):
    """Every host, and below what is known of the one under the cursor."""

    PLACE = "hosts"
    BINDINGS = bindings("hosts")
    DEFAULT_CSS = """
    HostsView > RowTable { height: 1fr; max-height: 50%; }
    HostsView > Page { height: 1fr; border-top: ascii $foreground; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_class("beside")
        self.table = RowTable(
            [
                Column("HOST", 12, is_flexible=True), Column("ADDRESS", 22, is_flexible=True), Column("SOURCES", 7, is_right=True),
                Column("UNCOVERED", 9, is_right=True), Column("STATE", 8),
            ],
            empty=_NONE,
        )  # fmt: skip
        self.page = Page()
        self.page.add_class("aside")
        self._hosts: dict[str, Host] = {}
        self._sources: Sequence[Source] = ()
        self._uncovered: dict[str, Sequence[str]] = {}
        self._new = ""
        """Where the cursor goes when all of them are read again."""

    @property
    def crumb(self) -> str:
        """In the path."""
        return "hosts"

    def compose(self) -> Iterator[Widget]:
        """Hosts above, details below, or beside them where there is room."""
        yield self.table
        yield self.page

    async def load(self) -> None:
        """Connects to nothing: what no source takes is what the last tests found."""
        engine = self.console.engine
        self._hosts = {each.name: each for each in await engine.hosts()}
        self._sources = await engine.sources()
        self._uncovered = {each.host: each.what for each in await engine.uncovered()}
        at, self._new = self._new, ""
        self.table.show_rows([self._row(each) for each in self._hosts.values()], at)
        self._show_details()

    def _row(self, host: Host) -> Row:
        count = sum(1 for each in self._sources if each.host == host.name)
        uncovered = self._uncovered.get(host.name)
        reason = retired_reason(host)
        cells = (
            printable(host.name),
            printable(host.address) or "(this machine)",
            str(count),
            "?" if uncovered is None else str(len(uncovered)),
            "retired" if reason else "in use",
        )
        tone = "dim" if reason else "warning" if uncovered else ""
        return Row(host.name, cells, tone, (host.name, host.address, count, len(uncovered or ()), reason))

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        """Details of another one."""
        event.stop()
        self._show_details()

    def _show_details(self) -> None:
        host = self.current
        self.page.show([] if host is None else self._details(host))

    def _details(self, host: Host) -> list[str]:
        lines = [
            f"sources    {', '.join(each.name for each in self._sources if each.host == host.name) or 'none'}"
        ]
        reason = retired_reason(host)
        lines += [f"retired    {reason}"] if reason else []
        for name, value in host_options.unstaged(host.options).items():
            if name not in ("host_key", "retired"):
                lines.append(
                    f"{name.replace('_', '-'):<10} {' '.join(value) if isinstance(value, tuple | list) else value}"
                )
        uncovered = self._uncovered.get(host.name)
        if uncovered is None:
            lines += ["", f"{keys.of('host.test')} logs in, and says what is there and what no source takes"]
        elif uncovered:
            lines += [
                "",
                f"found, and no source takes it ({keys.of('host.cover')} makes the source):",
                *(f"  {each}" for each in uncovered),
            ]
        return lines

    @property
    def current(self) -> Host | None:
        """The one under the cursor."""
        row = self.table.current
        return self._hosts.get(row.key) if row is not None else None

    @property
    def chosen(self) -> str:
        """Its name."""
        return self.current.name if self.current is not None else ""

    def why_off(self, action: Action) -> str:
        """This machine is no definition that could be changed."""
        if self.current is None and action.action_id != "host.new":
            return keys.said(_NONE)
        if self.chosen == LOCAL_HOST and action.action_id in ("host.edit", "host.retire", "host.remove"):
            return f"{LOCAL_HOST} is this machine: it is there by itself"
        return ""

    def copyables(self) -> Sequence[tuple[str, str]]:
        """Name, address, and the line that defines it."""
        host = self.current
        if host is None:
            return ()
        if host.name == LOCAL_HOST:
            return [("name", host.name), ("command", f"holdfast host test {LOCAL_HOST}")]
        return [("name", host.name), ("address", host.address), ("command", line(adding(host)))]

    async def do_host_log(self) -> None:
        """Of the last job of any of its sources."""
        names = [each.name for each in self._sources if each.host == self.chosen]
        await backup_work.show_last_log(self.console, sources=names)

    async def do_host_new(self) -> None:
        """The wizard."""
        done = await wizards.add_host(self.console)
        self._new = done.name if done is not None else ""
        self.reload()

    async def do_host_edit(self) -> None:
        """The wizard, filled."""
        await wizards.edit_host(self.console, self.chosen)
        self.reload()

    async def do_host_test(self) -> None:
        """Logs in."""
        report = await self._test(self.chosen)
        if report is not None:
            await self.console.ask(Reader(f"Host {report.name}", report_lines(report)))
        self.reload()

    async def _test(self, name: str) -> HostReport | None:
        busy = Busy(f"Looking at what {name} has", lambda: self.console.engine.test_host(name))
        report: HostReport | None = await self.console.ask(busy)
        if busy.error is not None:
            raise busy.error
        return report

    async def do_host_cover(self) -> None:
        """Looks, and defines what is chosen."""
        await wizards.find_sources(self.console, self.chosen)
        self.reload()

    async def do_host_grants(self) -> None:
        """Ready to paste."""
        name = self.chosen
        busy = Busy(f"Asking {name} what its sources need", lambda: self.console.engine.host_grants(name))
        grants: str | None = await self.console.ask(busy)
        if busy.error is not None:
            raise busy.error
        if grants is not None:
            await self.console.ask(Reader(f"Least privilege of {name}", grants.splitlines()))

    async def do_host_retire(self) -> None:
        """Asks for the reason; one that is retired comes back."""
        host = self.current
        assert host is not None
        if retired_reason(host):
            await self.console.engine.unretire_host(host.name)
            self.console.tell(f"host {host.name} is in use again")
        else:
            reason = await self.console.ask_line(f"Why is {host.name} out of use? ")
            if reason is None:
                return
            await self.console.engine.retire_host(host.name, reason)
            self.console.tell(f"host {host.name} is retired: no new backups, all that there are stay")
        self.reload()

    async def do_host_remove(self) -> None:
        """Its name is typed."""
        name = self.chosen
        sources = [each.name for each in self._sources if each.host == name]
        lines = [
            f"holdfast forgets how {printable(name)} is reached, and the key that was accepted.",
            *([f"It is refused as long as sources name it: {', '.join(sources)}."] if sources else []),
            f"Same as: holdfast host remove {printable(name)}",
        ]
        asked = TypeName(f"FORGET HOST {printable(name)}", lines, name)
        if await self.console.ask(asked) and await self.console.pass_guard("host.remove"):
            await self.console.engine.remove_host(name)
            self.console.tell(f"host {name} is forgotten")
            self.reload()


def report_lines(report: HostReport) -> list[str]:
    """What a test of a host found, for people."""
    lines = [f"connected as {report.user} to {report.hostname} in {span(report.duration_s)}", ""]
    lines += [f"  {tool:<12} {version or 'missing'}" for tool, version in report.tools]
    if report.uncovered:
        lines += [
            "",
            f"no source takes {counted(len(report.uncovered), 'thing')} ({keys.of('host.cover')} makes the source):",
        ]
        lines += [f"  {each}" for each in report.uncovered]
    return lines
