"""The one screen: where am I, the tabs, the pane, the drawer of jobs, the newest message, hints."""

from __future__ import annotations

import asyncio
import datetime
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import ContentSwitcher

from engine.model.job import Job
from engine.model.text import printable
from tui import frame, keys
from tui.actions import ACTIONS, of_place
from tui.office import Office
from tui.panes.backups import BackupsPane
from tui.panes.base import Pane
from tui.place import Place, bindings
from tui.preferences import FILE
from tui.widgets.line import Line

if TYPE_CHECKING:
    from tui.drawer import Drawer
    from tui.panes.sources import SourcesView
    from tui.widgets.job_tail import LogColumn

LOW: Final = """
    .-low #tabs, .-low .aside, .-low RowTable > Line, .-low Drawer > Page { display: none; }
    .-low RowTable, .-low RowList { height: 1fr; max-height: 100%; }
    .-low .brief { max-height: 1; }
    .-low Drawer { height: 1fr; border-top: none; }
    .-low.has-drawer ContentSwitcher { display: none; }
    Dialog.-low > Vertical { border: none; height: 100%; padding: 0; }
"""
"""Style of a terminal of few rows, in every screen: what has most to say has them."""


class MainScreen(Screen[None], Office):
    """A pane and the drawer are imported and made when they are first gone to, and kept; only what is seen is read and drawn. The first screen
    waits for nothing else.
    """

    PLACE = "everywhere"
    BINDINGS = bindings("everywhere")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (frame.WIDE_FROM, "-wide")]  # noqa: RUF012 -- Textual's own way
    DEFAULT_CSS = """
    MainScreen { layout: vertical; overflow: hidden; }
    MainScreen .detail { display: none; width: 45%; border-left: ascii $foreground; padding-left: 1; }
    MainScreen.-wide .detail { display: block; }
    MainScreen.-wide .beside { layout: horizontal; }
    MainScreen.-wide .beside > RowTable { width: 1fr; height: 1fr; max-height: 100%; }
    MainScreen.-wide .beside > Page { width: 45%; height: 1fr; border-top: none; border-left: ascii $foreground; padding-left: 1; }
    MainScreen > #body { height: 1fr; layout: vertical; }
    MainScreen > #body > ContentSwitcher { height: 1fr; width: 1fr; }
    MainScreen #log { height: 11; border-top: ascii $foreground; }
    MainScreen.-columns > #body { layout: horizontal; }
    MainScreen.-columns #log { width: 30%; height: 1fr; border-top: none; border-left: ascii $foreground; }
    #title { color: $title-foreground; background: $title-background; text-style: bold; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._tab = frame.TABS[0]
        self._panes: dict[str, Pane] = {frame.TABS[0]: BackupsPane(id=frame.TABS[0])}
        # Held and not looked for: what is told while the console ends finds them still.
        self._title, self._tabs, self._message, self._hints = (
            Line(id=each) for each in ("title", "tabs", "message", "hints")
        )
        self._going = asyncio.Lock()
        self._has_job_line = False

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield self._title
        yield self._tabs
        with Container(id="body"), ContentSwitcher(initial=self._tab):
            yield self._panes[self._tab]
        yield self._message
        yield self._hints

    def on_mount(self) -> None:
        """The first pane is read, and has the keys."""
        self.console.shown(self.pane.view)

    def on_resize(self, event: events.Resize) -> None:
        """Title and hints have more room, or less; the log of what runs is made once there is room for it."""
        self.console.call_after_refresh(self.console.show_frame)
        columns, rows = event.size
        parts = frame.Parts(columns, rows)
        self.set_class(parts.has_log_beside, "-columns")
        has_room = parts.has_log_beside or parts.has_log_below
        log = self.log_column
        if has_room and log is None:
            self.run_worker(self._open_log(), name="log", exit_on_error=False)
        elif log is not None:
            log.display = has_room

    async def _open_log(self) -> None:
        from tui.widgets.job_tail import LogColumn

        if self.log_column is None:
            await self.query_one("#body").mount(LogColumn(id="log"))
            await self.follow_log(self.console.running_jobs)

    @property
    def log_column(self) -> LogColumn | None:
        """Where the terminal was wide enough ever."""
        return cast("LogColumn | None", next(iter(self.query("#log")), None))

    async def follow_log(self, running: Sequence[Job]) -> None:
        """What is new of it."""
        if (log := self.log_column) is not None:
            await log.follow(running)

    def on_screen_resume(self) -> None:
        """No dialog stands over it any more."""
        self.console.uncovered()

    # What is seen.

    @property
    def tab(self) -> str:
        """The tab that is seen."""
        return self._tab

    @property
    def pane(self) -> Pane:
        """The pane that is seen."""
        return self._panes[self._tab]

    @property
    def drawer(self) -> Drawer | None:
        """The drawer of jobs, where it was opened ever."""
        return cast("Drawer | None", next(iter(self.query("#drawer")), None))

    async def go(self, tab: str) -> Pane:
        """Goes to a tab, and gives its pane; keys that come while one is made are followed in their order."""
        async with self._going:
            if tab != self._tab:
                switcher = self.query_one(ContentSwitcher)
                if tab not in self._panes:
                    made = _make_pane(tab)
                    await switcher.add_content(made)
                    self._panes[tab] = made
                self._tab = tab
                switcher.current = tab
                self.console.shown(self.pane.view)
            return self.pane

    def show_tabs(self) -> None:
        """Row 2."""
        self._tabs.show(*frame.tab_line(self._tab))

    def show_title(self, home: str, right: str) -> None:
        """Row 1: where am I, and what is to be known of it; who works; what time it is."""
        view = self.pane.view
        self._title.show(*frame.title_line(home, self.pane.path, right, self.app.size.width, view.note))

    def show_message(self, text: str, tone: str = "") -> None:
        """Row 23."""
        self._has_job_line = False
        self._message.show(printable(text), frame.jobs_key(), tone=tone)

    def forget_message(self) -> None:
        """Leaves row 23 to what comes; a running job stays."""
        if not self._has_job_line:
            self._message.show("", frame.jobs_key())

    def show_jobs(self, jobs: Sequence[Job], now: datetime.datetime) -> None:
        """The newest running job, in row 23; one that ended does not stay there."""
        if jobs or self._has_job_line:
            self._message.show(*frame.job_message(jobs, now))
        self._has_job_line = bool(jobs)

    def show_hints(self) -> None:
        """Row 24: what can be done here, most wanted first, by the keys that do it now."""
        hints: dict[bool, list[str]] = {True: [], False: []}
        for place in self.places():
            for action in of_place(place.PLACE):
                if action.hint and not (self.console.why_off(action) or place.why_off(action)):
                    hints[place is self].append(f"{self.console.key_of(action)} {action.hint}")
        self._hints.show(*frame.hint_line(hints[False], hints[True], self.app.size.width))

    def places(self) -> Sequence[Place]:
        """The places that take keys now, the innermost first."""
        focused = self.app.focused
        chain = [
            each
            for each in (focused.ancestors_with_self if focused is not None else ())
            if isinstance(each, Place)
        ]
        if self.pane.view not in chain and not any(each is self.drawer for each in chain):
            chain.insert(0, self.pane.view)
        if self not in chain:
            chain.append(self)
        return chain

    # Actions of everywhere.

    async def do_tab_backups(self) -> None:
        """1."""
        await self.go("backups")

    async def do_tab_schedules(self) -> None:
        """2."""
        await self.go("schedules")

    async def do_tab_restore(self) -> None:
        """3."""
        await self.go("restore")

    async def do_tab_storage(self) -> None:
        """4."""
        await self.go("storage")

    async def do_attention_go(self) -> None:
        """0: what is at risk, on top of the backups."""
        pane = await self.go("backups")
        while await pane.pop():
            pass
        view = cast("SourcesView", pane.view)
        if len(view.attention.list.source):
            view.attention.focus()
        else:
            self.console.tell("nothing is at risk")

    async def do_tab_previous(self) -> None:
        """The tab on the left."""
        await self.go(frame.TABS[(frame.TABS.index(self._tab) - 1) % len(frame.TABS)])

    async def do_tab_next(self) -> None:
        """The tab on the right."""
        await self.go(frame.TABS[(frame.TABS.index(self._tab) + 1) % len(frame.TABS)])

    async def do_drawer_jobs(self) -> None:
        """Opens the drawer, or closes it."""
        drawer = self.drawer
        if drawer is None:
            from tui.drawer import Drawer

            drawer = Drawer(id="drawer")
            await self.mount(drawer, before="#message")
        drawer.toggle()
        self.show_hints()

    async def do_hosts_open(self) -> None:
        """Over the backups."""
        from tui.panes.hosts import HostsView

        await (await self.go("backups")).push(HostsView())

    async def do_vault_open(self) -> None:
        """Over the storages."""
        from tui.panes.vault import VaultView

        await (await self.go("storage")).push(VaultView())

    async def do_guide_open(self) -> None:
        """From a host to its first backup."""
        from tui.dialogs import wizards

        await wizards.first_backup(self.console)
        self.console.load(self.pane.view)

    async def do_recover_open(self) -> None:
        """By what a recovery kit says."""
        from tui.dialogs import wizards

        await wizards.recover_home(self.console)
        self.console.load(self.pane.view)

    async def do_nav_back(self) -> None:
        """Closes the drawer, or goes back to the view below."""
        drawer = self.drawer
        if drawer is not None and drawer.is_open:
            drawer.toggle()
        elif not await self.pane.pop():
            self.console.tell(f"this is the outermost view: {keys.of('app.quit')} leaves the console")

    async def do_palette_open(self) -> None:
        """Any action, by its name, from anywhere."""
        from tui.dialogs.palette import Palette
        from tui.palette import going, used

        names = await going.names(self.console)
        home = self.console.engine.home.directory
        last = await asyncio.to_thread(used.read, home)
        wanted = await self.console.ask(Palette(self.console, self.places(), names, last))
        if wanted is not None:
            await going.do(self.console, wanted)

    async def do_help_open(self) -> None:
        """The keys of this place."""
        from tui.dialogs.help import Help

        places = self.places()
        chosen = await self.console.ask(Help(self.console, places))
        if chosen is not None:
            action = ACTIONS[chosen]
            next(each for each in places if action.place == each.PLACE).perform(action)

    async def do_copy_menu(self) -> None:
        """Ids, paths, the command line of what is under the cursor."""
        await self.offer([pair for place in self.places() for pair in place.copyables()])

    async def offer(self, offers: Sequence[tuple[str, str]]) -> None:
        """Copies one of these labelled texts: the one that is chosen."""
        from tui.dialogs.menu import Menu

        if not offers:
            self.console.tell("there is nothing here to copy")
            return
        entries = [
            (str(number), f"{label:<10} {printable(said)}") for number, (label, said) in enumerate(offers)
        ]
        chosen = await self.console.ask(Menu("Copy", entries))
        if chosen is not None:
            self.console.copy(offers[int(chosen)][1])

    async def do_preferences_open(self) -> None:
        """Mistakes first."""
        from tui.dialogs.reader import Reader

        console = self.console
        wrong = [f"! {each}" for each in console.mistakes] or ["nothing is wrong in it"]
        given = [
            f"{action_id:<24} {' '.join(map(console.get_key_display_of, wanted))}"
            for action_id, wanted in console.preferences.keys.items()
        ]
        lines = [str(console.engine.home.directory / FILE), "", *wrong, "", f"theme {console.theme}"]
        await console.ask(
            Reader("What console.toml says", [*lines, *(["", "keys:", *given] if given else [])])
        )

    async def do_view_freeze(self) -> None:
        """Live updates off, or on."""
        self.console.freeze(is_frozen=not self.console.is_frozen)
        if not self.console.is_frozen:
            await self.console.read_again()
        self.console.tell(
            f"nothing is read anew until {keys.of('view.freeze')} is pressed again"
            if self.console.is_frozen
            else "live again"
        )

    async def do_view_refresh(self) -> None:
        """Reads everything again."""
        await self.console.read_again()
        self.console.tell("read again")

    async def do_view_redraw(self) -> None:
        """Every cell is sent again."""
        self.console.redraw()

    async def do_view_mouse(self) -> None:
        """The mouse, on or off."""
        self.console.toggle_mouse()

    async def do_app_suspend(self) -> None:
        """Back to the shell for a while; a browser has none."""
        driver = self.app._driver
        if driver is not None and driver.can_suspend:
            self.app.action_suspend_process()
        else:
            self.console.tell("there is no shell to go back to here")

    async def do_app_quit(self) -> None:
        """Leaves. Jobs live elsewhere."""
        self.app.exit()


def _make_pane(tab: str) -> Pane:
    """The pane of a tab; its module is imported now."""
    module = importlib.import_module(f"tui.panes.{tab}")
    return cast("Pane", getattr(module, f"{tab.capitalize()}Pane")(id=tab))
