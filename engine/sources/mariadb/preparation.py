"""`mariadb-backup --prepare`: brings files that were copied one after the other to the same instant."""

from __future__ import annotations

import shlex

from engine.hosts.base import Command, Exit
from engine.sources.base import Preparation
from engine.sources.mariadb.physical import FIND, MISSING, reason
from engine.sources.mariadb.server import version_numbers

_OTHER_VERSION = 78
"""EX_CONFIG of sysexits.h."""
# `$1` is the folder, `$2` the version. What root makes in there must belong to the server's account.
_SCRIPT = (
    f'{FIND}; [ -n "$p" ] || exit {MISSING}; case $("$p" --version 2>&1) in *"server $2."*) ;; *) exit {_OTHER_VERSION};; esac; '
    'umask 077; "$p" --no-defaults --prepare --target-dir="$1" || exit; '
    '[ "$(id -u)" != 0 ] || chown -R "$(stat -c %u:%g -- "$1")" -- "$1"'
)


def of(folder: str, version: str) -> Preparation:
    """See `base.Preparation`."""
    needed = ".".join(map(str, version_numbers(version)))

    def explain(ended: Exit) -> str:
        if ended.is_success:
            return ""
        if ended.status == MISSING:
            return "mariadb-backup is missing"
        if ended.status == _OTHER_VERSION:
            return f"mariadb-backup is not of version {needed}"
        return (
            f"mariadb-backup ended with status {ended.status}: {reason(ended.stderr) or 'nothing was said'}"
        )

    return Preparation(
        Command(("sh", "-c", _SCRIPT, "mariadb-prepare", folder, needed)),
        f"mariadb-backup --prepare --target-dir={shlex.quote(folder)} && chown -R mysql: {shlex.quote(folder)}",
        explain,
    )
