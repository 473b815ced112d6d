"""A person on a foreign machine, who has a recovery kit and does what it says, word for word."""

from __future__ import annotations

import os
import re
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

    def typed(self) -> bytes:
        """What is typed when programs ask: the password first, then the vault's key."""
        found = [re.search(f"^{name} +(.+)$", self.kit, re.MULTILINE) for name in ("password", "vault key")]
        return "".join(f"{each[1]}\n" for each in found if each is not None).encode()

    def install(self, name: str, program: Path) -> None:
        """Has a program there, found by its name."""
        link = self.directory / "bin" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(program)

    def type(self, *lines: str) -> str:
        """Types them into one shell, and the secrets when they are asked for; gives what was said. AssertionError where one fails."""
        self.install("restic", self.restic)
        self.install("holdfast", PROJECT / ".venv" / "bin" / "holdfast")
        exports = self.lines("export ")
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", "\n".join([*exports, *lines])],
            input=self.typed(),
            capture_output=True,
            cwd=self.directory,
            env={
                "PATH": f"{self.directory / 'bin'}{os.pathsep}{os.environ['PATH']}",
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
