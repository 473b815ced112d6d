"""Each of opendal's errors becomes the right one of ours, in one line, with nothing secret in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opendal import exceptions

from engine import errors
from engine.storages.opendal import failures

URL = "https://acc.blob.core.windows.net/c/config?sv=2018&sig=SeCrEt"


def text(said: str, *, status: int = 0, how: str = "permanent", source: str = "") -> str:
    """An error as opendal writes it."""
    answer = (
        f"\n   response: Parts {{ status: {status}, version: HTTP/1.1, headers: {{}} }}" if status else ""
    )
    cause = f"\n\nSource:\n   {source}" if source else ""
    return f"Unexpected ({how}) at stat => {said}\n\nContext:\n   uri: {URL}{answer}\n   service: azblob{cause}\n\nBacktrace:\n   0: <unknown>\n"


CASES: list[tuple[type[Exception], str, type[errors.HoldfastError], str]] = [
    (exceptions.NotFound, text("gone", status=404), errors.ObjectMissingError, "HTTP 404, gone"),
    (
        exceptions.NotFound,
        text('AzblobError { code: "ContainerNotFound", message: "The" }', status=404),
        errors.StorageError,
        "HTTP 404, ContainerNotFound",
    ),
    (
        exceptions.PermissionDenied,
        text('AzblobError { code: "AuthenticationFailed", message: "x" }', status=403),
        errors.StorageDeniedError,
        "HTTP 403, AuthenticationFailed",
    ),
    (exceptions.Unexpected, text("", status=401), errors.StorageDeniedError, "HTTP 401, Unauthorized"),
    (
        exceptions.PermissionDenied,
        text('{"error":{"errors":[{"reason": "userRateLimitExceeded"}]}}', status=403),
        errors.StorageUnreachableError,
        "HTTP 403, userRateLimitExceeded",
    ),
    (
        exceptions.PermissionDenied,
        text('{"error":{"errors":[{"reason": "storageQuotaExceeded"}]}}', status=403),
        errors.StorageFullError,
        "HTTP 403, storageQuotaExceeded",
    ),
    (
        exceptions.Unexpected,
        text("x", status=507),
        errors.StorageFullError,
        "HTTP 507, x",
    ),
    (
        exceptions.ConditionNotMatch,
        text('AzblobError { code: "BlobImmutableDueToPolicy" }', status=409),
        errors.StorageDeniedError,
        "HTTP 409, BlobImmutableDueToPolicy",
    ),
    (exceptions.RateLimited, text("slow", status=429), errors.StorageUnreachableError, "HTTP 429, slow"),
    (
        exceptions.Unexpected,
        text("<html><h1>503</h1></html>", status=503, how="temporary"),
        errors.StorageUnreachableError,
        "HTTP 503, Service Unavailable",
    ),
    (exceptions.Unexpected, text("locked", status=423), errors.StorageUnreachableError, "HTTP 423, locked"),
    (exceptions.Unexpected, text("strange", status=400), errors.StorageError, "HTTP 400, strange"),
    (
        exceptions.Unexpected,
        text(
            "send",
            how="temporary",
            source=f"error sending request for {URL}: tcp connect error: Connection refused",
        ),
        errors.StorageUnreachableError,
        "Connection refused",
    ),
    (
        exceptions.Unexpected,
        text("missing field `access_token` at line 1 column 58"),
        errors.StorageDeniedError,
        "the login was refused",
    ),
    (
        exceptions.Unexpected,
        text('{"error": "invalid_grant", "error_description": "x"}', status=400),
        errors.StorageDeniedError,
        "HTTP 400, invalid_grant",
    ),
    (
        exceptions.Unexpected,
        text('DropboxErrorResponse { error_summary: "invalid_access_token/.." }', status=401),
        errors.StorageDeniedError,
        "HTTP 401, invalid_access_token",
    ),
    (
        exceptions.NotFound,
        text('E { code: 404, message: "The specified bucket does not exist.", x: "y" }', status=404),
        errors.StorageError,
        "HTTP 404, The specified bucket does not exist",
    ),
    (exceptions.ConfigInvalid, text("no bucket"), errors.ConfigurationError, "no bucket"),
    (exceptions.Unsupported, text("cannot"), errors.StorageError, "cannot"),
]


@pytest.mark.parametrize(("kind", "said", "expected", "reason"), CASES, ids=[each[3] for each in CASES])
def test_each_is_told_as_what_it_is(
    kind: type[Exception], said: str, expected: type[errors.HoldfastError], reason: str
) -> None:
    """What passes is tried again for a quarter of an hour; what does not, never."""
    error = failures.translated(failures.read(kind(said)), "it could not be read")
    assert type(error) is expected
    assert error.message.startswith("it could not be read: ")
    assert error.message.endswith(reason)
    assert "SeCrEt" not in error.message


def test_every_exception_of_opendal_is_known() -> None:
    """A new one must not fly past the edge."""
    known = {value for value in vars(exceptions).values() if isinstance(value, type)}
    assert known <= set(failures.RAISED)


@given(st.text(max_size=300), st.sampled_from(failures.RAISED), st.integers(100, 999))
def test_no_answer_brings_a_secret_or_a_second_line(said: str, kind: type[Exception], status: int) -> None:
    """What a service says is not ours to trust."""
    secret = "kEy+/=="
    error = failures.read(kind(text(said + secret, status=status)), [secret])
    assert secret not in error.reason
    assert error.reason.isprintable()
    assert len(error.reason) <= 220
    failures.translated(error, "what")
