"""What an FTP server's code, or the way to it, says in words of a storage."""

from __future__ import annotations

import re
import ssl
from typing import Final

import aioftp

from engine import errors

CAUGHT: Final = (aioftp.AIOFTPException, OSError, EOFError, ValueError, IndexError)
"""Whatever a call of aioftp may raise, also for an answer that makes no sense; a timeout is an OSError."""
_NO_ROOM: Final = "free some room there, or run forget and prune; what is stored is safe"
_FULL: Final = re.compile(r"\bspace\b|quota|disk full|failure writing to local file", re.IGNORECASE)
"""vsftpd says of a full disk that it could not write its file."""
_DENIED: Final = re.compile(r"denied|not permitted|permission|not allowed", re.IGNORECASE)
_READ_ONLY: Final = re.compile(r"read-only", re.IGNORECASE)
_WORDS_BYTES: Final = 200


def code_of(error: Exception) -> str:
    """The server's three digits; empty where it sent none."""
    return str(error.received_codes[-1]) if isinstance(error, aioftp.StatusCodeError) else ""


def is_refusal(error: Exception) -> bool:
    """Whether the server understood, and does it not: because it is missing, forbidden, or named wrongly."""
    return code_of(error) in ("550", "553", "450")


def is_in_order(error: Exception) -> bool:
    """Whether the connection may be used again."""
    code = code_of(error)
    return bool(code) and code not in ("421", "425", "426")


def translated(error: Exception, failure: str) -> errors.StorageError:
    """The error that people get, `failure` being the head of its message."""
    if isinstance(error, aioftp.StatusCodeError):
        return _of_code(code_of(error), _words(error), failure)
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "verify_message", "") or str(error)
        return errors.StorageError(
            f"{failure}: the server's certificate is not trusted: {reason}",
            hint="give the authority that signed it with --ca-file",
        )
    if isinstance(error, TimeoutError):
        return errors.StorageUnreachableError(f"{failure}: the server did not answer in time")
    if isinstance(error, OSError | EOFError):
        words = (error.strerror if isinstance(error, OSError) else "") or "the connection was lost"
        return errors.StorageUnreachableError(f"{failure}: {words.lower()}")
    return errors.StorageError(f"{failure}: the server's answer makes no sense")


def _of_code(code: str, words: str, failure: str) -> errors.StorageError:
    said = f"{failure}: {code} {words}".rstrip()
    if code in ("452", "552") or _FULL.search(words):
        return errors.StorageFullError(said, hint=_NO_ROOM)
    if code in ("530", "532"):
        return errors.StorageDeniedError(said, hint="check --user, and its password behind --secret")
    if _READ_ONLY.search(words):
        return errors.StorageReadOnlyError(said)
    if code in ("550", "553") or _DENIED.search(words):
        # What is missing is told apart before; what is left of these is a refusal.
        return errors.StorageDeniedError(
            said, hint="give the account that logs in the right to do that there"
        )
    if code in ("421", "425", "426", "430"):
        return errors.StorageUnreachableError(said)
    return errors.StorageError(said)


def _words(error: aioftp.StatusCodeError) -> str:
    text = error.info if isinstance(error.info, str) else " ".join(error.info)
    return "".join(letter for letter in text if letter.isprintable()).strip(" -")[:_WORDS_BYTES]
