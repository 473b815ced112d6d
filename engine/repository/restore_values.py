"""What a restore is asked for, and what came of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final, Literal

from engine import events
from engine.errors import RefusedError
from engine.repository.patterns import EVERYTHING, Selection
from engine.repository.restore_pool import Report

Overwrite = Literal["always", "if-changed", "never"]
"""What happens to files that are there: made as the backup has them; the same unless size and modification time agree; left alone."""

FAILURES_KEPT: Final = 1000
"""More are only counted."""


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """What is restored, and where to."""

    target: str
    """A directory, made where it is missing; bytes that are no text as os.fsdecode gives them."""
    sub_path: bytes = b""
    """A directory of the snapshot whose contents are restored as if it were the root."""
    selection: Selection = EVERYTHING
    """By paths from the snapshot's root, or from `sub_path`."""
    overwrite: Overwrite = "always"
    is_deleting: bool = False
    """Whether what the target holds and the backup does not is deleted, as far as the selection reaches."""
    is_verifying: bool = False
    """Whether every file is read again and compared with the backup before it gets its name; modification times are not trusted then."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One file that was not restored, or not entirely."""

    path: bytes
    message: str


@dataclass(slots=True)
class Tally:
    """What was done so far."""

    total_bytes: int | None = None
    total_files: int | None = None
    restored_files: int = 0
    """Made or replaced: files, links and devices."""
    unchanged_files: int = 0
    """Found as the backup has them; at most their metadata was set."""
    kept_files: int = 0
    """Left alone because they were there."""
    linked_files: int = 0
    """Of the restored ones, those that are further names of another."""
    directories: int = 0
    deleted: int = 0
    done_bytes: int = 0
    fetched_bytes: int = 0
    failures: list[Failure] = field(default_factory=list)
    failure_count: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all that was asked for is there."""
        return not self.failure_count

    def fail(self, path: bytes, message: str) -> None:
        """Takes down one failure."""
        self.failure_count += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(Failure(path, message))

    def take(self, report: Report) -> None:
        """Adds what a worker did."""
        self.restored_files += report.restored
        self.unchanged_files += report.unchanged
        self.kept_files += report.kept
        self.done_bytes += report.done_bytes
        self.fetched_bytes += report.fetched_bytes
        for path, message in report.failures:
            self.fail(path, message)

    def progress(self, step: str, current: bytes = b"") -> events.Progress:
        """The event that tells how far it is."""
        return events.Progress(
            step,
            done_bytes=self.done_bytes,
            total_bytes=self.total_bytes,
            done_files=self.restored_files + self.unchanged_files + self.kept_files,
            total_files=self.total_files,
            current=current.decode(errors="backslashreplace"),
        )


def refuse_dangerous(options: RestoreOptions) -> None:
    """Raises: RefusedError where deleting was asked for at the root of the file system."""
    if options.is_deleting and os.path.realpath(options.target) == "/":
        raise RefusedError(
            "deleting what the backup does not hold is refused at the root of the file system",
            hint="restore a part of it to its own directory",
        )
