"""`mariadb-backup --prepare`: brings files that were copied one after the other to the same instant."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from engine.hosts.base import Command, Exit
from engine.sources.mariadb.physical import FIND, INCREMENTS, MISSING, reason
from engine.sources.mariadb.server import version_numbers
from engine.sources.server_files import Preparation

_OTHER_VERSION = 78
"""EX_CONFIG of sysexits.h."""
# `$1` is the folder, `$2` the version; increments lie beside the folder, and go once they are in it, so that again is no harm. What root makes in
# there must belong to the server's account.
_SCRIPT = (
    f'{FIND}; [ -n "$p" ] || exit {MISSING}; case $("$p" --version 2>&1) in *"server $2."*) ;; *) exit {_OTHER_VERSION};; esac; '
    'umask 077; "$p" --no-defaults --prepare --target-dir="$1" || exit; i=${1%/*}/' + INCREMENTS + "; "
    'for a in "$i"/*/; do [ -d "$a" ] || continue; "$p" --no-defaults --prepare --target-dir="$1" --incremental-dir="$a" || exit; rm -rf "$a"; done; '
    'rmdir "$i" 2>/dev/null; '
    '[ "$(id -u)" != 0 ] || chown -R "$(stat -c %u:%g -- "$1")" -- "$1"'
)


def of(folder: str, version: str, increments: Sequence[str]) -> Preparation:
    """See `server_files.Preparation`."""
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

    prepare = f"mariadb-backup --prepare --target-dir={shlex.quote(folder)}"
    words = [prepare, *(f"{prepare} --incremental-dir={shlex.quote(each)}" for each in increments)]
    return Preparation(
        Command(("sh", "-c", _SCRIPT, "mariadb-prepare", folder, needed)),
        f"{' && '.join(words)} && chown -R mysql: {shlex.quote(folder)}",
        explain,
    )
