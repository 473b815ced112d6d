"""A mail server and a webhook on this machine, in the event loop of the test: what arrived, and what they are told to do wrong."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, cast

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PASSWORD = "pass-Wo.rd~of-the-mail"


@dataclass(slots=True)
class MailServer:
    """An SMTP server that asks for a login."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    refusal: str = ""
    """What it answers to a mail, where it takes none."""

    @property
    def url(self) -> str:
        """Its address, as apprise has it."""
        return f"mailto://robot:{PASSWORD}@127.0.0.1:{self.port}?from=robot@example.org&to=admin@example.org&mode=insecure"

    @property
    def titles(self) -> list[str]:
        """The subjects of what arrived."""
        return [str(each["subject"]) for each in self.mails]

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keeps a mail."""
        if self.refusal:
            return self.refusal
        content = cast("bytes", envelope.content)
        self.mails.append(email.message_from_bytes(content, policy=email.policy.default))
        return "250 taken"


def _login(_server: SMTP, _session: Session, _envelope: Envelope, _way: str, data: Any) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and data.password == PASSWORD.encode()
    return AuthResult(success=is_right, handled=is_right)


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    """Runs until the end of the context."""
    kept = MailServer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(kept, authenticator=_login, auth_require_tls=False, hostname="localhost", loop=loop),
        "127.0.0.1",
        0,
    )
    kept.port = server.sockets[0].getsockname()[1]
    try:
        yield kept
    finally:
        server.close()


@dataclass(slots=True)
class Webhook:
    """An HTTP server that keeps what is posted to it."""

    port: int = 0
    posts: list[tuple[str, str]] = field(default_factory=list)
    """Path and body."""
    status: int = 200
    is_hanging: bool = False
    """Whether it never answers."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody asks."""

    @property
    def url(self) -> str:
        """Its address, as apprise has it, with secrets in it."""
        return f"json://hook:{PASSWORD}@127.0.0.1:{self.port}/path-of-token"

    @property
    def ping_url(self) -> str:
        """Its address as a dead man's switch."""
        return f"http://127.0.0.1:{self.port}/ping-of-token"

    async def wait_posts(self, count: int) -> None:
        """Waits until so many posts arrived."""
        while len(self.posts) < count:
            self.asked.clear()
            await self.asked.wait()

    async def answer(self, request: web.Request) -> web.Response:
        """Keeps a post."""
        body = await request.text()
        if self.status == 200 and not self.is_hanging:
            self.posts.append((request.path, body))
        self.asked.set()
        if self.is_hanging:
            await asyncio.Event().wait()
        return web.Response(status=self.status)


@asynccontextmanager
async def webhook() -> AsyncIterator[Webhook]:
    """Runs until the end of the context."""
    kept = Webhook()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", kept.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    kept.port = runner.addresses[0][1]
    try:
        yield kept
    finally:
        await runner.cleanup()
