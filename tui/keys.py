"""The keys that do things now, for sentences that name one: console.toml may have given an action another key than the table does."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from tui.actions import ACTIONS, Action, key_names

_NAMED: Final = re.compile(r"\{([a-z_]+\.[a-z_]+)\}")


def usual(action: Action) -> str:
    """The key that the table gives it, as a person calls it; empty where it has none."""
    return key_names.shown(action.keys[0]) if action.keys else ""


_teller: ContextVar[Callable[[Action], str]] = ContextVar("keys", default=usual)


def follow(key_of: Callable[[Action], str]) -> None:
    """From here on, and in all that is begun from here, keys are those that this function knows."""
    _teller.set(key_of)


def of(action_id: str) -> str:
    """The key that does it now; where there is none, what to type in the palette."""
    action = ACTIONS[action_id]
    return _teller.get()(action) or f":{action.title}"


def said(text: str) -> str:
    """A sentence in which `{source.new}` stands for the key that does that."""
    return _NAMED.sub(lambda found: of(found[1]) if found[1] in ACTIONS else found[0], text)
