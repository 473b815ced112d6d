"""From an empty home to the first backup: the host is typed, and few keys do the rest."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual import on
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Input

from engine.errors import HoldfastError, HostKeyUnknownError
from engine.model.command_lines import adding, line
from engine.model.definitions import LOCAL_HOST, Host, Source, Storage
from engine.model.host_options import is_number, name_of
from engine.model.requests import BackupRequest
from engine.model.results import HostReport
from tui import keys
from tui.dialogs.base import Dialog
from tui.dialogs.busy import Busy
from tui.dialogs.form import Left
from tui.dialogs.menu import Menu
from tui.dialogs.several import Several
from tui.dialogs.wizards.host import add_host, with_accepted_key
from tui.dialogs.wizards.places import recover_home
from tui.dialogs.wizards.source import add_source
from tui.dialogs.wizards.storage import add_storage
from tui.widgets.line import Line
from tui.widgets.page import Page

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_NEW: Final = (
    ("source", "source   a database, folders, a command: a form"),
    ("found", "source   of what a host has: looked for, and chosen from a list"),
    ("host", "host     another machine, then what it has"),
)
_OTHER: Final = "other"
_WELCOME: Final = (
    "Nothing is backed up yet. Four steps lead to the first backup, most of them one key:",
    "",
    "  1  host     the machine to back up: it needs an SSH server and a shell",
    "  2  source   what is found there is proposed: databases, folders",
    "  3  storage  where backups are kept: a folder, S3, SFTP, and more",
    "  4  backup   it begins at once, and goes on if you leave",
    "",
)
_FOLDERS: Final = ("/backup", "/backups", "/mnt/backup", "/srv/backup", "/srv/backups", "/srv")


class Welcome(Dialog[str]):
    """Asks for the host; an empty answer is this machine, `RECOVER` a home that was lost."""

    RECOVER = "\0recover"
    BINDINGS = [Binding("ctrl+r", "recover", show=False)]  # noqa: RUF012 -- Textual's own way

    def __init__(self) -> None:
        super().__init__(
            "Welcome to holdfast",
            hint="enter go on    ctrl+r bring a lost home back    esc look around first",
        )

    def body(self) -> list[Widget]:
        """What comes, and the field."""
        field = Input(compact=True, id="host")
        field.cursor_blink = False
        return [
            Page(_WELCOME, is_growing=True),
            Line("Host, [USER@]HOST[:PORT], or enter alone for this machine:"),
            field,
        ]

    def on_mount(self) -> None:
        """The field has the keys."""
        self.query_one("#host", Input).focus()

    def action_recover(self) -> None:
        """ctrl+r."""
        self.dismiss(self.RECOVER)

    @on(Input.Submitted)
    def typed(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        self.dismiss(event.value.strip())


async def first_backup(console: ConsoleApp) -> None:
    """All of it, as far as a person goes; what was defined stays."""
    address = await console.ask(Welcome())
    if address == Welcome.RECOVER:
        await recover_home(console)
        return
    host = await _host(console, address) if address is not None else None
    if host is None:
        console.tell(f"{keys.of('source.new')} defines a host or a source, when you like")
        return
    sources = await find_sources(console, host)
    if not sources:
        return
    if not any(each.is_enabled for each in await console.engine.storages()):
        begun = Storage("", "local", {"path": proposed_folder(Path.home())})
        if (
            await add_storage(console, begun, title="Where backups are kept: ctrl+s takes it as it is")
            is None
        ):
            return
    names = tuple(each.name for each in sources)
    await console.submit("backup", BackupRequest(names), f"the first backup of {', '.join(names)}")


async def define(console: ConsoleApp) -> None:
    """Asks what is new; where nothing is defined at all, the way to the first backup."""
    if not (await console.engine.sources() or await console.engine.storages()):
        await first_backup(console)
        return
    chosen = await console.ask(Menu("What is new?", _NEW))
    if chosen == "source":
        await add_source(console)
    elif chosen == "host":
        host = await add_host(console)
        if host is not None:
            await find_sources(console, host.name)
    elif chosen == "found":
        hosts = [(each.name, each.name) for each in await console.engine.hosts()]
        name: str | None = hosts[0][0]
        if len(hosts) > 1:
            name = await console.ask(Menu("Look at which host?", hosts))
        if name is not None:
            await find_sources(console, name)


async def _host(console: ConsoleApp, address: str) -> str | None:
    """The name of the host of that address, which is defined where it is not; None where a person left."""
    if address in ("", LOCAL_HOST):
        return LOCAL_HOST
    known = await console.engine.hosts()
    same = next((each.name for each in known if each.address == address or each.name == address), None)
    if same is not None:
        return same
    names = {each.name for each in known}
    name = name_of(address) or "host"
    name = next(
        each for each in (name, *(f"{name}-{number}" for number in range(2, 9_999))) if each not in names
    )
    return await _new_host(console, Host(name, "ssh", address))


async def _new_host(console: ConsoleApp, begun: Host) -> str | None:
    """Tried first: what is missing is asked for in the form."""
    opened = Busy(f"Reaching {begun.address}", lambda: console.engine.try_host(begun))
    if await console.ask(opened) is None and not isinstance(opened.error, HostKeyUnknownError):
        if opened.error is None:
            return None
        title = f"holdfast could not log in to {begun.address}: what is missing?"
        done = await add_host(console, begun, title=title)
        return done.name if done is not None else None
    try:
        accepted = await with_accepted_key(console, begun, {})
    except Left:
        return None
    if is_number(begun.address):
        accepted = await _as_it_calls_itself(console, accepted)
    return (await console.engine.add_host(accepted)).name


async def _as_it_calls_itself(console: ConsoleApp, host: Host) -> Host:
    """One that was given by its number: its own name is shorter, and stands before those of all its sources. Where that is taken, it is left."""
    try:
        name = name_of((await console.engine.try_host(host)).hostname)
    except HoldfastError:  # a person wants it though it cannot be reached now
        return host
    names = {each.name for each in await console.engine.hosts()}
    return dataclasses.replace(host, name=name) if name and name not in names else host


async def find_sources(console: ConsoleApp, host: str) -> Sequence[Source]:
    """Looks at what the host has, and defines what a person chooses. None where it cannot be reached: that is shown."""
    looking = Busy(f"Looking at what {host} has", lambda: console.engine.test_host(host))
    report: HostReport | None = await console.ask(looking)
    if looking.error is not None:
        console.show_error(looking.error.message, looking.error.hint or "")
    if report is None:
        return ()
    proposed = sorted(report.proposed, key=lambda each: (each.kind == "files", each.kind == "sqlite"))
    entries = [(str(number), described(each)) for number, each in enumerate(proposed)]
    entries.append((_OTHER, "something else: a form"))
    chosen = await console.ask(Several(f"What of {host} is backed up?", entries))
    defined = []
    for key in chosen or ():
        begun = Source("", "files", host) if key == _OTHER else proposed[int(key)]
        done = await _define(console, begun, is_asked=key == _OTHER)
        defined += [done] if done is not None else []
    return defined


async def _define(console: ConsoleApp, begun: Source, *, is_asked: bool) -> Source | None:
    """At once where nothing is missing: a password is asked for in the form."""
    secrets = {name for name in ("secret", "uri_from") if begun.options.get(name) == "-"}
    begun = dataclasses.replace(
        begun, options={key: value for key, value in begun.options.items() if key not in secrets}
    )
    short = begun.name.removeprefix(f"{LOCAL_HOST}-")  # of this machine everything is
    begun = dataclasses.replace(begun, name=short if short[:1].isalpha() else begun.name)
    taken = {each.name for each in await console.engine.sources()}
    if begun.name in taken:
        begun = dataclasses.replace(begun, name="")
        is_asked = True
    if secrets or is_asked:
        return await add_source(console, begun, title=f"What of {begun.host} is backed up?")
    return await console.engine.add_source(begun)


def described(source: Source) -> str:
    """A proposal in one line: `postgres   all databases, socket /run/postgresql`."""
    words = adding(source)[6 if source.host == LOCAL_HOST else 8 :]
    return f"{source.kind:<9} {line([each for each in words if each != '--path'])}"


def proposed_folder(home: Path) -> str:
    """A folder for backups: below one that is meant for such and may be written to, or below the home folder."""
    for each in _FOLDERS:
        if Path(each).is_dir() and os.access(each, os.W_OK | os.X_OK):
            return f"{each}/holdfast"
    return str(home / "holdfast")
