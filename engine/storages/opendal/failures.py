"""What went wrong, as opendal tells it, in our words.

opendal's exceptions have no base class and carry all they know in one text: `Kind (temporary) at operation => message`, then context
(URL, headers and status of the answer), then the source and a backtrace. The URL may hold a signature, so none of the context is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from opendal import exceptions

from engine import errors

RAISED: Final = (
    exceptions.Unexpected,
    exceptions.Unsupported,
    exceptions.ConfigInvalid,
    exceptions.NotFound,
    exceptions.PermissionDenied,
    exceptions.IsADirectory,
    exceptions.NotADirectory,
    exceptions.AlreadyExists,
    exceptions.IsSameFile,
    exceptions.ConditionNotMatch,
    exceptions.RateLimited,
    exceptions.RangeNotSatisfied,
    exceptions.Conflict,
    exceptions.Error,
)
"""Every exception that opendal raises."""

_HEAD = re.compile(r"\A\w+ \((temporary|persistent|permanent)\) at .*? => (.*?)(?:\n\nContext:|\n\nSource:|\Z)", re.DOTALL)  # fmt: skip
_STATUS = re.compile(r"\n\s+response: Parts \{ status: (\d{3})")
_SOURCE = re.compile(r"\n\nSource:\n(.*?)(?:\n\nBacktrace:|\Z)", re.DOTALL)
_MARKUP_MESSAGE = re.compile(r"<(?:\w+:)?[Mm]essage>([^<]*)</")
_URL = re.compile(r"\S*://\S*")
_TELLING = tuple(
    re.compile(each)
    for each in (
        r'\bcode: "([\w.]+)"|"code":\s*"([\w.]+)"|<Code>(\w+)</Code>',
        r'\berror_summary"?: "([\w/]*\w)',
        r'"error":\s*"(\w+)"',
        r'"reason":\s*"(\w+)"',
        r'\bmessage"?: "((?:[^"\\]|\\.)+)"',
    )
)
"""What of an answer tells most; the first that is there is shown."""
_LONGEST_REASON: Final = 200
"""Letters: an answer may be a whole page."""

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _RANGE, _LOCKED, _FULL = 401, 403, 404, 416, 423, 507
_CONFLICT, _CONDITION = 409, 412
_EXISTS: Final = (exceptions.ConditionNotMatch, exceptions.AlreadyExists)
_PASSING: Final = frozenset({408, 421, 425, 429, 500, 502, 503, 504, 509, _LOCKED})
_FULL_CODES: Final = ("storageQuotaExceeded", "quotaLimitReached", "insufficient_space", "storage_cap_exceeded", "AccountQuota")  # fmt: skip
_BUSY_CODES: Final = ("rateLimitExceeded", "userRateLimitExceeded", "too_many_requests", "too_many_write_operations", "ServerBusy", "OperationTimedOut")  # fmt: skip
_FIXED_CODES: Final = ("BlobImmutableDueToPolicy", "ObjectUnderActiveHold", "retentionPolicyNotMet")
_REFUSED_TOKEN: Final = "missing field `access_token`"  # noqa: S105 -- a message
"""What opendal makes of Dropbox's refusal of a refresh token."""
_LOGIN_CODES: Final = ("AuthenticationFailed", "invalid_grant", _REFUSED_TOKEN)
_PLACE_CODES: Final = ("ContainerNotFound", "The specified bucket does not exist", "no_such_bucket", "bad_bucket_id")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Failure:
    """One exception of opendal's, read."""

    kind: type[BaseException]
    is_temporary: bool
    status: int | None
    """That of the answer, where there was one."""
    reason: str
    """A few words, with nothing in them that must not be shown."""
    text: str
    """All of it: for looking, never for showing."""

    @property
    def is_missing(self) -> bool:
        """Whether the object is not there, while its place is."""
        return (self.kind is exceptions.NotFound or self.status == _NOT_FOUND) and not self.is_place_missing

    @property
    def is_place_missing(self) -> bool:
        """Whether the bucket or container is not there."""
        return any(code in self.text for code in _PLACE_CODES)

    @property
    def is_behind_the_end(self) -> bool:
        """Whether a range was asked for that the object does not have in full."""
        return (
            self.kind is exceptions.RangeNotSatisfied
            or self.status == _RANGE
            or "too little data" in self.text
            or "content range is invalid" in self.text
        )

    @property
    def is_passing(self) -> bool:
        """Whether the same call may do better in a while."""
        if self.status is not None:
            return self.status in _PASSING
        return self.is_temporary or self.kind is exceptions.RateLimited


def read(error: BaseException, secrets: Iterable[str] = ()) -> Failure:
    """What an exception says. None of `secrets` is in the reason."""
    text = str(error)
    head, status, source = _HEAD.search(text), _STATUS.search(text), _SOURCE.search(text)
    said = head[2] if head else text
    telling = next(filter(None, (each.search(said) for each in _TELLING)), None)
    if _REFUSED_TOKEN in text:
        reason = "the login was refused"
    elif telling is not None:
        reason = next(filter(None, telling.groups())).rstrip(".")
    elif source is not None:
        reason = source[1].rpartition("error: ")[2]
    else:
        reason = said
    if status is not None and (not reason or reason.lstrip().startswith("<")):
        message = _MARKUP_MESSAGE.search(reason)
        reason = message[1] if message else _phrase(int(status[1]))
    for secret in secrets:
        reason = reason.replace(secret, "…")
    reason = " ".join(_URL.sub("…", reason).split())
    reason = "".join(letter for letter in reason if letter.isprintable())[:_LONGEST_REASON]
    if status is not None:
        reason = f"HTTP {status[1]}, {reason}" if reason else f"HTTP {status[1]}"
    return Failure(
        type(error),
        head is not None and head[1] == "temporary",
        int(status[1]) if status else None,
        reason,
        text,
    )


def _phrase(status: int) -> str:
    """What a status of HTTP means, in English; empty for one that is not known."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def translated(failure: Failure, what: str) -> errors.HoldfastError:
    """The error that people get; `what` is the sentence that the reason follows."""
    message = f"{what}: {failure.reason}" if failure.reason else what
    if failure.kind is exceptions.ConfigInvalid:
        return errors.ConfigurationError(message, hint="holdfast storage edit --help lists the options")
    return _of_the_service(failure, message)


def _of_the_service(failure: Failure, message: str) -> errors.StorageError:
    for matches, kind, hint in _RULES:
        if matches(failure):
            return kind(message, hint=hint)
    return errors.StorageError(message)


def _says(*codes: str) -> Callable[[Failure], bool]:
    return lambda failure: any(code in failure.text for code in codes)


_RULES: Final[Sequence[tuple[Callable[[Failure], bool], type[errors.StorageError], str]]] = (
    (
        lambda failure: failure.status == _FULL or _says(*_FULL_CODES)(failure),
        errors.StorageFullError,
        "raise the quota, or run forget and prune; what is stored is safe",
    ),
    (_says(*_BUSY_CODES), errors.StorageUnreachableError, "the service is busy, or counts too many calls"),
    (_says(*_FIXED_CODES), errors.StorageDeniedError, "the service keeps it unchanged until a date"),
    (
        lambda failure: failure.is_place_missing,
        errors.StorageError,
        "make the container or bucket first, and check its name",
    ),
    (
        lambda failure: failure.status == _UNAUTHORIZED or _says(*_LOGIN_CODES)(failure),
        errors.StorageDeniedError,
        "check the key or token, that it has not expired, and that this machine's clock is right",
    ),
    (
        lambda failure: failure.kind is exceptions.PermissionDenied or failure.status == _FORBIDDEN,
        errors.StorageDeniedError,
        "give the key or token the right to list, read, write and delete there",
    ),
    (
        lambda failure: failure.status in (_CONFLICT, _CONDITION) and failure.kind in _EXISTS,
        errors.ObjectExistsError,
        "look at what is there",
    ),
    (
        lambda failure: failure.is_missing,
        errors.ObjectMissingError,
        "run verify to see which backups need it",
    ),
    (
        lambda failure: failure.is_passing,
        errors.StorageUnreachableError,
        "is the address right, and the service up?",
    ),
)
"""The first that matches counts."""
