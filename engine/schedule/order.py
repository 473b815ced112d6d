"""Which schedule runs after which: a chain, never a ring."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import UnknownNameError, UsageError
from engine.model.names import nearest
from engine.model.schedules import Schedule


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


def require_sound(schedule: Schedule, leaders: Mapping[str, str]) -> None:
    """Raises: UsageError where it says when in two ways or in none, and as `require_order`."""
    if schedule.rhythm and schedule.after:
        raise UsageError(
            "a schedule has a rhythm, or runs after another one", hint="leave --cron or --after out"
        )
    if not schedule.rhythm and not schedule.after and not schedule.is_template:
        raise UsageError(
            f"when should {schedule.name} run?",
            hint="--cron '0 2 * * *', --cron 'daily at 02:00', or --after SCHEDULE",
        )
    require_order(schedule.name, schedule.after, leaders)
