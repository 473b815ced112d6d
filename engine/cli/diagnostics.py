"""Errors as people and scripts see them, and the exit codes. The one place that knows these numbers.

0 done, 1 failed, 2 usage, 3 incomplete, 4 proof failed, 5 refused, 6 already running, 10 no repository, 11 locked, 12 wrong password,
130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Final

from engine.cli import output
from engine.errors import ConfigurationError, HoldfastError, InterruptedJobError, UsageError
from engine.model import text

DONE: Final = 0
FAILED: Final = 1
PROOF_FAILED: Final = 4
INTERRUPTED: Final = InterruptedJobError.exit_code

_OF_STATUS: Final[Mapping[str, int]] = {
    "completed": DONE,
    "passed": DONE,
    "incomplete": 3,
    "failed": FAILED,
    "damaged": PROOF_FAILED,
    "interrupted": INTERRUPTED,
    "cancelled": INTERRUPTED,
}


def exit_of(status: str) -> int:
    """The exit code of a result's status."""
    return _OF_STATUS.get(status, DONE)


def tell(message: str) -> None:
    """A line on standard error. Where that is gone nobody is told."""
    with contextlib.suppress(OSError, ValueError):
        os.write(2, message.encode("utf-8", "backslashreplace") + b"\n")


def report(error: HoldfastError, *, is_json: bool) -> int:
    """Tells an error and its hint; returns the exit code."""
    others = error.others if isinstance(error, ConfigurationError) else ()
    if is_json:
        fields: dict[str, object] = {
            "type": "error",
            "error": type(error).__name__,
            "message": error.message,
            "hint": error.hint or "",
        }
        if others:
            fields["others"] = [{"message": each.message, "hint": each.hint or ""} for each in others]
        tell(output.encode(fields).decode())
    elif others:
        for each in (error, *others):
            hint = f" ({each.hint})" if each.hint else ""
            tell(f"holdfast: {text.printable(each.message + hint)}")
    else:
        message, hint = text.printable(error.message), text.printable(error.hint or "")
        tell(f"holdfast: {message}" + (f"\n  hint: {hint}" if hint else ""))
    return error.exit_code


def report_interrupt(*, is_json: bool) -> int:
    """Tells that a person or the system ended the verb; returns the exit code."""
    return report(InterruptedJobError("interrupted; what was done is safe"), is_json=is_json)


def report_surprise(error: Exception, *, is_json: bool) -> int:
    """Tells an error that nobody thought of, with all that a bug report needs on standard error; returns the exit code."""
    import traceback

    if not is_json:
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exception(error, file=sys.stderr)
    said = HoldfastError(
        f"unexpected: {type(error).__name__}: {error}",
        hint="this is a mistake in holdfast; a report needs this and the output of `holdfast doctor`",
    )
    return report(said, is_json=is_json)


def report_unknown(kind: str, word: str, near: str | None) -> UsageError:
    """The error for a verb that is none."""
    return UsageError(
        f"there is no {kind} {word!r}",
        hint=f"did you mean `holdfast {near}`?" if near else "`holdfast --help` lists them",
    )
