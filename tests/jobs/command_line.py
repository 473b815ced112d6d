"""The command line as a real process on a home of its own: what a person or a script types, and what comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.jobs.prepared import prepared

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery staple"
TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """The last line for scripts."""
        parsed: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        assert parsed["type"] == "result"
        assert parsed["schema_version"] == 1
        return parsed

    @property
    def error(self) -> dict[str, Any]:
        """The error for scripts."""
        parsed: dict[str, Any] = json.loads(self.err.splitlines()[-1])
        assert parsed["type"] == "error"
        return parsed


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A home below a folder, and the program."""

    directory: Path

    @property
    def home(self) -> Path:
        """Where the program keeps all."""
        return self.directory / "home"

    @property
    def data(self) -> Path:
        """The folder of the source `data`."""
        return self.directory / "data"

    def storage(self, name: str = "main") -> Path:
        """The folder of a storage."""
        return self.directory / name

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """No more than a service has."""
        kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOLDFAST_HOME": str(self.home)}
        return {**kept, "PASSWORD_OF_MAIN": PASSWORD, **(more or {})}

    def words(self, *words: str) -> list[str]:
        """The whole command."""
        return [sys.executable, "-m", "engine", *words]

    def run(
        self, *words: str, given: bytes | None = None, environment: Mapping[str, str] | None = None
    ) -> Ran:
        """Runs a command without a terminal; `given` is its standard input, else that is closed."""
        code, out, err = prepared().run(words, self.environment(environment), given, TIMEOUT_S)
        return Ran(code, out.decode(), err.decode())

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Starts a command; the caller waits for it."""
        return subprocess.Popen(self.words(*words), env=self.environment(), **options)

    def done(self, *words: str, given: bytes | None = None) -> Ran:
        """Runs a command that must end well."""
        ran = self.run(*words, given=given)
        assert ran.code == 0, ran
        return ran

    def json(self, *words: str) -> dict[str, Any]:
        """The result of a command that must end well."""
        return self.done(*words, "--json").result

    def set_up(self) -> None:
        """A default storage `main` and a source `data` with two files."""
        self.data.mkdir()
        (self.data / "a").write_text("one\n", encoding="ascii")
        (self.data / "b\x1b[31m").write_text("two\n", encoding="ascii")
        self.done(
            "storage",
            "add",
            "main",
            "--kind",
            "local",
            "--path",
            str(self.storage()),
            "--password",
            "env:PASSWORD_OF_MAIN",
        )
        self.done("source", "add", "data", "--kind", "files", "--path", str(self.data))
