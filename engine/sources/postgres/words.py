"""What PostgreSQL's clients say on standard error, as a sentence without a row of data in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.errors import HoldfastError, SourceError, ToolMissingError
from engine.hosts.base import Exit

_LONGEST = 300
_DROPPED = re.compile(
    r"\s*(?:pg_\w+: )?(?:DETAIL|CONTEXT|STATEMENT|QUERY|LOCATION|LINE \d+|detail|Command was)\b"
)
"""Lines that carry values, or the statement that held them."""
_VALUE = re.compile(r"(: )\"(?:[^\"]|\"\")*\"\s*\Z")
"""A value at the end of a sentence: `invalid input syntax for type integer: "4111 1111"`. Names stand inside of sentences."""
_SPOKEN = re.compile(r"(?:ERROR|FATAL|PANIC|error|fatal)\b:?")
_NO_ROLE = re.compile(rb'ERROR: +role "(?:[^"]|"")*" does not exist')
_WARNING = re.compile(r"(?:warning|WARNING): ")
_FEWER = "lower --jobs of the source, or allow the server or the account more connections"
_HINTS = (
    ("password authentication failed", "check --user and --secret of the source"),
    ("no password supplied", "give the password's REF by --secret, or let the account in by pg_hba.conf or a .pgpass"),
    ("authentication failed", "run the client as the database's own user (--as-user postgres), or give --user and --secret"),
    ("no pg_hba.conf entry", "let the account in by pg_hba.conf"),
    ("statement timeout", "somebody held a table for a minute, which changes or locks it: back up at another time"),
    ("too many clients", _FEWER),
    ("too many connections", _FEWER),
    ("connection slots", _FEWER),
    ("permission denied", "`holdfast host grants` prints what the account needs"),
    ("must be owner", "restore as a superuser, or as the owner"),
    ("root certificate file", "name the authority's file on the host by --tls-ca"),
    ("certificate verify failed", "name the authority's file on the host by --tls-ca"),
    ("server does not support SSL", "the server speaks no TLS: --tls disable sends everything in the clear"),
    ("Is the server running", "check --socket, --db-host and --port of the source"),
)  # fmt: skip


def sentence(stderr: bytes) -> str:
    """The first error, in the server's or the client's own words; values and statements are left out."""
    lines = _safe_lines(stderr)
    spoken = [line for line in lines if _SPOKEN.search(line)] or lines[-1:]
    return spoken[0][:_LONGEST] if spoken else "nothing was said"


def warnings(stderr: bytes) -> list[str]:
    """What a client that did its work wants known."""
    return [line[:_LONGEST] for line in _safe_lines(stderr) if _WARNING.search(line)]


def failure(ended: Exit, what: str, kind: type[SourceError] = SourceError) -> HoldfastError:
    """The error for a client that failed; `what` says what could not be done, as `database shop of db1 could not be dumped`."""
    said = sentence(ended.stderr)
    if b"server version mismatch" in ended.stderr:
        return ToolMissingError(
            f"{what}: the client is older than the server",
            hint=f"install the clients of the server's own version; it said: {said}",
        )
    hint = next((hint for words, hint in _HINTS if words in said), None)
    if _NO_ROLE.search(ended.stderr):
        hint = "make the missing roles first with --roles, from the same backup"
    how = (
        ""
        if ended.status is not None
        else f" (signal {ended.signal})"
        if ended.signal
        else " (no exit status)"
    )
    return kind(f"{what}: {said}{how}", hint=hint)


def _safe_lines(stderr: bytes) -> Sequence[str]:
    """A value may go over several lines, so whatever follows one that is dropped is dropped too, up to the next that a client begins."""
    kept: list[str] = []
    is_dropping = False
    for line in stderr.decode(errors="backslashreplace").splitlines():
        if _DROPPED.match(line):
            is_dropping = True
        elif re.match(
            r"(?:pg_\w+|psql|initdb|postgres)(?::|\[)|(?:ERROR|FATAL|PANIC|WARNING|HINT|NOTICE):", line
        ):
            is_dropping = False
        if not is_dropping and line.strip():
            kept.append(_VALUE.sub(r"\1…", line.strip()))
    return kept
