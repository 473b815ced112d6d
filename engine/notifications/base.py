"""The contract of a notifier: one address that messages are sent to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from engine.model.alerts import Message, Occasion
from engine.model.secret import Secret

TIMEOUT_S = 30.0
"""How long one message may take, with all that is around it."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a kind of notifier is like."""

    occasions: tuple[Occasion, ...]
    """What it tells where nothing else is asked for."""
    is_signal: bool
    """Whether a machine listens: each event by itself, at its time; no digest, and several are never put into one."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a member is made from."""

    urls: Mapping[str, Secret]
    """`url`; of a ping maybe `start_url` and `fail_url`."""
    timeout_s: float = TIMEOUT_S


class Notifier(Protocol):
    """Sends messages to one address. Methods may be called concurrently, and after one was cancelled; nothing is to be closed."""

    @property
    def traits(self) -> Traits:
        """What it is like."""
        ...

    async def describe(self) -> str:
        """Scheme and host of the address, without anything of it that is secret. Connects to nothing.

        Raises: ConfigurationError where no message can ever be sent there; its text holds nothing of the address.
        """
        ...

    async def send(self, message: Message) -> None:
        """Sends one message; when it returns, the service has taken it. A message that was sent before may be sent again.

        Raises: NotificationError where it was not taken, or not within the time; its text holds nothing of the address but the host.
        """
        ...


class Member(Protocol):
    """A class of notifiers: what makes them, and knows what they are like before there is one."""

    @property
    def traits(self) -> Traits:
        """What they are like."""
        ...

    def __call__(self, opening: Opening, /) -> Notifier:
        """One for an address."""
        ...
