"""The edge at which what an SFTP server or a connection says becomes an error of a storage."""

from __future__ import annotations

from typing import Final

import asyncssh

from engine import errors

_UNREACHABLE: Final = (
    asyncssh.SFTPNoConnection,
    asyncssh.SFTPConnectionLost,
    asyncssh.ConnectionLost,
    asyncssh.ChannelOpenError,
    asyncssh.DisconnectError,
    TimeoutError,
    OSError,
)
MISSING: Final = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
CAUGHT: Final = (asyncssh.Error, OSError, ValueError)
"""Whatever a call of asyncssh may raise."""

_TABLE: Final[tuple[tuple[tuple[type[Exception], ...], type[errors.StorageError], str], ...]] = (
    (MISSING, errors.StorageError, "is the disk of the host mounted, and the path right?"),
    (
        (asyncssh.SFTPNoSpaceOnFilesystem,),
        errors.StorageFullError,
        "free some room there, or run forget and prune; what is stored is safe",
    ),
    (
        (asyncssh.SFTPQuotaExceeded,),
        errors.StorageFullError,
        "raise the quota, or run forget and prune; what is stored is safe",
    ),
    ((asyncssh.SFTPWriteProtect,), errors.StorageReadOnlyError, "mount it writable on the host"),
    (
        (asyncssh.SFTPPermissionDenied, asyncssh.SFTPCannotDelete),
        errors.StorageDeniedError,
        "give the account that logs in the right to do that there",
    ),
    (
        _UNREACHABLE,
        errors.StorageUnreachableError,
        "does `holdfast host test` reach the host?",
    ),
    (
        (asyncssh.SFTPFailure,),
        errors.StorageError,
        "its reason is not in its answer: look at the host's disk and the account's quota",
    ),
)
"""Most specific first."""


def translated(error: Exception, failure: str) -> errors.StorageError:
    """The error that people get, `failure` being the head of its message."""
    words = f"{failure}: {_words(error)}"
    for kinds, ours, hint in _TABLE:
        if isinstance(error, kinds):
            return ours(words, hint=hint)
    return errors.StorageError(words)


def of_host(error: errors.HostError) -> errors.StorageError:
    """The error for a host that could not be reached or logged in to; its message names the host."""
    if error.retryable:
        return errors.StorageUnreachableError(error.message, hint=error.hint)
    kind = errors.StorageDeniedError if isinstance(error, errors.LoginRefusedError) else errors.StorageError
    return kind(error.message, hint=error.hint)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = str(error) or type(error).__name__
    return text[:1].lower() + text[1:200]
