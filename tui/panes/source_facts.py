"""All that is known of a source, as lines of text."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from engine.model import log_words
from engine.model.backup import Backup, BackupFilter, BackupStatus
from engine.model.definitions import Source
from engine.model.log_watch import is_logged
from engine.model.status import Concern
from tui.text import age, fit, ladder, moment, short_size

if TYPE_CHECKING:
    from engine.service import Engine

_BACKUPS: Final = 8
_BASES: Final = 4


async def source_lines(engine: Engine, name: str, concerns: Sequence[Concern]) -> Sequence[str]:
    """What is wrong with it, its last backups, its health part by part, how it is defined. Raises: UnknownNameError."""
    source = await engine.show_source(name)
    health = await engine.source_health(name)
    backups = await engine.backups(BackupFilter(source=name), limit=_BACKUPS)
    now = engine.now()
    lines = [f"{'!' if each.is_risk else '-'} {each.reason}  ({each.remedy})" for each in concerns]
    lines += ["", *([_backup_line(each, now) for each in backups] or ["it has no backup"]), ""]
    limit = f" ({health.limit})" if health.limit else ""
    lines.append(f"health      {health.score} of 100{limit}")
    lines += [f"  {part.name:<10}{part.points:>3} of {part.most:<3} {part.reason}" for part in health.parts]
    if is_logged(source):
        lines += ["", *log_words.lines(await engine.log_report(name), _BASES)]
    return [*lines, "", *_defined(source)]


def _backup_line(backup: Backup, now: datetime.datetime) -> str:
    proof = ladder(backup.proof, backup.proven_at, now)
    if backup.status is not BackupStatus.COMPLETED:
        proof = backup.status.value.upper()
    return (
        f"{fit(moment(backup.created_at, now), 14)} {age(backup.created_at, now):>4} {backup.kind[:4]} {short_size(backup.size_bytes):>5} "
        f"+{short_size(backup.added_bytes):<5} {proof}"
    )


def _defined(source: Source) -> Iterator[str]:
    yield f"{'kind':<12}{source.kind}"
    yield f"{'host':<12}{source.host}"
    for name, value in source.options.items():
        for each in value if isinstance(value, tuple | list) else [value]:
            yield f"{name:<12}{each}"
