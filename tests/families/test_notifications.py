"""What every notifier keeps to, against a real mail server, a webhook and a switch: sent is taken, and an address never shows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest

from engine.errors import ConfigurationError, NotificationError, UnknownNameError
from engine.model.alerts import Message, Occasion, Tone
from engine.model.secret import Secret
from engine.notifications import registry
from engine.notifications.base import Notifier, Opening
from engine.notifications.ping import Ping
from tests.servers.mail import PASSWORD, MailServer, Webhook, mail_server, webhook

pytestmark = pytest.mark.slow

MESSAGE = Message(
    Occasion.FAILURE, Tone.FAILURE, "backup of shop failed", "<b>no room</b> & more\nholdfast job show 5"
)
SECRETS = (PASSWORD, "of-token")
CASES = [("apprise", lambda hook: hook.url), ("ping", lambda hook: hook.ping_url)]
IDS = ["apprise", "ping"]


def _opened(kind: str, url: str, timeout_s: float = 20.0) -> Notifier:
    return registry.open_notifier(kind, Opening({"url": Secret(url)}, timeout_s))


@pytest.mark.parametrize(("kind", "url_of"), CASES, ids=IDS)
async def test_a_message_arrives_and_what_is_shown_of_the_address_is_no_secret(
    kind: str, url_of: Callable[[Webhook], str]
) -> None:
    """And one that is not taken is an error, that tells why and nothing of the address."""
    async with webhook() as hook:
        notifier = _opened(kind, url_of(hook))
        assert (await notifier.describe()).partition("://")[2] == "127.0.0.1"
        await notifier.send(MESSAGE)
        ((path, body),) = hook.posts
        assert path == ("/path-of-token" if kind == "apprise" else "/ping-of-token/fail")
        assert "backup of shop failed" in body
        assert "no room" in body
        hook.status = 500
        with pytest.raises(NotificationError, match=r"not taken: .*(500|Internal Server Error)") as caught:
            await notifier.send(MESSAGE)
        assert [each for each in SECRETS if each in f"{caught.value}{caught.value.hint}"] == []


async def test_a_message_without_a_text_arrives_with_its_title_for_one() -> None:
    """A template may come to none, and what a service never takes would be tried for two days and then given up."""
    async with webhook() as hook:
        await _opened("apprise", hook.url).send(dataclasses.replace(MESSAGE, body="\n"))
        assert json.loads(hook.posts[0][1])["message"] == MESSAGE.title


@pytest.mark.parametrize(("kind", "url_of"), CASES, ids=IDS)
async def test_a_server_that_hangs_costs_no_more_than_the_time_given(
    kind: str, url_of: Callable[[Webhook], str]
) -> None:
    """Its process is killed: nothing is left behind that waits for it."""
    async with webhook() as hook:
        hook.is_hanging = True
        with pytest.raises(NotificationError, match=r"did not answer within 0.5 seconds"):
            await _opened(kind, url_of(hook), 0.5).send(MESSAGE)


async def test_a_mail_is_one_whole_mail() -> None:
    """Its text is text, whatever a database's name looks like; a login that is refused is said without it."""
    async with mail_server() as server:
        await _opened("apprise", server.url).send(MESSAGE)
        (mail,) = server.mails
        assert (mail["subject"], mail["to"]) == ("backup of shop failed", "admin@example.org")
        text = mail.get_body(("plain",))
        assert text is not None
        assert "<b>no room</b> & more" in text.get_content()
        with pytest.raises(NotificationError) as caught:
            await _opened("apprise", _with_wrong_password(server)).send(MESSAGE)
        assert "wrong-Wo.rd" not in str(caught.value)
        assert len(server.mails) == 1


def _with_wrong_password(server: MailServer) -> str:
    return server.url.replace(PASSWORD, "wrong-Wo.rd")


@pytest.mark.parametrize(
    ("kind", "url", "shown"),
    [
        ("apprise", "ntfy://topic-that-only-we-know", "ntfy://"),
        ("ping", "https://user:pw@hc.example.org:8000/uuid?x=1", "https://hc.example.org"),
    ],
)
async def test_a_token_in_the_place_of_a_host_is_not_shown(kind: str, url: str, shown: str) -> None:
    """Whoever sees the list must not be able to write to the chat."""
    assert await _opened(kind, url).describe() == shown


@pytest.mark.parametrize(
    ("kind", "url"),
    [("apprise", "hunter2 is no address"), ("ping", "ftp://h/hunter2"), ("ping", "http://h:hunter2/x")],
)
async def test_what_is_no_address_is_refused_without_being_repeated(kind: str, url: str) -> None:
    """It may be a password, put there by mistake."""
    with pytest.raises(ConfigurationError) as caught:
        await _opened(kind, url).describe()
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_a_kind_that_nobody_knows_is_named_with_those_that_there_are() -> None:
    """As in every family."""
    with pytest.raises(UnknownNameError, match="no kind of notification named fax") as caught:
        registry.load("fax")
    assert caught.value.hint == "known kinds: apprise, ping"


@pytest.mark.parametrize(
    ("occasion", "tone", "path"),
    [
        (Occasion.START, Tone.INFO, "/p/u/start?k=1"),
        (Occasion.SUCCESS, Tone.SUCCESS, "/p/u?k=1"),
        (Occasion.FAILURE, Tone.WARNING, "/p/u/fail?k=1"),
    ],
)
def test_a_switch_has_an_address_for_each_turn_of_a_job(occasion: Occasion, tone: Tone, path: str) -> None:
    """As healthchecks.io has them; others can be named."""
    url = Secret("https://hc.example.org/p/u?k=1")
    assert (
        Ping(Opening({"url": url})).address(Message(occasion, tone, "", ""))
        == f"https://hc.example.org{path}"
    )
    other = Opening({"url": url, "start_url": Secret("http://a/s"), "fail_url": Secret("http://a/f")})
    expected = {Occasion.START: "http://a/s", Occasion.FAILURE: "http://a/f"}.get(
        occasion, url.reveal().decode()
    )
    assert Ping(other).address(Message(occasion, tone, "", "")) == expected
