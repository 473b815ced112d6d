"""Any service that apprise knows: mail, webhooks, chats, telephones. See https://github.com/caronc/apprise for their addresses."""

from __future__ import annotations

from typing import Any, Final

from engine.errors import ConfigurationError, NotificationError
from engine.model.alerts import Message, Occasion
from engine.notifications import child
from engine.notifications.base import Opening, Traits

_CHILD: Final = "engine.notifications.services_child"


class Services:
    """One address of apprise. Satisfies `base.Notifier`."""

    traits = Traits((Occasion.FAILURE, Occasion.ALERT, Occasion.RECOVERY), is_signal=False)

    def __init__(self, opening: Opening) -> None:
        self._url = opening.urls["url"]
        self._timeout_s = opening.timeout_s

    async def describe(self) -> str:
        """See `base.Notifier`."""
        reply = await child.ask(_CHILD, self._request(), timeout_s=self._timeout_s)
        if not reply["is_understood"]:
            raise ConfigurationError(
                "apprise knows no service with such an address",
                hint="one address, such as mailto://USER:PASSWORD@HOST?to=ME or json://HOST/PATH; apprise's wiki lists all",
            )
        return str(reply["shown"])

    async def send(self, message: Message) -> None:
        """See `base.Notifier`."""
        # No service takes a message without a text, and a template may come to none.
        text = message.body if message.body.strip() else message.title
        told = {"title": message.title, "body": text, "tone": message.tone.value}
        reply = await child.ask(_CHILD, self._request() | told, timeout_s=self._timeout_s)
        if not reply["is_understood"]:
            raise NotificationError("apprise knows no service with such an address")
        if not reply["is_sent"]:
            raise NotificationError(f"it was not taken: {reply['why'] or 'no reason was given'}")

    def _request(self) -> dict[str, Any]:
        return {"url": self._url.reveal().decode("utf-8", "surrogateescape")}
