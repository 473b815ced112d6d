"""Which schedule runs after which: a chain, never a ring."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import UnknownNameError, UsageError
from engine.model.names import nearest


def require_order(name: str, after: str, leaders: Mapping[str, str]) -> None:
    """Raises: UsageError where `name` would come to run after itself, UnknownNameError where what it runs after is not there.

    `leaders` gives of each schedule the one that it runs after, or an empty text.
    """
    chain = [name]
    following = after
    while following:
        chain.append(following)
        if following in chain[:-1]:
            raise UsageError(
                f"schedule {name} would run after itself: {' after '.join(chain)}",
                hint="give one of them a rhythm of its own: --cron",
            )
        if following not in leaders:
            near = nearest(following, leaders)
            raise UnknownNameError(
                f"there is no schedule named {following}, which {chain[-2]} runs after",
                hint=f"did you mean {near}?" if near else "`holdfast schedule list` names them all",
            )
        following = leaders[following]
