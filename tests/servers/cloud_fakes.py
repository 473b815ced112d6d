"""The fakes of services that cannot be had here, each served with TLS under the names of its own hosts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import opendal
import pytest

from tests.fakes.drive_services import Dropbox, GoogleDrive, OneDrive
from tests.fakes.http_service import Answer, Request, Service, environment, intercepting, serving
from tests.fakes.object_services import B2, Gcs


@dataclass(frozen=True, slots=True)
class Clouds:
    """All of them."""

    gcs: Gcs = field(default_factory=Gcs)
    b2: B2 = field(default_factory=B2)
    dropbox: Dropbox = field(default_factory=Dropbox)
    gdrive: GoogleDrive = field(default_factory=GoogleDrive)
    onedrive: OneDrive = field(default_factory=OneDrive)
    environment: dict[str, str] = field(default_factory=dict)
    """In which a program takes them for the real ones."""

    def services(self) -> dict[str, Service]:
        """By host."""
        return {
            "storage.googleapis.com": self.gcs,
            "oauth2.googleapis.com": self._google_login,
            "api.backblazeb2.com": self.b2,
            B2.API: self.b2,
            B2.DOWNLOAD: self.b2,
            B2.POD: self.b2,
            **dict.fromkeys(Dropbox.HOSTS, self.dropbox),
            **dict.fromkeys(GoogleDrive.HOSTS, self.gdrive),
            **dict.fromkeys(OneDrive.HOSTS, self.onedrive),
        }

    def _google_login(self, request: Request) -> Answer:
        """One host for the accounts of services and of people."""
        return self.gdrive.exchange(request) if "refresh_token" in request.query else self.gcs(request)


@pytest.fixture(scope="session")
def clouds() -> Iterator[Clouds]:
    """For programs that are started in its environment; whatever opens storages in this process asks for `clouds_here`."""
    clouds = Clouds()
    with intercepting(clouds.services()) as found, serving({"": clouds.gcs}) as port:
        clouds.environment.update(found)
        clouds.gcs.token_uri = f"http://127.0.0.1:{port}/token"
        yield clouds


@pytest.fixture(scope="session")
def clouds_here(clouds: Clouds) -> Clouds:
    """For storages that are opened in this process. opendal reads the environment at its first request, and keeps to it."""
    with environment(clouds.environment):
        probe = opendal.Operator("webdav", endpoint="http://127.0.0.1:1")
        with pytest.raises(opendal.exceptions.Unexpected):
            probe.stat("nothing")
    return clouds
