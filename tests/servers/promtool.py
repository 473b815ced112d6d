"""promtool, Prometheus's own judge of metrics and alert rules: this machine's, or the one of Debian's package, fetched alone."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

from tests.servers.tools import CACHE, find_tool, missing


def require_promtool() -> Path:
    """The program; the test is skipped, in CI failed, where it cannot be had."""
    found = find_tool("promtool")
    if found is not None:
        return found
    folder = CACHE / "promtool"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "promtool").exists() and find_tool("apt-get"):
            fetch = Path(__file__).with_name("fetch-promtool")
            subprocess.run([str(fetch), str(folder)], check=False, capture_output=True)
    if not (folder / "promtool").exists():
        missing("promtool could not be fetched with apt-get")
    return folder / "promtool"
