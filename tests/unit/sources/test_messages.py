"""What find and tar say, and what it means."""

from __future__ import annotations

import pytest

from engine.model.entry import Failure
from engine.sources.files import messages
from engine.sources.files.journal import Journal


@pytest.mark.parametrize(
    ("line", "path", "reason"),
    [
        (
            rb"tar: ./a/n\303\266\n\\x: Cannot stat: No such file or directory",
            "a/nö\n\\x".encode(),
            "vanished",
        ),
        (b"tar: ./a: File removed before we read it", b"a", "vanished"),
        (b"tar: ./a: Cannot open: Not a directory", b"a", "vanished"),
        (b"tar: ./a: Cannot open: Permission denied", b"a", "unreadable"),
        (b"tar: ./a: Cannot open: x: Cannot open: Permission denied", b"a: Cannot open: x", "unreadable"),
        (b"tar: ./a: Read error at byte 0, while reading 512 bytes: Input/output error", b"a", "unreadable"),
        (b"tar: ./x: Warning: Cannot open: Permission denied", b"x: Warning", "unreadable"),
        (b"tar: ./a: Unknown file type; file ignored", b"a", "unreadable"),
        (b"tar: ./a: file changed as we read it", b"a", "changed"),
        (b"tar: ./a: File shrank by 5 bytes; padding with zeros", b"a", "changed"),
        (b"tar: ./a: File shrank by 1 byte; padding with zeros", b"a", "changed"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_tar_says_what_happened_to_an_entry(line: bytes, path: bytes, reason: str) -> None:
    """The backup names the file and tells apart what was lost from what moved."""
    found = messages.parse_tar(line).failure
    assert found
    assert (found.path, found.reason) == (path, reason)


@pytest.mark.parametrize(
    ("words", "is_spoiled"),
    [
        (b"Read error at byte 10240, while reading 512 bytes: Input/output error", True),
        (b"File shrank by 5 bytes; padding with zeros", True),
        (b"file changed as we read it", False),
        (b"Cannot open: Permission denied", False),
    ],
)
def test_content_that_was_filled_with_zeros_is_spoiled(words: bytes, is_spoiled: bool) -> None:
    """It must not be kept for the file's."""
    failure = messages.parse_tar(b"tar: ./a: " + words).failure
    assert failure
    assert failure.is_spoiled is is_spoiled


def test_a_file_that_changed_and_was_filled_up_is_spoiled() -> None:
    """tar may say both of one file, in either order."""
    journal = Journal(lambda _path: False)
    for is_spoiled in (False, True, False):
        journal.fail(Failure(b"a", "changed", "words", is_spoiled))
    assert [failure.is_spoiled for failure in journal.failures()] == [True]


@pytest.mark.parametrize(
    ("line", "path", "reason"),
    [
        (rb"find: '/a/n\303\266\n\'x': No such file or directory", "a/nö\n'x".encode(), "vanished"),
        (b"find: '/root': Permission denied", b"root", "unreadable"),
        (rb"find: '/a\': b': Input/output error", b"a': b", "unreadable"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_find_says_what_happened_to_an_entry(line: bytes, path: bytes | None, reason: str | None) -> None:
    """As tar does."""
    found = messages.parse_find(line).failure
    assert found
    assert (found.path, found.reason) == (path, reason)


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        (b"tar: Exiting with failure status due to previous errors", "last"),
        (b"tar: ./a: Warning: Cannot llistxattrat: Operation not permitted", "warning"),
        (b"tar: -: Wrote only 4096 of 10240 bytes", "unknown"),
        (b"tar: unrecognized option '--xattrs'", "unknown"),
        (b"Killed", "unknown"),
        (b"", "unknown"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_no_bad_luck_with_an_entry_explains_no_status(line: bytes, meaning: str) -> None:
    """An unknown message means a failed backup, not an incomplete one."""
    assert messages.parse_tar(line).meaning == meaning


def test_a_message_is_printable() -> None:
    """File names hold what would drive a terminal."""
    assert messages.parse_find(b"find: \x1b[31m\n\xff").text.isprintable()
