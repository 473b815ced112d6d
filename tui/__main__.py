"""`python -m tui [--home DIR] [--read-only] [--ascii] [--theme NAME] [--serve [--port N]]`: what `holdfast` becomes without a verb."""

from __future__ import annotations

from tui import haste

haste.begin()  # before what takes long to import

# ruff: noqa: E402
import asyncio
import io
import os
import sys
from typing import TYPE_CHECKING, Final

from engine.errors import HoldfastError, UsageError
from engine.model.text import printable
from tui.start import Options, prepare, read_options, unfit

if TYPE_CHECKING:
    from engine.service import Engine
    from tui.panes.source_look import FirstLook
    from tui.picture.standing import Standing
    from tui.preferences import Preferences

_USAGE: Final = 2


def main() -> int:
    """Runs the console of this process; returns the exit code. Whatever stands in the way is said before anything is drawn."""
    try:
        options = read_options(sys.argv[1:], os.environ)
        if options.is_ascii and isinstance(sys.stderr, io.TextIOWrapper):
            sys.stderr.reconfigure(encoding="ascii", errors="backslashreplace")
        if options.port is not None:
            return _serve(options, options.port)
        is_terminal = os.isatty(0) and os.isatty(2)
        mistake = unfit(
            os.environ,
            is_terminal=is_terminal,
            encoding=sys.stderr.encoding,
            is_ascii=options.is_ascii,
        )
        if mistake:
            sys.stderr.write(f"holdfast: {mistake}\n")
            return _USAGE
        prepare(os.environ)
        return asyncio.run(_run(options))
    except HoldfastError as error:
        hint = f"  hint: {printable(error.hint)}\n" if error.hint else ""
        sys.stderr.write(f"holdfast: {printable(error.message)}\n{hint}")
        return error.exit_code


def _serve(options: Options, port: int) -> int:
    """Serves consoles to browsers. Raises: UsageError where what that needs is not installed."""
    haste.end()
    try:
        from tui.browser.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("engine", "tui"):
            raise
        raise UsageError(
            f"the console in a browser needs the package {error.name}", hint="pip install 'holdfast[browser]'"
        ) from error
    return asyncio.run(serve([sys.executable, "-m", "tui", *options.words()], port))


async def _run(options: Options) -> int:
    from engine.service import open_engine

    async with open_engine(options.home, is_logged=True) as engine:
        from tui.picture import first
        from tui.preferences import read_preferences
        from tui.theme_files import require_theme

        require_theme(engine.home.directory, options.theme)
        preferences = read_preferences(engine.home.directory).overruled(options.theme, options.is_ascii)
        is_elsewhere = bool(os.environ.get("TEXTUAL_DRIVER"))
        look = None if is_elsewhere else await first.look(engine)
        if look is None:
            return await _become_app(options, engine, preferences, None, None)
        with first.standing(
            engine, look, preferences, os.environ, is_read_only=options.is_read_only
        ) as standing:
            return await _become_app(options, engine, preferences, look, standing)


async def _become_app(
    options: Options,
    engine: Engine,
    preferences: Preferences,
    look: FirstLook | None,
    standing: Standing | None,
) -> int:
    """Textual comes, and draws over what stands. Raises: HoldfastError where the app was ended by it."""
    from tui.app import ConsoleApp
    from tui.terminal import ConsoleDriver

    app = ConsoleApp(
        engine,
        preferences,
        is_read_only=options.is_read_only,
        driver_class=None if os.environ.get("TEXTUAL_DRIVER") else ConsoleDriver,
        environment=os.environ,
        is_guiding=True,
    )
    app.overrule = (options.theme, options.is_ascii)
    if look is not None:
        app.begin_with(look, standing)
    await app.run_async(mouse=preferences.is_mouse_used)
    if app.ended_by is not None:
        raise app.ended_by
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
