"""A person on a foreign machine, who has a recovery kit and does what it says, word for word."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers.tools import PROJECT

EMPTY_FOLDER = "/some/empty/folder"
"""What the kit calls the folder that the reader chooses."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A machine that knows nothing: a home folder with nothing in it, and the kit."""

    directory: Path
    kit: str
    restic: Path
    """Stock restic."""

    def lines(self, begin: str) -> Sequence[str]:
        """The kit's lines of shell that begin so."""
        return [line.strip() for line in self.kit.splitlines() if line.startswith(f"  {begin}")]

    def password(self) -> str:
        """What is typed when a program asks."""
        (found,) = [
            line.split(maxsplit=1)[1] for line in self.kit.splitlines() if line.startswith("password ")
        ]
        return found

    def type(self, *lines: str) -> str:
        """Types them into one shell, and the password when it is asked for; gives what was said. AssertionError where one fails."""
        programs = self.directory / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        for name, target in (("restic", self.restic), ("holdfast", PROJECT / ".venv" / "bin" / "holdfast")):
            if not (programs / name).exists():
                (programs / name).symlink_to(target)
        exports = self.lines("export ")
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", "\n".join([*exports, *lines])],
            input=f"{self.password()}\n".encode(),
            capture_output=True,
            cwd=self.directory,
            env={
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(self.directory),
                "HOLDFAST_HOME": str(self.directory / "holdfast"),
                "RESTIC_CACHE_DIR": str(self.directory / "cache"),
            },
            timeout=100,
            check=False,
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, (lines, said[-3000:])
        return said

    def restore_by_restic(self) -> Path:
        """Does all that the kit says about stock restic; gives the folder that the newest backup came back in."""
        target = self.directory / "back"
        self.type(*list(self.lines("echo ")))
        for line in self.lines("restic "):
            self.type(line.replace(EMPTY_FOLDER, str(target)))
        return target

    def recover(self) -> None:
        """Does all that the kit says about holdfast."""
        for line in self.lines("holdfast "):
            self.type(line)
