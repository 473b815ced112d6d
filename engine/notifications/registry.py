"""The table of notifiers."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

from engine.errors import UnknownNameError
from engine.notifications.base import Member, Notifier, Opening

MEMBERS: Mapping[str, str] = {
    "apprise": "engine.notifications.services:Services",
    "ping": "engine.notifications.ping:Ping",
}
"""Kind -> "module:callable" (a `base.Member`), loaded on use."""

ENTRY_POINTS = "holdfast.notifications"
"""The entry-point group by which other packages add kinds; none replaces one of ours."""


def kinds() -> tuple[str, ...]:
    """All kinds that can be opened here, sorted."""
    return tuple(sorted({*MEMBERS, *_strangers()}))


def load(kind: str) -> Member:
    """The class of a kind. Raises: UnknownNameError."""
    target = MEMBERS.get(kind) or _strangers().get(kind)
    if target is None:
        raise UnknownNameError(
            f"there is no kind of notification named {kind}", hint=f"known kinds: {', '.join(kinds())}"
        )
    module, _, name = target.partition(":")
    return cast("Member", getattr(importlib.import_module(module), name))


def open_notifier(kind: str, opening: Opening) -> Notifier:
    """The notifier of a kind for an address. Raises: UnknownNameError."""
    return load(kind)(opening)


def _strangers() -> Mapping[str, str]:
    """The kinds that other packages add."""
    from importlib import metadata  # costs more than the rest of this module

    return {point.name: point.value for point in metadata.entry_points(group=ENTRY_POINTS)}
