"""Logs for experts: everything, as JSON lines in rotated files, and for journald on standard error. People get one sentence elsewhere.

The files are shared by all processes of a home: a line is one write behind the end of the file, and whoever finds the file too large moves
it aside while holding a lock. The redactor is the last line of defence: no secret should reach a log, and one that does is blotted out.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import fcntl
import json
import logging
import logging.handlers
import os
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from engine.model.secret import Secret

BLOT = "(secret)"
SHORTEST_SECRET = 4
"""Characters: blotting out shorter ones would leave nothing of a log to read."""

_QUIET = {"aiosqlite": logging.WARNING, "asyncio": logging.INFO, "asyncssh": logging.INFO}
"""Libraries whose own level for experts would drown everything else."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Redactor:
    """Knows all secrets that were resolved in this process, and blots them out of text."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._ordered: list[str] = []

    def register(self, secret: Secret) -> None:
        """From now on this secret never appears: as it is, in base64, or percent-encoded. Callable from any thread."""
        value = secret.reveal()
        forms = {
            value.decode("utf-8", "backslashreplace"),
            base64.b64encode(value).decode(),
            base64.urlsafe_b64encode(value).decode().rstrip("="),
            urllib.parse.quote(value, safe=""),
        }
        self._known |= {form for form in forms if len(form) >= SHORTEST_SECRET <= len(value)}
        # The longest first: one secret may be part of another.
        self._ordered = sorted(self._known, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """The text without secrets."""
        for form in self._ordered:
            if form in text:
                text = text.replace(form, BLOT)
        return text


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, process, message, the fields given as `extra`, and the traceback."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        line: dict[str, object] = {
            "at": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": self._redactor.redact(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line[name] = self._redactor.redact(str(value))
        if record.exc_info:
            line["traceback"] = self._redactor.redact(self.formatException(record.exc_info))
        return json.dumps(line, separators=(",", ":"))


class JournaldLines(logging.Formatter):
    """One line with the priority in front, as journald reads it from a service's standard error (sd-daemon(3))."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(name)s: %(message)s")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The lines, each with its priority."""
        priority = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}.get(
            record.levelno, 2
        )
        text = self._redactor.redact(super().format(record))
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


class SharedFileHandler(logging.handlers.WatchedFileHandler):
    """A log file that several processes write to, and that any of them moves aside when it has grown too large."""

    def __init__(self, path: Path, *, file_bytes: int, files: int) -> None:
        self._path = path
        self._file_bytes = file_bytes
        self._files = files
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> IO[str]:  # type: ignore[override]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.fdopen(os.open(self._path, flags, 0o600), "a", encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record. A log that cannot be written stops nothing: the job matters more."""
        # Another process may move the file aside between any two looks at it: the record is written all the same.
        with contextlib.suppress(OSError):
            if self._path.stat().st_size >= self._file_bytes:
                self._rotate()
        with contextlib.suppress(OSError):
            super().emit(record)

    def close(self) -> None:
        """Closes the file; what a full disk did not take is lost without a word."""
        with contextlib.suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's own name
        """A disk that is full is no reason to print a traceback into a person's terminal."""

    def _rotate(self) -> None:
        lock = os.open(
            self._path.with_name(f".{self._path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another process may have done it while this one waited.
            if self._path.stat().st_size < self._file_bytes:
                return
            for number in range(self._files - 1, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    older.replace(self._numbered(number + 1))
            self._path.replace(self._numbered(1))
            self._numbered(self._files).unlink(missing_ok=True)
        finally:
            os.close(lock)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


@contextlib.contextmanager
def open_logs(
    directory: Path, redactor: Redactor, *, file_bytes: int, files: int, environment: Mapping[str, str]
) -> Iterator[None]:
    """Sends all that is logged in this process to `directory`/holdfast.jsonl until the end; under systemd warnings go to journald too.

    `files` counts the one that is written to and the ones moved aside, each of about `file_bytes`. A directory that cannot be written
    to means no log, and nothing else.
    """
    handlers: list[logging.Handler] = []
    with contextlib.suppress(OSError):
        handler = SharedFileHandler(directory / "holdfast.jsonl", file_bytes=file_bytes, files=files)
        handler.setFormatter(JsonLines(redactor))
        handlers.append(handler)
    if environment.get("JOURNAL_STREAM"):
        stream = logging.StreamHandler(sys.stderr)
        stream.setFormatter(JournaldLines(redactor))
        stream.setLevel(logging.WARNING)
        handlers.append(stream)
    root = logging.getLogger()
    before = {name: logging.getLogger(name).level for name in _QUIET}
    root_before = root.level
    root.setLevel(logging.DEBUG)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    for each in handlers:
        root.addHandler(each)
    try:
        yield
    finally:
        for each in handlers:
            root.removeHandler(each)
            each.close()
        root.setLevel(root_before)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
