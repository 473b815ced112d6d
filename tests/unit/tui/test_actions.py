"""The table of actions against what the console really has."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import tui
from tui.actions import ACTIONS, Action, of_place, page
from tui.place import Place


def _places() -> Iterator[type[Place]]:
    for module in pkgutil.walk_packages(tui.__path__, "tui."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    waiting = [Place]
    while waiting:
        for found in waiting.pop().__subclasses__():
            waiting.append(found)
            if hasattr(found, "PLACE"):
                yield found


PLACES = {place.PLACE: place for place in _places() if place.__module__.startswith("tui.")}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=str)
def test_an_action_is_done_by_its_place(action: Action) -> None:
    """A line of the help that nothing stands behind is worse than none."""
    place = PLACES[action.place]
    moves = ("list.", "text.")
    is_move = action.action_id.startswith(moves) and not hasattr(place, action.method)
    assert is_move or inspect.iscoroutinefunction(getattr(place, action.method)), action.method


@pytest.mark.parametrize("place", sorted(PLACES))
def test_a_key_means_one_thing_at_a_place(place: str) -> None:
    """Two actions on one key: one of them never happens."""
    keys = Counter(key for action in of_place(place) for key in action.keys)
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize("place", sorted(PLACES))
def test_a_place_has_the_keys_of_the_table(place: str) -> None:
    """Bindings are made from the table, and from nothing else."""
    bound = {
        binding.id
        for bindings in PLACES[place]._merge_bindings().key_to_bindings.values()
        for binding in bindings
    }
    assert {action.action_id for action in of_place(place) if action.keys} <= bound


def test_no_handler_of_a_message_asks_the_engine() -> None:
    """An error of the engine in one ends the console; an action's becomes a sentence: a handler begins one, by `run_guarded`."""
    found = []
    for path in sorted(Path(tui.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.AsyncFunctionDef):
                continue
            is_handler = node.name.startswith("on_") or any(
                isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id == "on"
                for each in node.decorator_list
            )
            if is_handler and any(
                isinstance(each, ast.Attribute) and each.attr == "engine" for each in ast.walk(node)
            ):
                found.append(f"{path.name}: {node.name}")
    assert found == []


def test_the_page_of_keys_is_what_the_table_makes() -> None:
    """A page that lags behind teaches the wrong keys: `make keys` writes it anew."""
    assert Path(tui.__path__[0], "KEYS.md").read_text(encoding="utf-8") == page.markdown()
