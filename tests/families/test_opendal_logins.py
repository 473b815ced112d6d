"""What a service says of a wrong login, key or bucket is told in one line, which holds none of what was given."""

from __future__ import annotations

import pytest

from engine import errors
from engine.clock import SystemClock
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages import registry
from engine.storages.base import Key, Kind
from tests.servers.cloud_fakes import Clouds

pytestmark = pytest.mark.slow

DRIVE: dict[str, OptionValue] = {"prefix": "a", "client_id": "an-application"}
WRONG = "wrong-and-secret"
CASES: list[tuple[str, dict[str, OptionValue], tuple[str, ...], type[errors.StorageError], str]] = [
    ("dropbox", DRIVE, ("refresh_token", "client_secret"), errors.StorageDeniedError, "login was refused"),
    ("dropbox", DRIVE, ("token",), errors.StorageDeniedError, "HTTP 401, invalid_access_token"),
    ("gdrive", DRIVE, ("refresh_token", "client_secret"), errors.StorageDeniedError, "400, invalid_grant"),
    ("gdrive", DRIVE, ("token",), errors.StorageDeniedError, "HTTP 401, Invalid Credentials"),
    ("onedrive", DRIVE, ("refresh_token", "client_secret"), errors.StorageDeniedError, "400, invalid_grant"),
    ("onedrive", DRIVE, ("token",), errors.StorageDeniedError, "HTTP 401, InvalidAuthenticationToken"),
    ("gcs", {"bucket": "b"}, ("token",), errors.StorageDeniedError, "HTTP 401, Invalid Credentials"),
    (
        "b2",
        {"bucket": "b", "bucket_id": "i"},
        ("access_key_id", "secret_key"),
        errors.StorageDeniedError,
        "HTTP 401, unauthorized",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{each[0]} {each[2][0]}" for each in CASES])
@pytest.mark.parametrize("call", ["create", "size"])
async def test_a_wrong_login_is_told(
    call: str,
    case: tuple[str, dict[str, OptionValue], tuple[str, ...], type[errors.StorageError], str],
    clouds_here: Clouds,
) -> None:
    """It is no fault that passes, and nobody can mend it who is not told."""
    kind, options, names, expected, said = case
    secrets = {name: Secret(f"{WRONG}-{name}") for name in names}
    async with registry.open_storage(kind, options, secrets=secrets, clock=SystemClock()) as storage:
        with pytest.raises(expected, match=said) as caught:
            await (storage.create() if call == "create" else storage.size(Key(Kind.CONFIG)))
    assert WRONG not in caught.value.message
    assert caught.value.message.isprintable()


async def test_a_bucket_that_is_not_there_is_no_empty_one(clouds_here: Clouds) -> None:
    """A repository would be made anew where the name was mistyped."""
    secrets = {"token": Secret(clouds_here.gcs.token)}
    async with registry.open_storage(
        "gcs", {"bucket": "none"}, secrets=secrets, clock=SystemClock()
    ) as storage:
        for call in (storage.create(), storage.get(Key(Kind.CONFIG)), anext(storage.list(Kind.SNAPSHOT))):
            with pytest.raises(errors.StorageError, match="bucket does not exist") as caught:
                await call
            assert not isinstance(caught.value, errors.ObjectMissingError)
