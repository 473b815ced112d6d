"""The first picture, which stands before Textual is there: it is what the console then shows, and the terminal is nobody's loss meanwhile."""

from __future__ import annotations

import dataclasses
import re
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.model.job import Change, Mark
from engine.service import open_engine
from tests.bench.large_catalog import Fleet, fill
from tests.jobs.world import World
from tests.tui.held import Hold
from tests.tui.homes import copy_home
from tests.tui.seat import WatchedApp, open_console
from tests.tui.terminal import Terminal, open_terminal
from tui import frame, keys
from tui.panes.source_look import FirstLook, look_first
from tui.picture.lines import Setting, picture_lines
from tui.preferences import Preferences

pytestmark = pytest.mark.slow

HOLDFAST = (sys.executable, "-c", "import sys; from engine.cli.main import main; sys.exit(main())")
_CLOCK = re.compile(r"\d\d:\d\d$")
Cells = list[list[Any]]


@pytest.fixture(scope="module")
def fleet_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty sources with backups, proofs and things that are wrong."""
    home = tmp_path_factory.mktemp("fleet") / "home"
    home.mkdir(mode=0o700)
    fill(home / "catalog.db", Fleet(sources=40, backups=2_000))
    return home


@pytest.fixture(scope="module")
def first_look(fleet_home: Path) -> Callable[[], Any]:
    """What is read there, once."""
    found: list[FirstLook] = []

    async def read() -> FirstLook:
        if not found:
            async with open_engine(str(fleet_home)) as engine:
                found.append(await look_first(engine))
        return found[0]

    return read


def _cells(terminal: Terminal) -> Cells:
    screen = terminal.screen
    return [[screen.buffer[row][column] for column in range(screen.columns)] for row in range(screen.lines)]


# What it shows.


@pytest.mark.parametrize(
    ("size", "is_at_risk", "words"),
    [
        ((80, 24), True, ""),
        ((80, 24), False, "read-only"),
        ((44, 9), True, ""),
        ((200, 60), True, ""),
        ((166, 48), False, ""),
    ],
)
async def test_the_picture_is_the_screen_that_the_console_draws_of_the_same(
    world: World,
    first_look: Callable[[], Any],
    size: tuple[int, int],
    is_at_risk: bool,
    words: str,
) -> None:
    """To the last column, but for what is read later, beside and below the list."""
    look: FirstLook = await first_look()
    if not is_at_risk:
        status = dataclasses.replace(look.sources.status, concerns=())
        look = dataclasses.replace(look, sources=dataclasses.replace(look.sources, status=status))
    look = dataclasses.replace(look, mark=await world.engine.mark())
    preferences = Preferences("home", keys={"source.drill": ("f5",)})

    def opened(*given: Any, **options: Any) -> WatchedApp:
        app = WatchedApp(*given, **options)
        app.begin_with(look, None)
        return app

    async with open_console(
        world.engine, size=size, preferences=preferences, is_read_only=bool(words), kind=opened
    ) as seat:
        await seat.sees("> host-")
        await seat.settle()
        drawn = [_CLOCK.sub("", each) for each in seat.rows]
    keys.follow(preferences.key_of)
    parts = frame.Parts(*size)
    lines = picture_lines(look, Setting(parts, preferences, world.engine.now(), bool(words)))
    assert all(sum(len(text) for text, _ in line) == size[0] for line in lines)
    pictured = [_CLOCK.sub("", "".join(text for text, _ in line).rstrip()) for line in lines]
    last = len(lines) - 2 - (frame.LOG_ROWS if parts.has_log_below else 0)
    is_same = [
        one[: parts.list_columns].rstrip() == other[: parts.list_columns].rstrip()
        for one, other in zip(pictured, drawn, strict=True)
    ]
    assert all(is_same[:last] + is_same[-2:]), "\n".join([*pictured, *drawn])


@pytest.mark.parametrize(
    ("size", "environment", "words"),
    [
        ((80, 24), {}, ()),
        ((100, 10), {"COLORTERM": "truecolor"}, ("--theme", "production", "--ascii")),
    ],
    ids=["sixteen", "truecolor"],
)
def test_no_cell_of_the_picture_ever_changes_before_a_key_is_pressed(
    fleet_home: Path,
    tmp_path: Path,
    size: tuple[int, int],
    environment: Mapping[str, str],
    words: Sequence[str],
) -> None:
    """Neither is it cleared, nor do colours or rows come and go, whatever comes between it and the frame."""
    hold = Hold.make(tmp_path / "hold")
    home = copy_home(fleet_home, tmp_path / "home")
    with open_terminal(
        home, *words, size=size, environment={**hold.environment, **environment}, command=HOLDFAST
    ) as terminal:
        terminal.sees_picture("> host-", "? keys")
        hold.wait_reached()
        before = _cells(terminal)
        hold.let_go()
        is_drawn = False
        while not is_drawn:
            assert terminal.read(30), terminal.text
            is_drawn = b"? keys" in bytes(terminal.raw).partition(b"\x1b[?2004h")[2]
            changed = [
                row
                for row, (one, other) in enumerate(zip(before, _cells(terminal), strict=True))
                if one[:-5] != other[:-5]
            ]
            assert not changed, terminal.text
        assert bytes(terminal.raw).count(b"\x1b[?1049h") == 1


# Where there is none.


def _spoil(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def _make_newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999999")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "said", "code"), [(_spoil, "catalog", 1), (_make_newer, "is of version 999999", 1)]
)
def test_a_catalog_that_cannot_be_opened_is_a_sentence_and_no_picture(
    fleet_home: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str, code: int
) -> None:
    """Nothing was drawn that would have to be taken back."""
    home = copy_home(fleet_home, tmp_path / "home")
    spoil(home / "catalog.db")
    with open_terminal(home, command=HOLDFAST) as terminal:
        assert terminal.wait() == code
        assert said in terminal.text
        assert b"\x1b" not in terminal.raw


@pytest.mark.parametrize("kind", ["empty", "elsewhere", "strange"])
def test_there_is_no_picture_where_it_would_be_wrong(fleet_home: Path, tmp_path: Path, kind: str) -> None:
    """A home without sources opens otherwise; a browser is no terminal; and a colour may be known to Textual alone."""
    hold = Hold.make(tmp_path / "hold")
    home = tmp_path / "home"
    if kind != "empty":
        copy_home(fleet_home, home)
    if kind == "strange":
        (home / "themes").mkdir()
        (home / "themes" / "mine.toml").write_text('[colours]\nforeground = "hsl(0, 50%, 50%)"\n')
        (home / "console.toml").write_text('theme = "mine"\n')
    driver = {"TEXTUAL_DRIVER": "textual.drivers.linux_driver:LinuxDriver"} if kind == "elsewhere" else {}
    with open_terminal(home, environment={**hold.environment, **driver}, command=HOLDFAST) as terminal:
        hold.wait_reached()
        assert terminal.read(0) == b""


def test_a_home_s_name_does_not_drive_the_terminal(fleet_home: Path, tmp_path: Path) -> None:
    """What comes from elsewhere is escaped."""
    hold = Hold.make(tmp_path / "hold")
    home = copy_home(fleet_home, tmp_path / "home")
    (home / "console.toml").write_text('name = "pr\\u001b[2Jod"\n')
    with open_terminal(home, environment=hold.environment, command=HOLDFAST) as terminal:
        assert "pr\\x1b[2Jod > backups" in terminal.sees_picture("> host-", "? keys")


# The terminal meanwhile.


def test_keys_that_are_typed_before_anything_is_seen_are_answered_in_order(
    made_home: Path, tmp_path: Path
) -> None:
    """Whoever knows the console does not wait for it."""
    with open_terminal(copy_home(made_home, tmp_path / "home")) as terminal:
        terminal.press("jjjk")
        terminal.sees("> source-02", "filter")


def test_keys_that_are_typed_while_it_stands_are_not_echoed_and_not_lost(
    fleet_home: Path, tmp_path: Path
) -> None:
    """Those among them that a line of the shell would take for itself: half a page up and down, enter; and the terminal is as it was at the end."""
    hold = Hold.make(tmp_path / "hold")
    home = copy_home(fleet_home, tmp_path / "home")
    with open_terminal(home, environment=hold.environment, command=HOLDFAST) as terminal:
        terminal.sees_picture("> host-", "? keys")
        hold.wait_reached()
        terminal.press("jj\x15\x04\r")
        assert terminal.read(0.1) == b""
        hold.let_go()
        terminal.sees("backups > host-007")
        terminal.press("q")
        assert terminal.wait() == 0
        assert terminal.is_restored


def test_ctrl_z_while_it_stands_gives_the_shell_back_and_fg_the_picture(
    fleet_home: Path, tmp_path: Path
) -> None:
    """As in the console."""
    hold = Hold.make(tmp_path / "hold")
    with open_terminal(
        copy_home(fleet_home, tmp_path / "home"), environment=hold.environment, command=HOLDFAST
    ) as terminal:
        was = terminal.sees_picture("> host-", "? keys")
        hold.wait_reached()
        terminal.press("\x1a")
        terminal.wait_state("T")
        assert terminal.is_restored
        terminal.screen.reset()
        terminal.process.send_signal(signal.SIGCONT)
        assert terminal.sees_picture("> host-", "? keys") == was
        terminal.press("\x03")
        assert terminal.wait() == 128 + signal.SIGINT
        assert terminal.is_restored


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_while_it_stands_gives_the_terminal_back(
    fleet_home: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """As if nothing had been drawn."""
    hold = Hold.make(tmp_path / "hold")
    with open_terminal(
        copy_home(fleet_home, tmp_path / "home"), environment=hold.environment, command=HOLDFAST
    ) as terminal:
        terminal.sees_picture("> host-", "? keys")
        hold.wait_reached()
        if number is signal.SIGINT:
            terminal.press("\x03")
        else:
            terminal.process.send_signal(number)
        assert terminal.wait() == 128 + number
        assert terminal.is_restored
        assert "Traceback" not in terminal.text


def test_a_mistake_while_it_stands_gives_the_terminal_back(fleet_home: Path, tmp_path: Path) -> None:
    """What went wrong is read on the shell's screen."""
    hold = Hold.make(tmp_path / "hold")
    with open_terminal(
        copy_home(fleet_home, tmp_path / "home"), environment=hold.environment, command=HOLDFAST
    ) as terminal:
        terminal.sees_picture("> host-", "? keys")
        hold.wait_reached()
        hold.let_go(is_broken=True)
        assert terminal.wait() == 1
        assert terminal.is_restored
        assert b"the machine is full" in bytes(terminal.raw).rpartition(b"\x1b[?1049l")[2]


# What it was drawn of.


async def test_what_changed_after_the_mark_is_told_though_nobody_watched_then(
    world: World, tmp_path: Path
) -> None:
    """Between what was read for the first picture and the first look at what changed, anything may happen."""
    mark: Mark = await world.engine.mark()
    async with world.again() as other:
        await other.add_files("tree", tmp_path)
    assert await anext(aiter(world.engine.watch(0, mark))) is Change.STATE
