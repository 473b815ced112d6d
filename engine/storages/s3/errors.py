"""What the service or the client said, in holdfast's words: which fault it is, whether it may pass, and the way out."""

from __future__ import annotations

import http
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import aiohttp
from botocore import exceptions as boto
from botocore import parsers

from engine import errors
from engine.storages import proxy as proxies

_LONGEST_MESSAGE: Final = 200
_REGION: Final = "give its region: holdfast storage edit NAME --region REGION"
_LOGIN: Final = "compare the key with the one that the service shows, and give it anew: holdfast storage edit NAME --access-key-id REF --secret-key REF"


class _Meaning(NamedTuple):
    kind: type[errors.StorageError]
    message: str
    """Behind the place's name; the action's name stands in for {action}."""
    hint: str | None = None


_PASSING: Final = _Meaning(
    errors.StorageUnreachableError, "the service is busy or failed for a moment ({code})"
)
_DENIED: Final = _Meaning(
    errors.StorageDeniedError,
    "the key may not do {action}",
    "let its policy allow {action} on the bucket and on what lies below the prefix",
)
_DAMAGED_ON_THE_WAY: Final = _Meaning(
    errors.StorageUnreachableError, "the bytes that arrived were not those that were sent ({code})"
)
_EXPIRED: Final = _Meaning(
    errors.StorageDeniedError,
    "the session token is not valid, or no longer",
    "ask for new temporary credentials, and give them: holdfast storage edit NAME --session-token REF",
)
_ENCRYPTION: Final = _Meaning(
    errors.StorageDeniedError,
    "the encryption that was asked for cannot be had ({code})",
    "compare --encryption and --kms-key with what the service offers, and with what the key's policy allows",
)
_MEANINGS: Final[Mapping[str, _Meaning]] = {
    "InvalidAccessKeyId": _Meaning(
        errors.StorageDeniedError, "the service knows no such access key id", _LOGIN
    ),
    "SignatureDoesNotMatch": _Meaning(
        errors.StorageDeniedError, "the secret key does not belong to the access key id", _LOGIN
    ),
    "AccessDenied": _DENIED,
    "Forbidden": _DENIED,
    "403": _DENIED,
    "AllAccessDisabled": _DENIED,
    "AccountProblem": _Meaning(
        errors.StorageDeniedError, "the account is in trouble", "ask the service: a bill may be open"
    ),
    "ExpiredToken": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestTimeTooSkewed": _Meaning(
        errors.StorageDeniedError,
        "the clocks of this machine and of the service differ by more than 15 minutes",
        "set this machine's clock: timedatectl set-ntp true",
    ),
    "NoSuchBucket": _Meaning(
        errors.StorageError,
        "there is no such bucket",
        "compare --bucket, --endpoint and --region with what the service shows; `storage add` makes a new one",
    ),
    "InvalidBucketName": _Meaning(
        errors.StorageError,
        "that is no name for a bucket",
        "3 to 63 small letters, digits, dots and hyphens are",
    ),
    "BucketAlreadyExists": _Meaning(
        errors.StorageDeniedError,
        "the bucket belongs to somebody else",
        "choose another name: all customers of a service share them",
    ),
    "PermanentRedirect": _Meaning(errors.StorageError, "the bucket lies in another region", _REGION),
    "301": _Meaning(errors.StorageError, "the bucket lies in another region", _REGION),
    "AuthorizationHeaderMalformed": _Meaning(errors.StorageError, "the region is a wrong one", _REGION),
    "IllegalLocationConstraintException": _Meaning(errors.StorageError, "the region is a wrong one", _REGION),
    "InvalidLocationConstraint": _Meaning(errors.StorageError, "the region is a wrong one", _REGION),
    "QuotaExceeded": _Meaning(
        errors.StorageFullError,
        "its quota is used up",
        "raise the quota, or run forget and prune; what is stored is safe",
    ),
    "InsufficientStorage": _Meaning(
        errors.StorageFullError,
        "it is full",
        "make room there, or run forget and prune; what is stored is safe",
    ),
    "InvalidStorageClass": _Meaning(
        errors.StorageError,
        "the service knows no such storage class",
        "choose another: holdfast storage edit NAME --storage-class CLASS",
    ),
    "InvalidObjectState": _Meaning(
        errors.StorageError,
        "the object lies in an archive class, from which it cannot be read at once",
        "bring it back first: aws s3api restore-object",
    ),
    "InvalidEncryptionAlgorithmError": _ENCRYPTION,
    "ServerSideEncryptionConfigurationNotFoundError": _ENCRYPTION,
    "BadDigest": _DAMAGED_ON_THE_WAY,
    "InvalidDigest": _DAMAGED_ON_THE_WAY,
    "IncompleteBody": _DAMAGED_ON_THE_WAY,
    "XAmzContentSHA256Mismatch": _DAMAGED_ON_THE_WAY,
    "XAmzContentChecksumMismatch": _DAMAGED_ON_THE_WAY,
    "NotImplemented": _Meaning(
        errors.StorageError,
        "the service does not offer {action}, or an option of it",
        "leave --conditional-writes and what else its documentation does not name out: holdfast storage edit NAME --unset OPTION",
    ),
    "MethodNotAllowed": _Meaning(errors.StorageError, "the service does not allow {action} there"),
    "ObjectLockConfigurationNotFoundError": _Meaning(
        errors.StorageError,
        "the bucket keeps no versions under lock",
        "object lock is switched on when a bucket is made: make one, or leave --retention-mode and --legal-hold out",
    ),
} | dict.fromkeys(
    (
        "SlowDown",
        "ServiceUnavailable",
        "Busy",
        "InternalError",
        "InternalServerError",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "TooManyRequests",
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "ConditionalRequestConflict",
    ),
    _PASSING,
)
MISSING: Final = ("NoSuchKey", "404", "NotFound")
EXISTS: Final = ("PreconditionFailed", "412")

_CLIENT: Final[Mapping[type[BaseException], _Meaning]] = {
    boto.NoCredentialsError: _Meaning(
        errors.StorageDeniedError,
        "no key was given, and this machine has none",
        "give --access-key-id REF and --secret-key REF, or a --profile, or run where an instance role is",
    ),
    boto.PartialCredentialsError: _Meaning(
        errors.StorageDeniedError,
        "only half of a key was found",
        "give both --access-key-id and --secret-key",
    ),
    boto.SSLError: _Meaning(
        errors.StorageError,
        "its TLS certificate is not trusted, or it speaks no TLS",
        "give the authority's certificate with --ca-file, or an --endpoint that begins with http:// where no TLS is meant",
    ),
    boto.CredentialRetrievalError: _Meaning(
        errors.StorageDeniedError,
        "the way to a key that this machine was set up with failed",
        "`aws sts get-caller-identity` says more",
    ),
    boto.ParamValidationError: _Meaning(
        errors.StorageError,
        "an option is not what the service takes",
        "compare the options: holdfast storage show NAME",
    ),
}
"""Most specific first."""

_PASSING_CLIENT: Final = (
    aiohttp.ClientError,
    OSError,
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    boto.ChecksumError,
    parsers.ResponseParserError,
)


@dataclass(frozen=True, slots=True)
class Speaker:
    """Translates for one storage."""

    location: str

    @contextmanager
    def translating(self, action: str, what: str = "") -> Iterator[None]:
        """Around a call of the client that needs the permission `action`; `what` names the object for people.

        Raises: StorageError for whatever the client raises; ObjectMissingError where the object is not there.
        """
        try:
            yield
        except boto.ProfileNotFound:
            raise  # a mistake in the options, which client.py words
        except boto.ClientError as error:
            raise self.translated(error, action, what) from error
        except (boto.BotoCoreError, parsers.ResponseParserError, aiohttp.ClientError, OSError) as error:
            raise self._of_client(error, what) from error

    def translated(self, error: boto.ClientError, action: str, what: str = "") -> errors.StorageError:
        """What the service answered."""
        code = code_of(error)
        if code in MISSING:
            return errors.ObjectMissingError(
                f"{self._place(what)} is not there", hint="run verify to see which backups need it"
            )
        if code in EXISTS:
            return errors.ObjectExistsError(f"{self._place(what)} is there already")
        if _status(error) == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return proxies.of_status(_status(error), self._place(what))
        meaning = _MEANINGS.get(code) or self._by_status(error)
        if meaning is None:
            said = _printable(str(error.response.get("Error", {}).get("Message", "")))
            return errors.StorageError(
                f"{self._place(what)}: the service refused {action}: {_printable(code)} {said}".rstrip()
            )
        return meaning.kind(
            f"{self._place(what)}: {meaning.message.format(action=action, code=_printable(code))}",
            hint=meaning.hint and meaning.hint.format(action=action),
        )

    def _by_status(self, error: boto.ClientError) -> _Meaning | None:
        """What an answer means whose code is not known."""
        status = _status(error)
        if code_of(error).startswith("KMS."):
            return _ENCRYPTION
        if status == http.HTTPStatus.INSUFFICIENT_STORAGE:
            return _MEANINGS["InsufficientStorage"]
        if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR and status != http.HTTPStatus.NOT_IMPLEMENTED:
            return _PASSING
        if status in (http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.REQUEST_TIMEOUT):
            return _PASSING
        return _DENIED if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN) else None

    def _of_client(self, error: BaseException, what: str) -> errors.StorageError:
        """What never became an answer."""
        if isinstance(error, boto.ProxyConnectionError):
            told = proxies.failure(error.kwargs.get("error", error), self._place(what))
            return told or proxies.of_status(http.HTTPStatus.BAD_GATEWAY, self._place(what))
        for kind, meaning in _CLIENT.items():
            if isinstance(error, kind):
                return meaning.kind(f"{self._place(what)}: {meaning.message}", hint=meaning.hint)
        if isinstance(error, _PASSING_CLIENT):
            return errors.StorageUnreachableError(f"{self._place(what)}: {_reason(error)}")
        return errors.StorageError(f"{self._place(what)}: {_printable(str(error))}")

    def _place(self, what: str) -> str:
        return f"{what} at {self.location}" if what else self.location


def code_of(error: boto.ClientError) -> str:
    """The service's name for the fault; a HEAD has no more than its status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _reason(error: BaseException) -> str:
    """Why a request came to nothing, in a few words."""
    if isinstance(error, TimeoutError | boto.ReadTimeoutError | boto.ConnectTimeoutError):
        return "nothing came for too long"
    if isinstance(error, boto.EndpointConnectionError | aiohttp.ClientConnectorError):
        return "no connection could be made"
    return "the connection broke off"


def _printable(text: str) -> str:
    """A stranger's words, fit for one line."""
    return "".join(each if each.isprintable() else " " for each in text)[:_LONGEST_MESSAGE].strip()
