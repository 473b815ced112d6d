"""Which test proves which action: `pressed.toml` says it, and each test that it names must really have the action done.

`pytest tests/tui --write-pressed` writes it anew: a line that is still true stands, an action that has none gets the first test that does it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

DONE: set[str] = set()
"""The actions that were done in the test that runs."""
TABLE = Path(__file__).with_name("pressed.toml")
_HEAD = "# Action to the test that proves it: that test fails where it does not have the action done. See pressed.py.\n"


def read() -> Mapping[str, str]:
    """Action to test, as `test_storage.py::test_name`."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def node_of(node_id: str) -> str:
    """A test's name in the table: its file, its function, and what it is parametrised by."""
    path, sign, function = node_id.partition("::")
    return path.rpartition("/")[2] + sign + function


def expected_of(node_id: str) -> set[str]:
    """The actions that the table says a test has done."""
    return {action for action, test in read().items() if test == node_of(node_id)}


def write(done: Mapping[str, list[str]], known: set[str]) -> None:
    """Writes the table anew, from what each test did: action to tests, in their order; only actions that there are.

    What it says of files that were not run stands.
    """
    run = {test.partition("::")[0] for tests in done.values() for test in tests}
    table = {action: test for action, test in read().items() if test.partition("::")[0] not in run}
    for action, tests in done.items():
        said = read().get(action)
        table[action] = said if said in tests else table.get(action, tests[0])
    lines = [f'"{action}" = "{test}"\n' for action, test in sorted(table.items()) if action in known]
    TABLE.write_text(_HEAD + "".join(lines), encoding="utf-8")
