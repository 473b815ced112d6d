"""What is told of a client that failed: its words, and no row of data."""

from __future__ import annotations

import pytest

from engine.errors import IncompleteDumpError, ToolMissingError
from engine.hosts.base import Exit
from engine.sources.postgres import words

_COPY = b"""\
pg_restore: error: COPY failed for table "accounts": ERROR:  invalid input syntax for type integer: "4111 1111"
CONTEXT:  COPY accounts, line 3, column id: "4111 1111"
"""
_DUPLICATE = b"""\
pg_restore: while PROCESSING TOC:
pg_restore: error: COPY failed for table "a": ERROR:  duplicate key value violates unique constraint "a_pkey"
DETAIL:  Key (name)=(secret
of two lines) already exists.
CONTEXT:  COPY a, line 2
"""
_QUERY = b"""\
ERROR:  division by zero
LINE 1: select secret / 0
               ^
STATEMENT:  select secret / 0
"""


@pytest.mark.parametrize("stderr", [_COPY, _DUPLICATE, _QUERY], ids=["copy", "duplicate", "query"])
def test_no_value_is_told(stderr: bytes) -> None:
    """A log that holds customers' data is a leak."""
    said = words.sentence(stderr)
    assert "ERROR:  " in said
    assert not any(word in said for word in ("4111", "secret", "two lines"))


def test_the_table_is_told() -> None:
    """A person needs to know where to look."""
    assert words.sentence(_COPY).endswith(
        'table "accounts": ERROR:  invalid input syntax for type integer: …'
    )
    assert words.sentence(_DUPLICATE).endswith('unique constraint "a_pkey"')


def test_the_first_error_is_the_cause() -> None:
    """What follows it is its consequence."""
    stderr = b'psql: error: connection to server failed: FATAL:  database "x" does not exist\nERROR:  more\n'
    assert words.sentence(stderr).endswith('FATAL:  database "x" does not exist')


def test_silence_is_told_too() -> None:
    """And how it ended."""
    error = words.failure(Exit(None, "KILL", b""), "it failed", IncompleteDumpError)
    assert error.message == "it failed: nothing was said (signal KILL)"


def test_an_old_client_is_named() -> None:
    """pg_dump refuses a newer server, and the cure is a newer pg_dump."""
    stderr = b"pg_dump: error: server version: 16.2; pg_dump version: 15.1\npg_dump: error: aborting because of server version mismatch\n"
    error = words.failure(Exit(1, None, stderr), "it failed")
    assert isinstance(error, ToolMissingError)


def test_a_role_that_is_missing_has_a_way_out() -> None:
    """On a new server it is the first thing that goes wrong."""
    stderr = b'pg_restore: error: could not execute query: ERROR:  role "shop\nowner" does not exist\n'
    error = words.failure(Exit(1, None, stderr), "it failed")
    assert "--roles" in str(error.hint)


def test_warnings_are_kept_apart() -> None:
    """A backup that is whole may still have something to say."""
    stderr = b"pg_dump: warning: there are circular foreign-key constraints\npg_dump: detail: x\nother\n"
    assert words.warnings(stderr) == ["pg_dump: warning: there are circular foreign-key constraints"]


@pytest.mark.parametrize(
    "said",
    [
        "sorry, too many clients already",
        'too many connections for role "backup"',
        "remaining connection slots are reserved",
    ],
)
def test_a_server_without_connections_left_leads_to_fewer_jobs(said: str) -> None:
    """Several dumps at once were asked for, and the server has not so many to give."""
    error = words.failure(
        Exit(1, None, f"pg_dump: error: connection failed: FATAL:  {said}\n".encode()), "it failed"
    )
    assert "lower --jobs" in str(error.hint)
