"""The options that make up a retention policy, for every verb that takes one."""

from __future__ import annotations

import argparse
from typing import Any, Final

from engine import retention
from engine.cli.command import Parser
from engine.cli.options import add_option
from engine.model.options import Option
from engine.model.requests import KeepPolicy
from engine.model.schedule_options import KEEP, KEEP_RULES

TITLE: Final = "what is kept"


def declare(parser: Parser) -> None:
    """--keep-…: what is kept, bounds on it, and the minimum that stays. What is not given is None."""
    group = parser.add_argument_group(TITLE)
    for each in KEEP:
        add_option(group, each, help_of(each))


def help_of(option: Option) -> str:
    """What `--help` says of it: of the presets also what they keep."""
    text = option.help
    if option.name == "keep_preset":
        presets = "; ".join(f"{name}: {retention.in_words(each)}" for name, each in retention.PRESETS.items())
        text = f"{presets}; {text}"
    return text


def policy(arguments: argparse.Namespace) -> KeepPolicy:
    """What `declare` understood. Raises: UsageError for a preset that there is not."""
    given: dict[str, Any] = {}
    for option, rule in KEEP_RULES.items():
        value = getattr(arguments, option)
        if value is not None:
            given[rule] = tuple(value) if isinstance(value, list) else value
    said = KeepPolicy(**given)
    return retention.preset(arguments.keep_preset, said) if arguments.keep_preset else said
