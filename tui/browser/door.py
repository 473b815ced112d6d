"""Who is let in: whoever knows the token, from a page of ours alone.

Loopback is open to every account of the machine, and to every page that any browser here shows; so each request must bear what only the
address that was printed gives, and must have been meant for this server: a name of another machine that was made to lead to 127.0.0.1 (DNS
rebinding) is told by `Host`, a page of somebody else by `Origin`.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""What this machine is called in `Host`; the port may be another one, for ssh may lead to ours from any."""
_SECRET_BYTES: Final = 32
UNKNOWN: Final = "this console is opened by the address that `holdfast console --serve` printed when it began"
STRANGE_HOST: Final = "this console answers to 127.0.0.1 and localhost alone"
STRANGE_ORIGIN: Final = "another page may not ask this console for anything"


@dataclass(frozen=True, slots=True)
class Door:
    """The secrets of one server; they live in its memory alone."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(_SECRET_BYTES), repr=False)
    """Stands in the address that is printed."""
    pass_: str = field(default_factory=lambda: secrets.token_urlsafe(_SECRET_BYTES), repr=False)
    """Stands in the cookie: whoever gets hold of one has not the other."""

    def is_token(self, given: str) -> bool:
        """Whether that is the token, in a time that does not depend on where it differs."""
        return _is_same(given, self.token)

    def why_refused(self, host: str, origin: str | None, given: str, *, needs_origin: bool) -> str:
        """Why a request with these headers, and this in its cookie, is refused; empty where it is let in."""
        return self.why_strange(host, origin, needs_origin=needs_origin) or (
            "" if _is_same(given, self.pass_) else UNKNOWN
        )

    def why_strange(self, host: str, origin: str | None, *, needs_origin: bool = False) -> str:
        """Why a request comes from where none of ours does; empty where it may be ours. Websockets need an origin: each browser names it there."""
        name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
        if name.lower() not in _NAMES:
            return STRANGE_HOST
        if origin is None:
            return STRANGE_ORIGIN if needs_origin else ""
        return "" if origin.lower() == f"http://{host.lower()}" else STRANGE_ORIGIN


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
