"""What each verb may do: the one table that a read-only session, the guard, and a reader who is not the owner are decided by.

Loads nothing of the engine. A verb that stands in no table changes something.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Final

from engine.errors import RefusedError

READ_ONLY_ENVIRONMENT: Final = "HOLDFAST_READ_ONLY"

FROM_CATALOG: Final = frozenset(
    {
        "host list", "host show", "source list", "source show", "storage list", "backups", "show", "plan list", "plan show",
        "job show", "job log", "jobs", "status", "audit", "config schema", "guard show", "completion", "alerts list", "schedule list",
        "schedule show", "schedule preview", "logs list", "logs show",
    }
)  # fmt: skip
"""Look at the catalog alone, or at nothing: a copy of it will do."""
READING: Final = FROM_CATALOG | {
    "host grants", "source test", "storage usage", "storage recovery-kit", "storage show", "vault list", "ls", "dump", "diff", "find",
    "evidence list", "evidence show", "evidence public-key", "evidence verify", "shares", "config export", "config check", "job follow",
    "console", "doctor", "logs find", "logs setup", "notify list", "service status", "metrics", "report compliance", "report trends",
}  # fmt: skip
"""Change nothing: not in the catalog, not in a storage, not on a host; but with the options of WRITING. The console refuses by itself."""
WRITING: Final = ("measure", "keep")
"""Options of `metrics` and of reports with which they write something down."""
CHANGING: Final = frozenset(
    {
        "demo", "host add", "host test", "host edit", "host retire", "host unretire", "host remove", "source add", "source edit",
        "source remove", "storage add", "storage test", "storage unlock", "storage rotate-password", "storage move", "storage enable",
        "storage disable", "storage make-default", "storage edit", "storage remove", "vault set", "vault remove", "vault rotate", "backup",
        "restore", "rollback", "discard", "plan add", "plan edit", "plan run", "plan drill", "plan remove", "drill", "evidence sign-off", "verify",
        "forget", "prune", "copy", "download", "share", "unshare", "erase", "protect", "unprotect", "hold", "delete", "config apply",
        "catalog copy", "catalog publish", "recover", "job cancel", "worker", "guard set", "guard remove", "guard code",
        "alerts acknowledge", "alerts evaluate", "alerts silence", "alerts unsilence", "notify add", "notify edit", "notify flush",
        "notify remove", "notify test", "pause", "resume", "schedule add", "schedule edit", "schedule pause", "schedule remove", "schedule resume",
        "schedule run", "logs drop", "logs ship", "service install", "service uninstall", "tick",
    }
)  # fmt: skip


def _always(_arguments: Namespace) -> bool:
    return True


def _for_real(arguments: Namespace) -> bool:
    return not arguments.dry_run


def _replacing(arguments: Namespace) -> bool:
    return bool(arguments.in_place or arguments.delete) and not arguments.dry_run


def _pruning(arguments: Namespace) -> bool:
    return bool(arguments.prune) and not arguments.dry_run


def _keyed(arguments: Namespace) -> bool:
    return bool(arguments.password)


def _asking_itself(_arguments: Namespace) -> bool:
    return False


GUARDED: Final[Mapping[str, Callable[[Namespace], bool]]] = {
    "restore": _replacing,
    "rollback": _always,
    "discard": _always,
    "plan run": _for_real,
    "delete": _for_real,
    "unprotect": _always,
    "forget": _for_real,
    "prune": _for_real,
    "erase": _for_real,
    "host remove": _always,
    "source remove": _always,
    "plan remove": _always,
    "schedule remove": _always,
    "notify remove": _always,
    "storage remove": _always,
    "storage edit": _keyed,
    "storage move": _keyed,
    "storage rotate-password": _always,
    "vault set": _asking_itself,
    "vault remove": _always,
    "vault rotate": _always,
    "config apply": _pruning,
}
"""Restores in place, deletions and key changes; and when each of them is one.

Deletions are those of backups, of what keeps them (`unprotect`), of secrets, and of whole definitions: a schedule that is gone backs up
nothing from then on, a destination that is gone tells nobody, and neither is missed by anything. Key changes are those of a repository's
password and of where it is kept, of the vault, and of a secret that is there already, which only the verb itself finds out. What only adds
or changes a definition is not guarded, else who sets a fleet up answers without thinking; a policy that a slip made too short is stopped by
the doubts of `forget`.
"""

ANSWERING: Final = frozenset(GUARDED) | {"guard set", "guard remove", "guard code"}
"""Verbs that take an answer for the guard."""


def is_short_look(verb: str, arguments: Namespace) -> bool:
    """Whether it only reads, and ends by itself soon."""
    return _only_reads(verb, arguments) and verb != "job follow"


def _only_reads(verb: str, arguments: Namespace) -> bool:
    return verb in READING and not any(getattr(arguments, each, False) for each in WRITING)


def require(verb: str, arguments: Namespace, environment: Mapping[str, str]) -> None:
    """Raises: RefusedError where the session is read-only and the verb changes something."""
    asked = environment.get(READ_ONLY_ENVIRONMENT, "")
    is_by_environment = asked.lower() not in ("", "0", "no", "false")
    if _only_reads(verb, arguments) or not (arguments.read_only or is_by_environment):
        return
    hint = f"unset {READ_ONLY_ENVIRONMENT}" if is_by_environment else "leave --read-only out"
    raise RefusedError(f"this session is read-only, and `holdfast {verb}` changes something", hint=hint)


def is_guarded(verb: str, arguments: Namespace) -> bool:
    """Whether the guard stands before what was asked for, where there is a guard."""
    return verb in GUARDED and GUARDED[verb](arguments)
