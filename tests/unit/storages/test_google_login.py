"""A service account asks for a token once in its life, and says plainly why it gets none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from engine import errors
from engine.storages.opendal.google_login import ServiceAccount
from tests.fakes.clock import FakeClock
from tests.fakes.http_service import Answer, Request, serving
from tests.fakes.object_services import Gcs


@contextmanager
def asked(service: Gcs, *answers: Answer) -> Iterator[list[Request]]:
    """Serves the token endpoint, `answers` before those of the service; gives the requests as they come."""
    seen: list[Request] = []

    def answer(request: Request) -> Answer:
        seen.append(request)
        return answers[len(seen) - 1] if len(seen) <= len(answers) else service(request)

    with serving({"": answer}) as port:
        service.token_uri = f"http://127.0.0.1:{port}/token"
        yield seen


async def test_a_token_serves_until_shortly_before_its_end() -> None:
    """One request beside each other one would double what the service counts."""
    service, clock = Gcs(), FakeClock()
    with asked(service) as seen:
        account = ServiceAccount(service.credentials, clock)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(account.token()) for _ in range(5)]
        assert {each.result() for each in tasks} == {service.token}
        clock.advance(3200)
        await account.token()
        assert len(seen) == 1
        clock.advance(200)
        await account.token()
        assert len(seen) == 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(503), errors.StorageUnreachableError),
        (Answer(400, b'{"error": "invalid_grant"}'), errors.StorageDeniedError),
        (Answer(200, b"<html>"), errors.StorageUnreachableError),
        (Answer(200, b"[]"), errors.StorageUnreachableError),
    ],
)
async def test_a_refusal_is_told_from_a_fault(answer: Answer, expected: type[errors.StorageError]) -> None:
    """One is tried again, the other is not."""
    service = Gcs()
    with asked(service, answer):
        account = ServiceAccount(service.credentials, FakeClock())
        with pytest.raises(expected):
            await account.token()
        assert await account.token() == service.token


@pytest.mark.slow
async def test_a_key_of_another_account_is_refused() -> None:
    """The service looks at the signature."""
    service, other = Gcs(), Gcs(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    with asked(service):
        other.token_uri = service.token_uri
        with pytest.raises(errors.StorageDeniedError, match="refuses the service account's key"):
            await ServiceAccount(other.credentials, FakeClock()).token()


@pytest.mark.parametrize("changed", [{"private_key": "x"}, {"client_email": None, "private_key": None}, {"token_uri": "file:///etc/passwd"}])  # fmt: skip
def test_what_is_no_key_is_refused(changed: dict[str, object]) -> None:
    """Nothing is asked of an address that no key names."""
    text = json.dumps(json.loads(Gcs().credentials) | changed)
    with pytest.raises(errors.ConfigurationError, match="no key of a service account"):
        ServiceAccount(text, FakeClock())
