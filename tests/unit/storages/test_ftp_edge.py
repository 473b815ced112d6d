"""What an FTP storage makes of a server's answers: pure functions at its edge."""

from __future__ import annotations

import ssl

import aioftp
import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine import errors
from engine.clock import SystemClock
from engine.model.definitions import OptionValue
from engine.storages import registry
from engine.storages.ftp import failures
from engine.storages.ftp.listing import Entry, parse_list, parse_mlsd

NAME = "ab" * 32


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"type=file;size=12;modify=20260102030405; {NAME}", Entry(NAME, 12, True)),
        (f"Type=FILE;Size=0;UNIX.mode=0600; {NAME}\r\n", Entry(NAME, 0, True)),
        ("type=dir;modify=20260102030405; ab", Entry("ab", None, False)),
        ("type=cdir; .", Entry(".", None, False)),
        (f"type=OS.unix=slink:/x;size=3; {NAME}", Entry(NAME, 3, False)),
        (f"size=-1; {NAME}", Entry(NAME, None, True)),
        (f"size={'9' * 30}; {NAME}", Entry(NAME, None, True)),
        (f"; {NAME}", Entry(NAME, None, True)),
        ("type=file;size=1; ", None),
        ("type=file", None),
    ],
)
def test_a_line_of_mlsd_is_read(line: str, expected: Entry | None) -> None:
    """The one listing that is laid down."""
    assert parse_mlsd(line.encode()) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"-rw-------    1 ftp      ftp            12 Nov 28 08:30 {NAME}\r\n", Entry(NAME, 12, True)),
        (f"-rw-r--r--+ 1 1000 1000 4294967296 Jan  1  2024 {NAME}", Entry(NAME, 4294967296, True)),
        ("drwx------    2 ftp      ftp          4096 Nov 28 08:30 ab", Entry("ab", 4096, False)),
        ("lrwxrwxrwx    1 ftp      ftp             2 Nov 28 08:30 ab -> cd", Entry("cd", None, True)),
        (f"11-28-26  08:30AM                   12 {NAME}", Entry(NAME, 12, True)),
        ("11-28-2026  08:30PM       <DIR>          ab", Entry("ab", None, False)),
        (f"-rw-rw-rw- 1 Domain Users group 12 Nov 28 08:30 {NAME}", Entry(NAME, None, True)),
        ("total 12", Entry("12", None, True)),
        ("", None),
        ("\r\n", None),
    ],
)
def test_a_line_of_list_is_read(line: str, expected: Entry | None) -> None:
    """No two servers write it alike; a size that is not certain is asked for."""
    assert parse_list(line.encode()) == expected


@given(some.binary(max_size=300))
def test_no_line_is_too_strange(line: bytes) -> None:
    """A server may send anything."""
    for parse in (parse_mlsd, parse_list):
        entry = parse(line)
        assert entry is None or (entry.size_bytes or 0) >= 0


def said(code: str, words: str) -> aioftp.StatusCodeError:
    """An answer that was not the one expected."""
    return aioftp.StatusCodeError(aioftp.Code("2xx"), aioftp.Code(code), [f" {words}"])


@pytest.mark.parametrize(
    ("error", "expected", "is_retryable"),
    [
        (said("530", "Login incorrect."), errors.StorageDeniedError, False),
        (said("553", "Could not create file."), errors.StorageDeniedError, False),
        (said("550", "Permission denied."), errors.StorageDeniedError, False),
        (said("550", "x: Read-only file system"), errors.StorageReadOnlyError, False),
        (said("552", "Quota exceeded"), errors.StorageFullError, False),
        (said("452", "Insufficient storage"), errors.StorageFullError, False),
        (said("451", "Failure writing to local file."), errors.StorageFullError, False),
        (said("550", "No space left on device"), errors.StorageFullError, False),
        (said("421", "Too many connections"), errors.StorageUnreachableError, True),
        (said("425", "Failed to establish connection."), errors.StorageUnreachableError, True),
        (said("426", "Failure writing network stream."), errors.StorageUnreachableError, True),
        (said("500", "What?"), errors.StorageError, False),
        (ConnectionResetError(), errors.StorageUnreachableError, True),
        (TimeoutError(), errors.StorageUnreachableError, True),
        (ssl.SSLCertVerificationError(1, "self-signed"), errors.StorageError, False),
        (ValueError("parse"), errors.StorageError, False),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:60],
)
def test_what_passes_is_tried_again_and_nothing_else(
    error: Exception, expected: type[errors.StorageError], is_retryable: bool
) -> None:
    """A quarter of an hour of tries against a missing right helps nobody."""
    found = failures.translated(error, "x could not be written on y")
    assert (type(found), found.retryable) == (expected, is_retryable)
    assert found.message.startswith("x could not be written on y: ")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"path": "x"}, "needs the option address"),
        ({"address": "h"}, "needs the option path"),
        ({"address": "me@h", "path": "x"}, "no address of an FTP server"),
        ({"address": "h:x", "path": "x"}, "no address of an FTP server"),
        ({"address": "ftp://h", "path": "x"}, "no address of an FTP server"),
        ({"address": "h", "path": "x\nDELE y"}, "line break"),
        ({"address": "h", "path": "x", "user": "a\r\nb"}, "line break"),
        ({"address": "h", "path": "x", "ca_file": "/nowhere"}, "cannot be read"),
    ],
)
async def test_a_wrong_option_is_told_at_once(options: dict[str, OptionValue], complaint: str) -> None:
    """Before anything is connected to; a line break would be a command of its own."""
    with pytest.raises(errors.ConfigurationError, match=complaint):
        async with registry.open_storage("ftp", options, clock=SystemClock()):
            pass
