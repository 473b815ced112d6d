"""`mariadb-backup --prepare`: brings files that were copied one after the other to the same instant."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from engine.hosts.base import Command, Exit
from engine.sources.mariadb.physical import FIND, INCREMENTS, MISSING, reason
from engine.sources.mariadb.server import version_numbers
from engine.sources.server_files import Preparation

_OTHER_VERSION, _LACKING = 78, 65
"""EX_CONFIG and EX_DATAERR of sysexits.h."""
# `$1` is the folder, `$2` the version; `$3` increments lie beside the folder, and go once they are in it, so that again is no harm. Without the last
# of them all would look well, and be older. What root makes in there must belong to the server's account.
_SCRIPT = (
    f'{FIND}; [ -n "$p" ] || exit {MISSING}; case $("$p" --version 2>&1) in *"server $2."*) ;; *) exit {_OTHER_VERSION};; esac; '
    "umask 077; i=${1%/*}/" + INCREMENTS + '; n=0; for a in "$i"/*/; do [ ! -d "$a" ] || n=$((n+1)); done; '
    '! grep -q full-backuped "$1"/*_checkpoints || [ "$n" = "$3" ] || exit ' + f"{_LACKING}; "
    '"$p" --no-defaults --prepare --target-dir="$1" || exit; '
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
        if ended.status == _LACKING:
            return f"not each of the {len(increments)} increments onto it is there: restore it from another storage, or an older backup"
        return (
            f"mariadb-backup ended with status {ended.status}: {reason(ended.stderr) or 'nothing was said'}"
        )

    prepare = f"mariadb-backup --prepare --target-dir={shlex.quote(folder)}"
    words = [prepare, *(f"{prepare} --incremental-dir={shlex.quote(each)}" for each in increments)]
    return Preparation(
        Command(("sh", "-c", _SCRIPT, "mariadb-prepare", folder, needed, str(len(increments)))),
        f"{' && '.join(words)} && chown -R mysql: {shlex.quote(folder)}",
        explain,
    )
