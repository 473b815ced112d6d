"""Archives that leave holdfast: downloaded, or shared."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final

from engine.model.backup import Backup

FORMATS: Final = ("tar", "tar.gz", "tar.bz2", "tar.zst", "zip")
USUAL_FORMAT: Final = "tar.zst"


def archive_name(backup: Backup, form: str, *, is_sealed: bool = False) -> str:
    """The name of a backup's archive where nobody gives one: what it is of, and from when."""
    return f"{backup.source}-{backup.created_at:%Y%m%d-%H%M%S}.{form or USUAL_FORMAT}{'.age' if is_sealed else ''}"


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """An archive that was written."""

    job_id: str
    status: str
    backup_id: str
    file: str
    format: str
    size_bytes: int
    """Of the archive."""
    sha256: str
    """Of the archive."""
    duration_s: float
    is_sealed: bool = False
    """Under a password of its own: `age -d` opens it."""


@dataclass(frozen=True, slots=True)
class Share:
    """An archive that a storage shares."""

    storage: str
    name: str
    size_bytes: int
    expires_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class ShareResult:
    """An archive that was put up. Its link is no part of this: it is a secret."""

    job_id: str
    status: str
    backup_id: str
    storage: str
    name: str
    format: str
    is_sealed: bool
    size_bytes: int
    sha256: str
    expires_at: datetime.datetime
    duration_s: float
