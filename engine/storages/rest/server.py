"""Kind `rest`: a server of restic's REST protocol, such as rest-server, over HTTPS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from yarl import URL

from engine import errors
from engine.storages import proxy as proxies
from engine.storages.base import Opening, StockRestic, Traits, count_option, text_option
from engine.storages.proxy import Proxy
from engine.storages.rest.client import ANSWER_TIMEOUT_S, Behind, Door, RestStorage, session

CONNECTIONS = 5


@contextlib.asynccontextmanager
async def open_rest(opening: Opening) -> AsyncIterator[RestStorage]:
    """Options: `url`, `user`, `secret` (REF of the login's password), `ca_file`, `plain` (a login over HTTP), `timeout`
    (seconds without a byte moving), `connections`, `proxy`, `proxy_user`, `proxy_secret` (REF).

    Connects at the first call. Raises: ConfigurationError.
    """
    url = _url(opening)
    timeout_s = float(count_option(opening.options, "timeout") or ANSWER_TIMEOUT_S)
    proxy = proxies.read(opening.options, opening.secrets)
    connector = proxies.connector(proxy, limit=0, ssl=await _trust(opening))
    async with session(
        connector, _login(opening), timeout_s, None if proxy is None else proxy.for_requests
    ) as opened:

        async def door() -> Door:
            return Door(opened, str(url))

        yield RestStorage(Behind(url.host or "", f"rest:{url}", _traits(opening, url, proxy), door, door))


def _login(opening: Opening) -> Mapping[str, str]:
    """The header that each request carries (RFC 7617). Raises: ConfigurationError."""
    user, secret = opening.options.get("user"), opening.secrets.get("secret")
    if not isinstance(user, str):
        return {}
    if ":" in user:
        raise errors.ConfigurationError("the user of a REST server has no colon in its name")
    login = user.encode() + b":" + (b"" if secret is None else secret.reveal())
    return {"Authorization": f"Basic {base64.b64encode(login).decode()}"}


def _traits(opening: Opening, url: URL, proxy: Proxy | None) -> Traits:
    flags = ("--cacert", text_option(opening.options, "ca_file")) if opening.options.get("ca_file") else ()
    note = (
        "restic takes the login from these variables from 0.16.1 on; an older one wants it in the URL, as rest:https://USER:PASSWORD@HOST/."
        if opening.options.get("user")
        else ""
    )
    login = {"RESTIC_REST_USERNAME": "user", "RESTIC_REST_PASSWORD": "secret"} if note else {}
    environment = {**login, f"{url.scheme.upper()}_PROXY": "proxy"}
    note = f"{note} {proxies.advice(proxy)}".strip()
    restic = StockRestic(environment=environment, flags=flags, note=note)
    connections = count_option(opening.options, "connections", CONNECTIONS) or CONNECTIONS
    return Traits(connections=connections, restic=restic)


def _url(opening: Opening) -> URL:
    """Raises: ConfigurationError."""
    text = text_option(opening.options, "url").removeprefix("rest:")
    try:
        url = URL(text)
        has_port = url.port is not None
    except ValueError as error:
        raise errors.ConfigurationError(f"the storage's URL is not understood: {error}") from error
    if (
        url.scheme not in ("http", "https")
        or not url.host
        or not has_port
        or url.query_string
        or url.fragment
    ):
        raise errors.ConfigurationError(
            "the storage's URL is none of a REST server", hint="write --url https://HOST[:PORT]/[FOLDER/]"
        )
    if url.user is not None or url.password is not None:
        raise errors.ConfigurationError(
            "the storage's URL holds a login, which everybody would read",
            hint="give it with --user NAME --secret REF",
        )
    if (
        url.scheme == "http"
        and opening.options.get("user")
        and not _is_here(url.host)
        and not opening.options.get("plain")
    ):
        raise errors.ConfigurationError(
            f"the login would go over the network to {url.host} for all to read",
            hint="use https://, or say --plain where the network is your own",
        )
    return url if url.path.endswith("/") else url.with_path(url.path + "/")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _trust(opening: Opening) -> ssl.SSLContext:
    """The authorities that are trusted: those of the system, or of the file alone. Raises: ConfigurationError."""
    path = opening.options.get("ca_file")
    if path is None:
        return await asyncio.to_thread(ssl.create_default_context)
    try:
        return await asyncio.to_thread(ssl.create_default_context, cafile=Path(str(path)))
    except (OSError, ssl.SSLError) as error:
        raise errors.ConfigurationError(f"the CA file {path} cannot be read: {error}") from error
