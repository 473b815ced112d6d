"""The program `holdfast`. Asked for its version it answers before anything else is loaded: scripts ask that often."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the command line of this process; returns the exit code."""
    words = sys.argv[1:]
    if words in (["--version"], ["-V"]):
        from engine import __version__

        sys.stdout.write(f"holdfast {__version__}\n")
        return 0
    from engine.cli import dispatch

    return dispatch.dispatch(words)
