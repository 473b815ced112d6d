"""The program `holdfast`. Asked for its version it answers before anything else is loaded: scripts ask that often. So it does for the console."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the command line of this process; returns the exit code, or ends the process with it (`leave`)."""
    words = sys.argv[1:]
    if words in (["--version"], ["-V"]):
        from engine import __version__

        sys.stdout.write(f"holdfast {__version__}\n")
        return 0
    code = _run(words)
    if "opendal" in sys.modules:
        leave(code)
    return code


def _run(words: list[str]) -> int:
    if not words or words[0].startswith("-"):
        from engine.cli import at_once

        code = at_once.become() if at_once.is_meant(words) else None
        if code is not None:
            return code
    from engine.cli import dispatch

    return dispatch.dispatch(words)


def leave(code: int) -> None:
    """Ends the process without taking the interpreter apart, but with all that was registered for its end done, and all written.

    opendal's threads live on to the end, and one that then asks for the interpreter's lock ends the whole process by SIGABRT, whatever its
    work had come to: CPython ends such a thread by an unwinding that Rust does not let through.
    """
    import atexit
    import contextlib
    import os

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
