"""Garbage is put off until the first screen is there, and no longer."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import gc
from tui import haste
haste.begin()
before = gc.isenabled()
haste.end()
print(before, gc.isenabled(), gc.get_freeze_count() > 0)
haste.end()
print(gc.isenabled())
"""


def test_garbage_is_looked_for_again_after_the_first_screen() -> None:
    """A console stays open for weeks."""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split() == ["False", "True", "True", "True"]
