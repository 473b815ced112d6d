"""The guard: a passphrase, or a code that holds once, which a person says before what cannot be undone.

It is a guard against accidents and against a console that was left open, not against whoever owns the home: who can write the catalog can
take the guard away. What is kept are scrypt hashes. Pure: values in, values out; hashing takes a tenth of a second and 32 MiB.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import UsageError
from engine.model.names import new_id
from engine.model.plans import PlanRequest
from engine.model.requests import (
    DeleteRequest,
    EraseRequest,
    ForgetRequest,
    MoveRequest,
    PruneRequest,
    RestoreRequest,
    RollbackRequest,
)

LEAST_LETTERS: Final = 8
_COST: Final = 1 << 15
_BLOCK: Final = 8
_MOST_MEMORY_BYTES: Final = 64 << 20
_SALT_BYTES: Final = 16
_CODE_GROUP: Final = 4


@dataclass(frozen=True, slots=True)
class Hashed:
    """What is kept of a passphrase or code, hex."""

    salt: str
    digest: str
    expires_at: datetime.datetime | None = None
    """Of a code; None: it does not."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What the catalog keeps."""

    passphrase: Hashed
    set_at: datetime.datetime
    codes: Sequence[Hashed] = ()
    """Each holds once."""


def is_guarded(request: object) -> bool:
    """Whether the guard stands before a job: one that replaces or deletes what is live, or deletes backups or parts of them."""
    match request:
        case RestoreRequest():
            return (request.is_in_place or request.is_deleting) and not request.is_dry_run
        case PlanRequest():
            return not (request.is_drill or request.is_dry_run)
        case ForgetRequest() | PruneRequest() | EraseRequest() | DeleteRequest():
            return not request.is_dry_run
        case MoveRequest():
            return bool(request.password)
    return isinstance(request, RollbackRequest)


def hashed(text: str, salt: bytes, expires_at: datetime.datetime | None = None) -> Hashed:
    """Hashes; `salt` is random."""
    return Hashed(salt.hex(), _digest(text, salt), expires_at)


def fresh_salt(random_bytes: Callable[[int], bytes]) -> bytes:
    """A salt out of `random_bytes`, os.urandom outside of tests."""
    return random_bytes(_SALT_BYTES)


def require_fit(passphrase: str) -> None:
    """Raises: UsageError for one that is too short to be a passphrase."""
    if len(passphrase) < LEAST_LETTERS:
        raise UsageError(f"the passphrase is shorter than {LEAST_LETTERS} letters", hint="take a longer one")


def new_code(random_bytes: Callable[[int], bytes]) -> str:
    """A code to be read out over the telephone: four groups, about 75 bits."""
    letters = new_id(random_bytes)
    return "-".join(letters[place : place + _CODE_GROUP] for place in range(0, len(letters), _CODE_GROUP))


def passed(guard: Guard, answer: str, now: datetime.datetime) -> Guard | None:
    """The guard as it is after the right answer, without the code that was used and those that expired; None for a wrong answer."""
    codes = tuple(each for each in guard.codes if each.expires_at is None or each.expires_at > now)
    left = dataclasses.replace(guard, codes=codes)
    if _is_of(guard.passphrase, answer):
        return left
    for each in codes:
        if _is_of(each, answer.strip().lower()):
            return dataclasses.replace(left, codes=tuple(code for code in codes if code is not each))
    return None


def _is_of(kept: Hashed, answer: str) -> bool:
    return hmac.compare_digest(kept.digest, _digest(answer, bytes.fromhex(kept.salt)))


def _digest(text: str, salt: bytes) -> str:
    return hashlib.scrypt(
        text.encode("utf-8", "surrogateescape"),
        salt=salt,
        n=_COST,
        r=_BLOCK,
        p=1,
        maxmem=_MOST_MEMORY_BYTES,
        dklen=32,
    ).hex()
