"""The table of which test proves which action, against both."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.tui import pressed
from tui.actions import ACTIONS


def test_each_action_has_a_test_that_proves_it() -> None:
    """What nobody ever pressed does not work; what is no action any more proves nothing."""
    assert set(pressed.read()) == set(ACTIONS)


def test_the_tests_that_prove_actions_are_there() -> None:
    """One that was renamed would prove nothing, and nobody would notice."""
    for file in {test.partition("::")[0] for test in pressed.read().values()}:
        path = Path(pressed.__file__).with_name(file)
        there = {
            each.name
            for each in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        named = {
            test.partition("::")[2].partition("[")[0]
            for test in pressed.read().values()
            if test.startswith(f"{file}::")
        }
        assert named - there == set(), file
