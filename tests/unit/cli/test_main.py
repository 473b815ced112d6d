"""How the program ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import atexit, os, sys, types
from engine.cli import main

class Canary:
    def __del__(self, write=os.write):
        write(1, b"taken apart")

canary = Canary()
atexit.register(lambda: sys.stdout.write("what was registered "))
if {is_loaded}:
    sys.modules["opendal"] = types.ModuleType("opendal")
sys.argv = ["holdfast", "no-such-verb"]
sys.exit(main.main())
"""


@pytest.mark.parametrize("is_loaded", [True, False])
def test_a_process_with_threads_of_opendal_ends_without_taking_the_interpreter_apart(is_loaded: bool) -> None:
    """One of its threads would abort the process at that moment, and a backup that is whole would pass for one that crashed."""
    program = PROGRAM.format(is_loaded=is_loaded)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no-such-verb" in done.stderr
    assert done.stdout == "what was registered " + ("" if is_loaded else "taken apart")
