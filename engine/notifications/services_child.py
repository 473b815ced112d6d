"""The process that apprise lives in: one request on standard input, one reply on standard output.

Request: url, and to send something title, body, tone. Reply: is_understood, shown, is_sent, why. Nothing secret of the address is in it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import urllib.parse
from typing import Any, Final

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

_HOSTED: Final = re.compile(
    r"(mailto|json|xml|form|ntfy|gotify|matrix|mqtt|rocket|mmost|nctalk|r?syslog|apprise|signal|zulip)s?"
)
"""Schemes whose address names a host; in those of others a token may stand in its place."""
_BLOT: Final = "(secret)"
_MOST_CHARACTERS: Final = 400


class _Lines(logging.Handler):
    """Keeps what apprise complains of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one line, once."""
        line = " ".join(record.getMessage().split())
        if line not in self.said:
            self.said.append(line)


def shown(url: str, hidden: str) -> str:
    """Scheme and host; the host only where it is one, and apprise itself does not mask it (`hidden` is the address with its masks)."""
    parts = urllib.parse.urlsplit(url)
    try:
        host, masked = parts.hostname or "", urllib.parse.urlsplit(hidden).hostname or ""
    except ValueError:
        return f"{parts.scheme}://"
    is_topic = parts.scheme.startswith("ntfy") and not parts.path.strip("/")
    if _HOSTED.fullmatch(parts.scheme.lower()) is None or host != masked or is_topic:
        return f"{parts.scheme}://"
    return f"{parts.scheme}://{host}"


def blotted(text: str, url: str) -> str:
    """The text without any part of the address but scheme and host."""
    rest = url.partition("://")[2]
    plain = urllib.parse.unquote(rest)
    host = shown(url, url).partition("://")[2]
    parts = {each for form in (rest, plain) for each in re.split(r"[/?&=:@,\s#]+", form)}
    # Long ones first: one may be part of another. What has one or two letters says nothing, and is in every word.
    for part in sorted(parts, key=len, reverse=True):
        if len(part) > 2 and part.lower() != host:
            text = text.replace(part, _BLOT)
    return text


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Does what the request asks for."""
    lines = _Lines()
    log = logging.getLogger("apprise")
    log.addHandler(lines)
    log.propagate = False
    url = request["url"]
    # No file is attached, nothing is kept on disk, and no escape or emoji in a text is made into something else.
    asset = AppriseAsset(
        app_id="holdfast", app_desc="holdfast", app_url="", async_mode=False, secure_logging=True
    )
    service = Apprise.instantiate(url, asset=asset)
    if not service:
        return {"is_understood": False}
    reply = {"is_understood": True, "shown": shown(url, str(service.url(privacy=True)))}  # type: ignore[no-untyped-call]
    if "body" not in request:
        return reply
    messenger = Apprise(asset=asset)
    messenger.add(service)
    is_sent = messenger.notify(
        title=request["title"],
        body=request["body"],
        notify_type=NotifyType(request["tone"]),
        body_format=NotifyFormat.TEXT,
    )
    why = "; ".join(blotted(line, url) for line in lines.said[:3])[:_MOST_CHARACTERS]
    return {**reply, "is_sent": bool(is_sent), "why": why}


def main() -> None:
    """Answers one request."""
    json.dump(answer(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
