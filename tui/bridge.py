"""Between the engine and the screen: errors become sentences, and what changes in the catalog is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from engine.errors import CatalogReplacedError, CatalogVersionError, HoldfastError
from engine.model.job import Change, Mark

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_log = logging.getLogger("holdfast.console")


async def guarded(console: ConsoleApp, work: Coroutine[Any, Any, None]) -> None:
    """Runs an action to its end; what goes wrong is shown as a sentence with a hint, and stops nothing else."""
    try:
        await work
    except HoldfastError as error:
        console.show_error(error.message, error.hint or "")
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise
    except Exception:  # noqa: BLE001 -- a mistake of the console must not take the screen away; the log has it whole
        _log.exception("an action failed")
        console.show_error(
            "the console itself made a mistake here", "the log in the home's folder `logs` has it whole"
        )


async def background(console: ConsoleApp, work: Coroutine[Any, Any, None]) -> None:
    """Reads what nobody asked for just now; what goes wrong stands in the row of messages, until it goes well again."""
    try:
        await work
    except HoldfastError as error:
        console.troubled(error.message)
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise
    except Exception:  # noqa: BLE001 -- as above
        _log.exception("reading failed")
        console.troubled(
            "the console itself made a mistake here; the log in the home's folder `logs` has it whole"
        )
    else:
        console.well()


async def follow(console: ConsoleApp, pace_s: float, since: Mark | None = None) -> None:
    """Tells the screen of each change in the catalog, until it is cancelled, at most once in `pace_s`: however much happens, a slow line
    bears it, and what was read is drawn before more is. A catalog that fails for a while is asked again; one that is another than was opened
    ends the console. `since`: what was changed after that mark counts.
    """
    while True:
        try:
            since, mark = None, since
            async for change in console.engine.watch(pace_s, mark):
                await console.changed(change)
        except (CatalogReplacedError, CatalogVersionError) as error:
            console.end_by(error)
            return
        except HoldfastError as error:
            console.troubled(error.message)
        await asyncio.sleep(pace_s)
        await console.changed(Change.STATE)
