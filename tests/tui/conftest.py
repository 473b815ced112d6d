"""What tests of the console begin with: a world of real sources and storages, and a person at the console."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fakes.small_repositories import QUICK
from tests.jobs.conftest import quick_repositories as quick_repositories
from tests.jobs.world import World, open_world
from tests.tui import pressed
from tests.tui.homes import make_home
from tests.tui.pressed import DONE
from tests.tui.seat import Seat, open_console
from tui.actions import ACTIONS

_done: dict[str, list[str]] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known where the tests of the console are run alone."""
    parser.addoption("--write-pressed", action="store_true", help="write tests/tui/pressed.toml anew")
    parser.addoption("--write-golden", action="store_true", help="write tests/tui/golden anew")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes what was seen."""
    if session.config.getoption("--write-pressed", False):
        pressed.write(_done, set(ACTIONS))


@pytest.fixture(autouse=True)
def proof(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that pressed.toml names for an action must have had it done."""
    DONE.clear()
    yield
    node = pressed.node_of(request.node.nodeid)
    for action in DONE:
        _done.setdefault(action, []).append(node)
    if not request.config.getoption("--write-pressed", False):
        assert pressed.expected_of(node) - DONE == set(), "pressed.toml says that this test has these done"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A fresh home, without hosts, sources or storages."""
    async with open_world(tmp_path / "world") as opened:
        yield opened


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one storage and many sources, for consoles in terminals of their own. Never changed: `copy_home` gives one that may be."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("engine.repository.repository", "engine.service.repositories"):
            patch.setattr(f"{module}.Kdf", lambda: QUICK)
        return make_home(tmp_path_factory.mktemp("made"))


@pytest.fixture
async def seat(world: World) -> AsyncIterator[Seat]:
    """A console on that home."""
    async with open_console(world.engine) as opened:
        yield opened
