"""The way to the service: who logs in, how requests are signed, and what the client is told to leave to others."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore import auth, loaders
from botocore import exceptions as boto
from botocore.httpsession import get_cert_path

from engine import errors
from engine.model.secret import Secret
from engine.storages import proxy as proxies
from engine.storages.proxy import Proxy
from engine.storages.s3.body import Body
from engine.storages.s3.errors import Speaker
from engine.storages.s3.settings import DEFAULT_REGION, Settings

_SIGNATURE: Final = "holdfast-s3v4"
_LOGINS: Final = {
    "explicit": "the keys that were given",
    "env": "the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "shared-credentials-file": "a profile of ~/.aws/credentials",
    "config-file": "a profile of ~/.aws/config",
    "iam-role": "the role of this instance",
    "container-role": "the role of this container",
    "assume-role": "a role that a profile names",
    "assume-role-with-web-identity": "a role, by a web identity",
    "sso": "a profile's single sign-on",
    "custom-process": "a profile's own command",
}
"""botocore's name for a way to log in -> ours."""

for _talker in ("aioboto3", "aiobotocore", "boto3", "botocore", "s3transfer"):
    # Each request is worth forty lines to them, which cost more time than the request; some hold what signs it.
    logging.getLogger(_talker).setLevel(logging.WARNING)


class HashedPayloadAuth(auth.S3SigV4Auth):  # type: ignore[misc]
    """Signature version 4 over a body whose hash is known: botocore would read it through once more, on the event loop."""

    def payload(self, request: Any) -> str:
        """The body's SHA-256 in hex."""
        body = request.data
        return body.sha256 if isinstance(body, Body) else str(super().payload(request))


@dataclass(frozen=True, slots=True)
class Connection:
    """A client that is ready."""

    client: Any
    """aiobotocore's, which has no types."""
    login: str
    """Which of the ways to log in was taken, for people."""


@asynccontextmanager
async def connected(
    settings: Settings, secrets: Mapping[str, Secret], speaker: Speaker
) -> AsyncIterator[Connection]:
    """Finds a key, and makes the client; no request is sent but those by which a machine asks for its role.

    Raises: ConfigurationError, StorageDeniedError where there is no key.
    """
    auth.AUTH_TYPE_MAPS[_SIGNATURE] = HashedPayloadAuth
    auth.AUTH_TYPE_MAPS[f"{_SIGNATURE}-query"] = auth.S3SigV4QueryAuth  # what botocore makes of it for a link
    core = AioSession()
    core.register_component("data_loader", _loader())
    try:
        session = _session(core, settings, secrets)
        with speaker.translating("logging in"):
            login = await _log_in(core)
    except boto.ProfileNotFound as error:
        raise errors.ConfigurationError(
            f"this machine has no profile {settings.profile}", hint="`aws configure list-profiles` names them"
        ) from error
    opening = session.client(
        "s3",
        region_name=_region(settings, session),
        endpoint_url=settings.endpoint or None,
        verify=_verify(settings),
        config=_config(settings),
    )
    async with opening as client:
        client.meta.events.register_first("choose-signer.s3", _choose_signature)
        yield Connection(client, login)


async def _log_in(core: AioSession) -> str:
    """Which way to a key was found. Raises: what botocore raises where there is none."""
    credentials = await core.get_credentials()
    if credentials is None:
        raise boto.NoCredentialsError
    await credentials.get_frozen_credentials()
    return _LOGINS.get(credentials.method, f"what botocore calls {credentials.method}")


@functools.cache
def _loader() -> Any:
    """botocore's description of the service, which takes a tenth of a second to read, and is the same for all storages."""
    return loaders.create_loader()


def _region(settings: Settings, session: aioboto3.Session) -> str:
    """What a profile says of the region holds for AWS."""
    of_profile = "" if settings.endpoint else session.region_name
    return settings.region or of_profile or DEFAULT_REGION


def _verify(settings: Settings) -> bool | str:
    """Which authorities are trusted. Without TLS none are loaded, which takes a tenth of a second too."""
    if not settings.verifies_tls or settings.endpoint.startswith("http:"):
        return False
    return settings.ca_file or True


def _session(core: AioSession, settings: Settings, secrets: Mapping[str, Secret]) -> aioboto3.Session:
    given = {name: each.reveal().decode().strip() for name, each in secrets.items()}
    has_id, has_secret = "access_key_id" in given, "secret_key" in given
    if has_id != has_secret or ("session_token" in given and not has_id):
        raise errors.ConfigurationError(
            "half of a key was given", hint="give --access-key-id and --secret-key, and --session-token where there is one"
        )  # fmt: skip
    if has_id and settings.profile:
        raise errors.ConfigurationError("both a key and a profile were given", hint="leave one of them out")
    return aioboto3.Session(
        botocore_session=core,
        aws_access_key_id=given.get("access_key_id"),
        aws_secret_access_key=given.get("secret_key"),
        aws_session_token=given.get("session_token"),
        profile_name=settings.profile or None,
    )


def _config(settings: Settings) -> AioConfig:
    return AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": settings.addressing},
        retries={"mode": "standard", "total_max_attempts": 1},
        # Some services sum up the whole object for a range of it, or refuse a sum that they do not know.
        response_checksum_validation="when_required",
        request_checksum_calculation="when_required",
        max_pool_connections=settings.connections + 2,
        connect_timeout=settings.timeout_s,
        # storage.py looks after the bytes that move; this is for requests that it does not look after.
        read_timeout=settings.timeout_s * 2,
        proxies=_proxies(settings.proxy),
        http_session_cls=_sessions(settings.proxy),
        ignore_configured_endpoint_urls=True,
        user_agent_extra="holdfast",
    )


def _proxies(proxy: Proxy | None) -> Mapping[str, str] | None:
    """What requests are told: where no proxy is named, botocore asks the environment; by SOCKS the connections go, and requests know nothing."""
    if proxy is None:
        return None
    through = proxy.for_requests
    return {} if through is None else {"http": through, "https": through}


def _sessions(proxy: Proxy | None) -> type[AIOHTTPSession]:
    """What makes the connections, to the proxy where there is one.

    aiobotocore's own does not look at the service's certificate when it goes through a proxy (2.25, `_create_connector`).
    """

    class Session(AIOHTTPSession):  # type: ignore[misc]
        def _create_connector(self, proxy_url: str | None) -> aiohttp.TCPConnector:
            del proxy_url
            trust: Any = self._get_ssl_context() if self._verify else False
            if trust and (authorities := get_cert_path(self._verify)):
                trust.load_verify_locations(authorities)
            return proxies.connector(
                proxy, limit=self._max_pool_connections, ssl=trust, **self._connector_args
            )

    return Session


def _choose_signature(signature_version: object, **_: object) -> str | None:
    return _SIGNATURE if signature_version == "s3v4" else None
