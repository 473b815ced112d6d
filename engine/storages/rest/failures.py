"""What a REST server's status, or the way to it, says in words of a storage."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import aiohttp

from engine import errors
from engine.storages import proxy as proxies

CAUGHT: Final = (aiohttp.ClientError, OSError, ValueError)
"""Whatever a request may raise; a timeout is an OSError."""
_NO_ROOM: Final = "free some room there, or run forget and prune; what is stored is safe"
_STATUS: Final[dict[int, tuple[type[errors.StorageError], str | None]]] = {
    401: (errors.StorageDeniedError, "give --user, and its password with --secret REF"),
    403: (errors.StorageDeniedError, "it may be append-only, or the login may lack that right"),
    413: (errors.StorageFullError, _NO_ROOM),
    507: (errors.StorageFullError, _NO_ROOM),
}
_LOG: Final[tuple[tuple[re.Pattern[str], type[errors.StorageError], str | None], ...]] = (
    (re.compile(r"no space left|quota|insufficient storage|storage ?limit", re.IGNORECASE), errors.StorageFullError, _NO_ROOM),
    (re.compile(r"read-only file system", re.IGNORECASE), errors.StorageReadOnlyError, None),
    (
        re.compile(r"permission denied|access ?denied|forbidden|unauthori[sz]ed|invalid_grant|not authori[sz]ed", re.IGNORECASE),
        errors.StorageDeniedError,
        "give the remote the right to do that, or log in to it anew with rclone",
    ),
)  # fmt: skip
"""What rclone writes into its log; its answer is the same 500 for all of them."""


def of_status(status: int, failure: str, log: str = "") -> errors.StorageError:
    """The error for an answer that is no success; `log` is the last that a bridge of ours wrote about it."""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return proxies.of_status(status, failure)
    said = f"{failure}: {log}" if log else f"{failure}: the server answers {status}"
    for pattern, kind, hint in _LOG if status >= 500 else ():
        if pattern.search(log):
            return kind(said, hint=hint)
    if status in _STATUS:
        kind, hint = _STATUS[status]
        return kind(said, hint=hint)
    if status >= 500 or status in (408, 425, 429):
        return errors.StorageUnreachableError(said)
    if 300 <= status < 400:
        return errors.StorageError(f"{failure}: the server sends us elsewhere", hint="give the right --url")
    return errors.StorageError(said)


def translated(error: Exception, failure: str) -> errors.StorageError:
    """The error for a request that was not answered."""
    if (of_proxy := proxies.failure(error, failure)) is not None:
        return of_proxy
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ServerFingerprintMismatch):
        return errors.StorageError(
            f"{failure}: the server's certificate is not trusted: {error}",
            hint="give the authority that signed it with --ca-file",
        )
    if isinstance(error, aiohttp.InvalidURL):
        return errors.StorageError(f"{failure}: the URL is not understood")
    words = (
        "it did not answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    )
    return errors.StorageUnreachableError(f"{failure}: {words}")
