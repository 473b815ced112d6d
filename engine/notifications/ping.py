"""Pings to a dead man's switch: one that calls people when it was *not* called, as healthchecks.io and its like do.

A job's start, its good end and its failure each have an address: the one that was given, and that with `/start` and `/fail` behind its path,
unless others are named.
"""

from __future__ import annotations

import urllib.parse
from typing import Final

from engine.errors import ConfigurationError, NotificationError
from engine.model.alerts import Message, Occasion, Tone
from engine.model.secret import Secret
from engine.notifications import child
from engine.notifications.base import Opening, Traits

_CHILD: Final = "engine.notifications.ping_child"
_MOST_BYTES: Final = 10_000
"""Of a message: healthchecks keeps 100 kB."""


class Ping:
    """One switch. Satisfies `base.Notifier`."""

    traits = Traits((Occasion.START, Occasion.SUCCESS, Occasion.FAILURE), is_signal=True)

    def __init__(self, opening: Opening) -> None:
        self._urls = opening.urls
        self._timeout_s = opening.timeout_s

    async def describe(self) -> str:
        """See `base.Notifier`."""
        for name in self._urls:
            parts = _split(self._urls[name])
            if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
                raise ConfigurationError(
                    f"the {name.replace('_', ' ')} is no address of the web", hint="https://HOST/PATH"
                )
        parts = _split(self._urls["url"])
        assert parts is not None
        return f"{parts.scheme}://{parts.hostname}"

    async def send(self, message: Message) -> None:
        """See `base.Notifier`."""
        body = f"{message.title}\n{message.body}".encode("utf-8", "backslashreplace")[:_MOST_BYTES]
        request = {
            "url": self.address(message),
            "body": body.decode("utf-8", "ignore"),
            "timeout_s": self._timeout_s,
        }
        reply = await child.ask(_CHILD, request, timeout_s=self._timeout_s)
        if not reply["is_sent"]:
            raise NotificationError(f"it was not taken: {reply['why']}")

    def address(self, message: Message) -> str:
        """Where this message goes; a secret."""
        base = self._urls["url"].reveal().decode("utf-8", "replace")
        if message.occasion is Occasion.START:
            return self._other("start_url", base, "start")
        if message.tone in (Tone.FAILURE, Tone.WARNING):
            return self._other("fail_url", base, "fail")
        return base

    def _other(self, name: str, base: str, ending: str) -> str:
        if name in self._urls:
            return self._urls[name].reveal().decode("utf-8", "replace")
        parts = urllib.parse.urlsplit(base)
        return urllib.parse.urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{ending}"))


def _split(url: Secret) -> urllib.parse.SplitResult | None:
    try:
        parts = urllib.parse.urlsplit(url.reveal().decode("utf-8"))
        _ = parts.port  # raises where it is none
    except ValueError:
        return None
    return parts
