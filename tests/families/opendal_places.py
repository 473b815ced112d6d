"""Places for the storages that opendal reaches: one of its own for each test, at the session's server, or fake, of the kind."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple, Protocol

import pytest

from engine.clock import SystemClock
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages import registry
from engine.storages.base import OpenStorage
from tests.fakes.drive_services import Login
from tests.servers.azurite import Azurite
from tests.servers.cloud_fakes import Clouds
from tests.servers.swift import Swift
from tests.servers.wsgidav import WebDav


class Told(NamedTuple):
    """What a storage is opened with."""

    options: Mapping[str, OptionValue]
    secrets: Mapping[str, Secret]


def azure(request: pytest.FixtureRequest) -> Told:
    """Azurite, with the account's key."""
    server: Azurite = request.getfixturevalue("azurite")
    options = {"container": server.container, "account": server.account, "endpoint": server.endpoint}
    return Told({**options, "prefix": _prefix()}, {"account_key": Secret(server.key)})


def b2(request: pytest.FixtureRequest) -> Told:
    """The fake of B2."""
    server = clouds(request).b2
    bucket = server.objects.make()
    options = {"bucket": bucket, "bucket_id": server.bucket_id(bucket), "prefix": "a"}
    return Told(options, {"access_key_id": Secret(server.key_id), "secret_key": Secret(server.key)})


def gcs(request: pytest.FixtureRequest) -> Told:
    """The fake of Google Cloud Storage, with the key of a service account."""
    server = clouds(request).gcs
    options = {"bucket": server.objects.make(), "prefix": "a"}
    return Told(options, {"credentials": Secret(server.credentials)})


def drive(login: Callable[[Clouds], Login]) -> Callable[[pytest.FixtureRequest], Told]:
    """A fake of a service that people let in."""

    def told(request: pytest.FixtureRequest) -> Told:
        found = login(clouds(request))
        secrets_ = {"client_secret": found.client_secret, "refresh_token": found.refresh_token}
        options = {"prefix": _prefix(), "client_id": found.client_id}
        return Told(options, {name: Secret(value) for name, value in secrets_.items()})

    return told


def swift(request: pytest.FixtureRequest) -> Told:
    """Ceph's gateway."""
    server: Swift = request.getfixturevalue("swift")
    options = {"container": server.container, "endpoint": server.endpoint, "prefix": _prefix()}
    return Told(options, {"token": Secret(server.token)})


def webdav(request: pytest.FixtureRequest) -> Told:
    """WsgiDAV."""
    server: WebDav = request.getfixturevalue("webdav")
    options = {"endpoint": server.endpoint, "user": server.user, "prefix": _prefix()}
    return Told(options, {"secret": Secret(server.password)})


def clouds(request: pytest.FixtureRequest) -> Clouds:
    """The fakes, with no storage opened in this process before it knew of them."""
    found: Clouds = request.getfixturevalue("clouds_here")
    return found


def _prefix() -> str:
    return f"tests/{secrets.token_hex(8)}"


KINDS: Final[Mapping[str, Callable[[pytest.FixtureRequest], Told]]] = {
    "azure": azure,
    "b2": b2,
    "gcs": gcs,
    "dropbox": drive(lambda found: found.dropbox.login),
    "gdrive": drive(lambda found: found.gdrive.login),
    "onedrive": drive(lambda found: found.onedrive.login),
    "swift": swift,
    "webdav": webdav,
}


class Asking(Protocol):
    """A place that knows the test that asks for it."""

    @property
    def request(self) -> pytest.FixtureRequest:
        """The test's request."""
        ...


def opening(
    kind: str, sleep: Callable[[float], Awaitable[object]]
) -> Callable[[Asking], AbstractAsyncContextManager[OpenStorage]]:
    """Gives the storage as jobs get it, with its wrappers on, at a place of its own."""

    def opened(place: Asking) -> AbstractAsyncContextManager[OpenStorage]:
        clouds(place.request)
        options, secrets_ = KINDS[kind](place.request)
        return registry.open_storage(kind, options, secrets=secrets_, clock=SystemClock(), sleep=sleep)

    return opened
