"""Jobs in words: what one is about, and in one line how far it is. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final, cast

from engine.model.job import Job, JobStatus
from engine.model.text import printable
from tui.text import bar, short_size, span


def job_line(job: Job, now: datetime.datetime) -> str:
    """A running job in one line: what, how far, how fast, how long still."""
    progress = job.progress
    parts = [f"run {job.verb} {target_of(job)}".rstrip()]
    if job.status is JobStatus.QUEUED:
        parts.append("waits for its turn")
    if progress.get("step"):
        parts.append(str(progress["step"]))
    done, total = progress.get("done_bytes") or 0, progress.get("total_bytes") or 0
    if done > total:
        total = 0  # it was a guess, from the backup before
    if total:
        parts.append(f"{bar(done / total, 10)} {100 * done // total}%")
    if done:
        parts.append(f"{short_size(done)}{f'/{short_size(total)}' if total else ''}")
        elapsed = (now - (job.started_at or job.created_at)).total_seconds()
        if elapsed > 1:
            parts.append(f"{short_size(done / elapsed)}/s")
            if total and done < total:
                parts.append(f"eta {span((total - done) * elapsed / done)}")
    return printable("  ".join(parts))


def target_of(job: Job) -> str:
    """What a job is about: its sources, its backup, its storage; empty where it names none. Not printable as it is."""
    return next((_text(job.request.get(name)) for name in _TARGETS if job.request.get(name)), "")


_TARGETS: Final = (
    "sources",
    "source",
    "backup",
    "backups",
    "plan",
    "storage",
    "from_storage",
    "restore_job",
    "report",
)


def _text(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(each) for each in value)
    return cast("str", value)
