"""`python -m tui [--home DIR] [--read-only]`: what `holdfast` becomes without a verb.

Looks at the terminal before anything is drawn: Textual reads its settings from the environment when it is imported.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import MutableMapping, Sequence
from typing import Final

OVER_SSH_FPS: Final = "5"
LOCAL_FPS: Final = "15"
_READ_ONLY: Final = "HOLDFAST_READ_ONLY"
_USAGE: Final = 2


def main() -> int:
    """Runs the console of this process; returns the exit code."""
    words = sys.argv[1:]
    mistake = unfit(os.environ, is_terminal=os.isatty(0) and os.isatty(2), encoding=sys.stderr.encoding)
    if mistake:
        sys.stderr.write(f"holdfast: {mistake}\n")
        return _USAGE
    prepare(os.environ)
    return asyncio.run(_run(words))


def unfit(environment: MutableMapping[str, str], *, is_terminal: bool, encoding: str) -> str:
    """Why the console cannot be drawn here, and what can be done instead; empty where it can."""
    if not is_terminal:
        return "the console needs a terminal; `holdfast status` prints what is at risk, `holdfast --help` names all verbs"
    if environment.get("TERM", "") in ("", "dumb"):
        return "the console needs a terminal that can place its cursor, and TERM says that this one cannot; `holdfast status` prints the same"
    if encoding.lower().replace("-", "") != "utf8":
        return f"the console needs UTF-8, and this terminal is said to speak {encoding}; set LC_ALL=C.UTF-8"
    return ""


def prepare(environment: MutableMapping[str, str]) -> None:
    """Sets what Textual reads when it is imported; what a person set stands.

    No animation, few frames: measured bytes a key, see tests/tui. Over SSH an escape sequence may come in two parts.
    """
    is_remote = bool(environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"))
    environment.setdefault("TEXTUAL_ANIMATIONS", "none")
    environment.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    environment.setdefault("TEXTUAL_FPS", OVER_SSH_FPS if is_remote else LOCAL_FPS)
    if is_remote:
        environment.setdefault("ESCDELAY", "250")


async def _run(words: Sequence[str]) -> int:
    from engine.errors import HoldfastError
    from engine.service import open_engine

    home = _option(words, "--home")
    is_read_only = "--read-only" in words or os.environ.get(_READ_ONLY, "") not in ("", "0")
    try:
        async with open_engine(home, is_logged=True) as engine:
            from tui.app import ConsoleApp
            from tui.preferences import read_preferences
            from tui.terminal import ConsoleDriver

            preferences = read_preferences(engine.home.directory)
            app = ConsoleApp(
                engine,
                preferences,
                is_read_only=is_read_only,
                driver_class=None if os.environ.get("TEXTUAL_DRIVER") else ConsoleDriver,
                environment=os.environ,
                is_guiding=True,
            )
            await app.run_async(mouse=False)
            return app.return_code or 0
    except HoldfastError as error:
        sys.stderr.write(f"holdfast: {error.message}\n" + (f"  {error.hint}\n" if error.hint else ""))
        return error.exit_code


def _option(words: Sequence[str], name: str) -> str | None:
    for index, word in enumerate(words):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name and index + 1 < len(words):
            return words[index + 1]
    return None


if __name__ == "__main__":
    sys.exit(main())
