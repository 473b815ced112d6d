"""The options that make up a retention policy, for every verb that takes one."""

from __future__ import annotations

import argparse
from typing import Any, Final

from engine import retention
from engine.cli.command import Parser
from engine.cli.options import count, duration, number, size
from engine.model.requests import KeepPolicy

_PERIODS: Final = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


def declare(parser: Parser) -> None:
    """--keep-…: what is kept, bounds on it, and the minimum that stays."""
    group = parser.add_argument_group("what is kept")
    presets = "; ".join(f"{name}: {retention.in_words(each)}" for name, each in retention.PRESETS.items())
    group.add_argument(
        "--keep-preset", metavar="NAME", help=f"{presets}; other rules come on top, or in place of its own"
    )
    for period in _PERIODS:
        group.add_argument(f"--keep-{period}", type=_count, default=0, metavar="N")
    group.add_argument(
        "--keep-within", type=duration, metavar="SPAN", help="all that is newer than this: 30d"
    )
    for period in _PERIODS[1:]:
        group.add_argument(
            f"--keep-within-{period}", type=duration, metavar="SPAN", help=f"the {period} ones within this"
        )
    group.add_argument(
        "--keep-within-size",
        type=size,
        metavar="SIZE",
        help="the newest, as long as their sizes together stay within this",
    )
    group.add_argument(
        "--keep-tag", action="append", default=[], metavar="TAG", help="all with this tag (may be repeated)"
    )
    group.add_argument(
        "--keep-at-most", type=count, metavar="N", help="of what the rules keep, the oldest go beyond so many"
    )
    group.add_argument(
        "--keep-at-most-size",
        type=size,
        metavar="SIZE",
        help="the same by their sizes together, as they are restored",
    )
    group.add_argument(
        "--keep-minimum",
        type=count,
        default=1,
        metavar="N",
        help="so many of each source stay whatever the rules say, complete ones first (1)",
    )


def policy(arguments: argparse.Namespace) -> KeepPolicy:
    """What `declare` understood. Raises: UsageError for a preset that there is not."""
    counts: dict[str, Any] = {period: getattr(arguments, f"keep_{period}") for period in _PERIODS}
    spans: dict[str, Any] = {
        f"within_{period}_s": getattr(arguments, f"keep_within_{period}") or None for period in _PERIODS[1:]
    }
    said = KeepPolicy(
        **counts,
        **spans,
        within_s=arguments.keep_within,
        within_bytes=arguments.keep_within_size,
        tags=tuple(arguments.keep_tag),
        most=arguments.keep_at_most,
        most_bytes=arguments.keep_at_most_size,
        minimum=arguments.keep_minimum,
    )
    return retention.preset(arguments.keep_preset, said) if arguments.keep_preset else said


def _count(written: str) -> int:
    """A count; `unlimited` and -1 are restic's words for one that never ends."""
    return -1 if written in ("unlimited", "-1") else number(written)
