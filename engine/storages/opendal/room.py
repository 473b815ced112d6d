"""How much room a service says that there is: opendal asks none, so these ask by themselves.

WebDAV tells by two properties (RFC 4331), Swift by the headers of a container or account that was given a quota (OpenStack's API
reference, Object Storage). A service that does not tell, or does not answer, leaves it unknown: nothing hangs on it but what is shown.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote

from engine.storages.base import Space

Room = Callable[[], Awaitable[Space]]
"""Asks the service once. Never raises for what the service says or fails to say."""

UNKNOWN: Final = Space(free_bytes=None, total_bytes=None)
_TIMEOUT_S: Final = 20
_LONGEST_ANSWER_BYTES: Final = 256 << 10
_PROPERTIES: Final = (
    b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop>'
    b"<D:quota-available-bytes/><D:quota-used-bytes/></D:prop></D:propfind>"
)
_PROPERTY: Final = r"<(?:\w+:)?quota-%s-bytes(?:\s[^<>]*)?>\s*(\d{1,18})\s*</"
"""An unlimited one is told by a negative number, or not at all."""


class _Answer(NamedTuple):
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the login to another server."""

    def redirect_request(self, req: urllib.request.Request, fp: object, code: int, *more: object) -> None:
        """None: the answer is an error."""
        del req, fp, code, more


def of_webdav(folder: str, login: Mapping[str, str]) -> Room:
    """Of the folder at that address; `login` is the header that a request carries."""

    async def ask() -> Space:
        headers = {**login, "Depth": "0", "Content-Type": "application/xml; charset=utf-8"}
        answer = await _asked("PROPFIND", folder, headers, _PROPERTIES)
        text = "" if answer is None else answer.body.decode(errors="replace")
        free, used = (re.search(_PROPERTY % each, text) for each in ("available", "used"))
        if free is None:
            return UNKNOWN
        return Space(int(free[1]), None if used is None else int(free[1]) + int(used[1]))

    return ask


def of_swift(endpoint: str, container: str, token: str) -> Room:
    """Of the container, or where that has no quota, of the account."""

    async def ask() -> Space:
        login = {"X-Auth-Token": token}
        for address, name in ((f"{endpoint}/{quote(container)}", "container"), (endpoint, "account")):
            answer = await _asked("HEAD", address, login)
            found = {} if answer is None else answer.headers
            limit, used = found.get(f"x-{name}-meta-quota-bytes"), found.get(f"x-{name}-bytes-used")
            if limit is not None and used is not None and limit.isdigit() and used.isdigit():
                return Space(max(int(limit) - int(used), 0), int(limit))
        return UNKNOWN

    return ask


def basic(user: str, secret: str) -> Mapping[str, str]:
    """The header of a login (RFC 7617)."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"}


def bearer(token: str) -> Mapping[str, str]:
    """The header of a token (RFC 6750)."""
    return {"Authorization": f"Bearer {token}"}


async def _asked(
    method: str, address: str, headers: Mapping[str, str], body: bytes | None = None
) -> _Answer | None:
    return await asyncio.to_thread(_ask, urllib.request.Request(address, body, dict(headers), method=method))  # noqa: S310 -- looked at by kinds.py


def _ask(request: urllib.request.Request) -> _Answer | None:
    """Waits for the answer: to be called in a thread. None where there is none, or no good one."""
    opener = urllib.request.build_opener(_NoRedirect)
    with contextlib.suppress(OSError, ValueError), opener.open(request, timeout=_TIMEOUT_S) as answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return _Answer(headers, answer.read(_LONGEST_ANSWER_BYTES))
    return None
