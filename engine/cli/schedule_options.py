"""The options of schedules on the command line: when, what, and what if not."""

from __future__ import annotations

import argparse
import os
from typing import Final

from engine.cli import keep_rules
from engine.cli.command import Parser
from engine.cli.options import add_option
from engine.model import schedule_options
from engine.model.schedules import Schedule
from engine.schedule import zones

_GROUPS: Final = (
    ("when exactly, and what if not", schedule_options.TIMING),
    ("hooks: lines for a shell of the source's host, kept with the job: no secret", schedule_options.HOOKS),
    ("backup, forget", schedule_options.BACKUP),
    (keep_rules.TITLE, schedule_options.KEEP),
    ("ship", schedule_options.LOGS),
    ("drill, verify, prune, copy, report", schedule_options.PROOFS),
    ("limits", schedule_options.BOUNDS),
)


def declare(parser: Parser) -> None:
    """All that a schedule may say; what is not given stays None."""
    for each in schedule_options.WHAT:
        add_option(parser, each)
    for title, options in _GROUPS:
        group = parser.add_argument_group(title)
        for each in options:
            add_option(group, each, keep_rules.help_of(each))


def applied(arguments: argparse.Namespace, schedule: Schedule) -> Schedule:
    """The schedule with all that was given in place of what it says."""
    return schedule_options.applied(
        {name: getattr(arguments, name) for name in schedule_options.NAMES}, schedule
    )


def machine_zone() -> str:
    """The IANA name of this machine's zone; UTC where it has none."""
    return zones.machine_zone(os.environ)
