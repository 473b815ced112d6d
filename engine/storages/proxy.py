"""A proxy of one storage's own: HTTP, or SOCKS 5 (RFC 1928, 1929), with a login or without.

HTTP proxies are aiohttp's own work; for SOCKS the package aiohttp-socks (2 small ones, pure Python: the extra `socks`) makes the
connections, and is loaded on use. Names are always resolved by the proxy: the machine may know none of the world outside.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import aiohttp

from engine import errors
from engine.model.definitions import OptionValue
from engine.model.secret import Secret

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

OPTIONS: Final = ("proxy", "proxy_user", "proxy_secret")
_HTTP: Final = ("http", "https")
_SOCKS: Final = ("socks5", "socks5h")
_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_NOT_ALLOWED: Final = 2
"""What a SOCKS server answers to a way that its rules close (RFC 1928, 6)."""
_LOGIN: Final = "give its login: --proxy-user NAME --proxy-secret REF"


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it is, and who logs in to it."""

    scheme: str
    host: str
    port: int
    user: str = ""
    secret: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """Its address without the login."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_socks(self) -> bool:
        """Whether the connector goes by way of it, and requests know nothing of it."""
        return self.scheme in _SOCKS

    @property
    def url_with_login(self) -> str:
        """The whole address: a secret where there is a login."""
        if not self.user:
            return self.url
        login = f"{quote(self.user, safe='')}:{quote(self.secret, safe='')}"
        return self.url.replace("://", f"://{login}@", 1)

    @property
    def for_requests(self) -> str | None:
        """What aiohttp's requests are to be told: a secret where there is a login."""
        return None if self.is_socks else self.url_with_login


def read(options: Mapping[str, OptionValue], secrets: Mapping[str, Secret]) -> Proxy | None:
    """The storage's proxy, from the options `proxy`, `proxy_user` and `proxy_secret` (REF). Raises: ConfigurationError."""
    text, user = options.get("proxy"), options.get("proxy_user")
    if text is None:
        if user is not None or "proxy_secret" in secrets:
            raise errors.ConfigurationError(
                "a proxy's login was given without the proxy", hint="give --proxy URL"
            )
        return None
    scheme, host, port = _address(str(text))
    secret = secrets.get("proxy_secret")
    if (secret is not None) != (user is not None):
        raise errors.ConfigurationError("half of the proxy's login was given", hint=_LOGIN)
    word = "" if secret is None else secret.reveal().decode(errors="surrogateescape").strip()
    return Proxy(scheme, host, port, "" if user is None else str(user), word)


def _address(text: str) -> tuple[str, str, int]:
    """Raises: ConfigurationError."""
    try:
        parsed = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parsed.hostname or "", parsed.port
    except ValueError:
        host, port = "", None
    if not host or parsed.scheme not in _PORTS or parsed.path.strip("/") or parsed.query or port == 0:
        raise errors.ConfigurationError(
            "the option proxy is no address of a proxy",
            hint="as in http://proxy.example.org:3128 or socks5://127.0.0.1:1080",
        )
    if parsed.username is not None or parsed.password is not None:
        raise errors.ConfigurationError(
            "the option proxy holds a name or password, which everybody would see", hint=_LOGIN
        )
    return parsed.scheme, host, port or _PORTS[parsed.scheme]


def advice(proxy: Proxy | None) -> str:
    """What the recovery kit says of a proxy beside its address, which restic takes from HTTPS_PROXY."""
    if proxy is None or not proxy.user:
        return ""
    return f"The proxy wants a login: write it into its address, as {proxy.scheme}://USER:PASSWORD@{proxy.url.partition('://')[2]}."


def connector(proxy: Proxy | None, **keywords: Any) -> aiohttp.TCPConnector:
    """What makes the connections; `keywords` are those of aiohttp's. Whoever makes it closes it, or the session that it is given to.

    Raises: ConfigurationError where a SOCKS proxy is named and the package for it is not installed.
    """
    if proxy is None or not proxy.is_socks:
        return aiohttp.TCPConnector(**keywords)
    try:
        import aiohttp_socks
    except ModuleNotFoundError as error:
        raise errors.ConfigurationError(
            "a SOCKS proxy needs the package aiohttp-socks", hint="pip install 'holdfast[socks]'"
        ) from error

    class SocksConnector(aiohttp_socks.ProxyConnector):
        """Fails in the words of aiohttp, which those who ask know."""

        async def connect(
            self,
            req: ClientRequest,
            traces: list[Trace],
            timeout: ClientTimeout,  # noqa: ASYNC109 -- aiohttp's name for its settings
        ) -> Connection:
            try:
                return await super().connect(req, traces, timeout)
            except aiohttp_socks.ProxyError as error:
                raise _refused(error, req) from error
            except (aiohttp_socks.ProxyConnectionError, aiohttp_socks.ProxyTimeoutError) as error:
                raise aiohttp.ClientProxyConnectionError(req.connection_key, OSError(str(error))) from error
            except ssl.SSLError as error:
                raise aiohttp.ClientConnectorSSLError(req.connection_key, error) from error

    return SocksConnector(
        proxy.host,
        proxy.port,
        username=proxy.user or None,
        password=proxy.secret or None,
        rdns=True,
        **keywords,
    )


def _refused(error: Any, request: ClientRequest) -> aiohttp.ClientError:
    """What a SOCKS server's refusal would be from one of HTTP. A login that it does not take has no number, as have answers that are none."""
    if error.error_code is None and "auth" in str(error).lower():
        status = HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
    elif error.error_code == _NOT_ALLOWED:
        status = HTTPStatus.FORBIDDEN
    else:
        return aiohttp.ClientProxyConnectionError(request.connection_key, OSError(str(error)))
    return aiohttp.ClientHttpProxyError(request.request_info, (), status=status, message=status.phrase)


def failure(error: BaseException, what: str) -> errors.StorageError | None:
    """What an error of aiohttp's means that the proxy made; None for any other. `what` begins the sentence."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return of_status(error.status, what)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return errors.StorageUnreachableError(
            f"{what}: the proxy cannot be reached, or reaches nothing", hint="look at --proxy"
        )
    return None


def of_status(status: int, what: str) -> errors.StorageError:
    """What a proxy's answer means."""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return errors.StorageDeniedError(f"{what}: the proxy does not take the login", hint=_LOGIN)
    if status == HTTPStatus.FORBIDDEN:
        return errors.StorageDeniedError(
            f"{what}: the proxy does not let this through",
            hint="let its rules allow the storage's address and port",
        )
    return errors.StorageUnreachableError(f"{what}: the proxy answers {status}", hint="look at --proxy")
