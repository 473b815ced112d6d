"""The clock of the wall as processes are told it, by libfaketime: it can be set while they run. Their monotonic clock stays the machine's."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

from engine.clock import SystemClock
from tests.servers.tools import require_tool


class FakedClock:
    """A clock that several processes share, so much ahead of the machine's."""

    def __init__(self, file: Path, ahead: datetime.timedelta) -> None:
        program = str(require_tool("faketime"))
        said = subprocess.run(
            [program, "-f", "+0", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
        )
        self._library = said.stdout.strip()
        self._file = file
        self._ahead = ahead
        self._write()

    def set(self, by: datetime.timedelta) -> None:
        """Sets the clock forward, or back, by that much."""
        self._ahead += by
        self._write()

    def now(self) -> datetime.datetime:
        """What it says, in UTC."""
        return SystemClock().now() + self._ahead

    @property
    def environment(self) -> dict[str, str]:
        """For a process that is to go by it."""
        return {
            "LD_PRELOAD": self._library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def _write(self) -> None:
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{self._ahead.total_seconds():+.3f}\n", encoding="ascii")
        beside.replace(self._file)
