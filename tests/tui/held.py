"""Programs that are held up where they would import Textual: as long as it is tried, the first picture stands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.tui.terminal import PATIENCE_S

_HOOK = """
import pathlib, sys, time
class Hold:
    def find_spec(self, name, path, target=None):
        if name == "textual.app":
            here = pathlib.Path(__file__).parent
            (here / "reached").touch()
            while not (here / "go").exists():
                time.sleep(0.01)
            if (here / "go").read_text():
                raise MemoryError("the machine is full")
sys.meta_path.insert(0, Hold())
"""


@dataclass(frozen=True, slots=True)
class Hold:
    """A folder of Python's path, with what Python runs when it starts."""

    directory: Path

    @classmethod
    def make(cls, directory: Path) -> Hold:
        """In a folder that is not there yet."""
        directory.mkdir()
        (directory / "sitecustomize.py").write_text(_HOOK)
        return cls(directory)

    @property
    def environment(self) -> Mapping[str, str]:
        """For the program."""
        return {"PYTHONPATH": f"{self.directory}:{Path(__file__).parents[2]}"}

    def wait_reached(self) -> None:
        """Until it is held up."""
        ends_at = time.monotonic() + PATIENCE_S
        while not (self.directory / "reached").exists():
            assert time.monotonic() < ends_at
            time.sleep(0.01)

    def let_go(self, *, is_broken: bool = False) -> None:
        """It goes on, or fails where it is."""
        new = self.directory / "new"
        new.write_text("broken" if is_broken else "")
        new.rename(self.directory / "go")
