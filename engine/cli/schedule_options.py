"""The options of schedules: when, what, and what if not; and how they become a schedule."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engine.cli import keep_rules
from engine.cli.command import Parser
from engine.cli.options import count, duration, number, seconds, size
from engine.errors import UsageError
from engine.jobs.scheduled import KEEP_RULES, REPORTS
from engine.model.backup import Scope
from engine.model.definitions import OptionValue
from engine.model.schedules import Action, CatchUp, Hooks, Schedule, Timing

_ZONES: Final = Path("/usr/share/zoneinfo")

_FIELDS: Final[Mapping[str, str]] = {
    "cron": "rhythm",
    "after": "after",
    "action": "action",
    "source": "sources",
    "to": "storages",
    "notify": "notify",
    "note": "note",
}
"""Option -> field of a schedule."""
_TIMING: Final[Mapping[str, str]] = {
    "timezone": "timezone",
    "jitter": "jitter_s",
    "window": "window",
    "catch_up": "catch_up",
    "most_caught_up": "most_caught_up",
    "smart": "is_smart",
    "retries": "retries",
    "retry_delay": "retry_delay_s",
}
_HOOKS: Final[Mapping[str, str]] = {
    "before_hook": "before",
    "after_hook": "after",
    "hook_timeout": "timeout_s",
    "hooks_here": "is_here",
}


def declare(parser: Parser) -> None:
    """All that a schedule may say; what is not given stays None."""
    parser.add_argument(
        "--cron",
        metavar="'EXPR'",
        help="five fields of cron, or words: hourly, 'daily at 02:00', 'weekly on monday at 03:00', monthly, 'every 15 minutes'",
    )
    parser.add_argument(
        "--after", metavar="SCHEDULE", help="in place of --cron: after each run of that one that went well"
    )
    parser.add_argument(
        "--action", choices=[each.value for each in Action], help="backup where it is left out"
    )
    parser.add_argument(
        "--source",
        action="extend",
        nargs="+",
        metavar="S",
        help="sources, by name or pattern: web-*, host:db*, kind:postgres",
    )
    parser.add_argument(
        "--to", action="extend", nargs="+", metavar="STORAGE", help="the default one where it is left out"
    )
    parser.add_argument(
        "--notify",
        action="extend",
        nargs="+",
        metavar="NAME",
        help="destinations of `notify add` that are told of its jobs and of what it looks after, besides all else that they are told",
    )
    parser.add_argument("--note", metavar="TEXT", help="what a person must know")
    _declare_timing(parser)
    _declare_hooks(parser)
    _declare_backup(parser)
    keep_rules.declare(parser)
    parser.set_defaults(**dict.fromkeys(_KEEP))  # what is not given says nothing
    _declare_proofs(parser)
    _declare_limits(parser)


def _declare_timing(parser: Parser) -> None:
    group = parser.add_argument_group("when exactly, and what if not")
    group.add_argument(
        "--timezone",
        metavar="TZ",
        help="whose clock counts: Europe/Berlin; that of this machine where it is left out",
    )
    group.add_argument("--jitter", type=seconds, metavar="SPAN", help="put each start off by up to so long")
    group.add_argument(
        "--window", metavar="HOURS", help="start nothing outside of 22:00-06:00 (several with commas between)"
    )
    group.add_argument(
        "--catch-up",
        choices=[each.value for each in CatchUp],
        help="what was missed while nothing ran: not at all, by one run for all (where it is left out), or each",
    )
    group.add_argument(
        "--most-caught-up", type=count, metavar="N", help="of --catch-up all the newest N (24)"
    )
    group.add_argument(
        "--smart",
        action="store_const",
        const=True,
        help="move the start, in its window, to the quietest time of its hosts",
    )
    group.add_argument(
        "--retries", type=number, metavar="N", help="try again so often after a passing fault (3)"
    )
    group.add_argument(
        "--retry-delay",
        type=seconds,
        metavar="SPAN",
        help="wait so long before the first retry, four times as long before each next one (2m)",
    )


def _declare_hooks(parser: Parser) -> None:
    group = parser.add_argument_group(
        "hooks: lines for a shell of the source's host, kept with the job: no secret"
    )
    group.add_argument("--before-hook", metavar="LINE", help="run before; where it fails, nothing is done")
    group.add_argument("--after-hook", metavar="LINE", help="run when it is over, however it ended")
    group.add_argument(
        "--hook-timeout", type=seconds, metavar="SPAN", help="end each hook after so long (5m)"
    )
    group.add_argument("--hooks-here", action="store_const", const=True, help="run them on this machine")


def _declare_backup(parser: Parser) -> None:
    group = parser.add_argument_group("backup, forget")
    group.add_argument("--type", choices=("full", "incremental", "differential"))
    group.add_argument("--only", choices=[each.value for each in Scope if each is not Scope.ALL])
    group.add_argument("--tag", action="extend", nargs="+", metavar="TAG")
    group.add_argument(
        "--max-size", type=size, metavar="SIZE", help="fail rather than add more than this to a storage: 20G"
    )
    group.add_argument(
        "--prune", action="store_const", const=True, help="and delete what nothing needs any more"
    )


def _declare_proofs(parser: Parser) -> None:
    group = parser.add_argument_group("drill, verify, prune, copy, report")
    group.add_argument("--level", help="of a drill: bytes, parse, files, database or server")
    group.add_argument("--host", metavar="HOST", help="of a drill: where its throwaway server is started")
    group.add_argument("--scenario", help="of a drill: main-storage-gone, catalog-gone, kit-only, blind")
    group.add_argument(
        "--budget", type=_whole_seconds, metavar="SPAN", help="of a drill: how long it may take"
    )
    group.add_argument(
        "--check", action="append", metavar="SQL=EXPECTED", help="of a drill (may be repeated)"
    )
    group.add_argument("--read-data", action="store_const", const=True, help="verify: read every pack")
    group.add_argument(
        "--read-data-subset", metavar="N/M|N%|SIZE", help="verify: so much of them".replace("%", "%%")
    )
    group.add_argument(
        "--max-age", type=_whole_days, metavar="DAYS", help="verify: what was not proved within so many days"
    )
    group.add_argument(
        "--repair",
        action="store_const",
        const=True,
        help="verify: make damaged packs anew from other storages",
    )
    group.add_argument(
        "--from",
        action="extend",
        nargs="+",
        metavar="STORAGE",
        help="copy all of it; of a repair: take blobs from there alone",
    )
    group.add_argument(
        "--missing",
        action="store_const",
        const=True,
        help="copy what the storage missed (where no --from is given)",
    )
    group.add_argument("--report", choices=REPORTS, help="report: which one (compliance)")
    group.add_argument("--days", type=_whole_days, metavar="DAYS", help="report: on how many days (30)")
    group.add_argument(
        "--max-unused", type=number, metavar="PERCENT", help="prune: leave so much that is not needed (5)"
    )


def _declare_limits(parser: Parser) -> None:
    group = parser.add_argument_group("limits")
    group.add_argument(
        "--wait-lock", type=_whole_seconds, metavar="SPAN", help="wait so long for a locked repository (15m)"
    )
    group.add_argument("--timeout", type=_whole_seconds, metavar="SPAN", help="end each job after so long")
    group.add_argument("--limit-upload", type=count, metavar="KIB", help="KiB a second to each storage")
    group.add_argument("--limit-download", type=count, metavar="KIB", help="KiB a second from each storage")


def _whole_seconds(written: str) -> int:
    return int(seconds(written))


def _whole_days(written: str) -> int:
    return int(written) if written.isdigit() else int(duration(written) // 86400)


_KEEP: Final = ("keep_preset", *KEEP_RULES)
_OPTIONS: Final = (
    "type", "only", "tag", "max_size", *_KEEP, "prune", "level", "host", "scenario",
    "budget", "check", "read_data", "read_data_subset", "max_age", "repair", "from", "missing", "max_unused", "report", "days", "wait_lock", "timeout",
    "limit_upload", "limit_download",
)  # fmt: skip
"""The action's own."""
NAMES: Final = (*_FIELDS, *_TIMING, *_HOOKS, *_OPTIONS)


def applied(arguments: argparse.Namespace, schedule: Schedule) -> Schedule:
    """The schedule with all that was given in place of what it says. Raises: UsageError."""
    given = {name: _value(getattr(arguments, name)) for name in NAMES if getattr(arguments, name) is not None}
    given |= {name: int(value) for name, value in given.items() if name in _KEEP and isinstance(value, float)}
    if "read_data_subset" in given:
        given["read_data_subset"] = _subset(str(given["read_data_subset"]))
    if given.get("cron") and schedule.after and "after" not in given:
        given["after"] = ""
    if given.get("after") and schedule.rhythm and "cron" not in given:
        given["cron"] = ""
    return _with(schedule, given)


def _with(schedule: Schedule, given: Mapping[str, Any]) -> Schedule:
    fields = {field: given[name] for name, field in _FIELDS.items() if name in given}
    if "action" in fields:
        fields["action"] = Action(fields["action"])
    timing = {field: given[name] for name, field in _TIMING.items() if name in given}
    if "catch_up" in timing:
        timing["catch_up"] = CatchUp(timing["catch_up"])
    hooks = {field: given[name] for name, field in _HOOKS.items() if name in given}
    options: dict[str, OptionValue] = {
        **schedule.options,
        **{name: given[name] for name in _OPTIONS if name in given},
    }
    return dataclasses.replace(
        schedule,
        **fields,
        timing=dataclasses.replace(schedule.timing, **timing),
        hooks=dataclasses.replace(schedule.hooks, **hooks),
        options={name: value for name, value in options.items() if value is not None},
    )


def unset(schedule: Schedule, names: list[str]) -> Schedule:
    """The schedule without these options: as they are where nothing is said. Raises: UsageError."""
    fresh = Schedule(schedule.name)
    for written in names:
        name = written.removeprefix("--").replace("-", "_")
        if name not in NAMES:
            known = ", ".join(each.replace("_", "-") for each in NAMES)
            raise UsageError(f"there is no option {written!r} to unset", hint=f"there are: {known}")
        if name in _FIELDS:
            value: Any = getattr(fresh, _FIELDS[name])
        elif name in _TIMING:
            value = getattr(Timing(), _TIMING[name])
        else:
            value = getattr(Hooks(), _HOOKS[name]) if name in _HOOKS else None
        schedule = _with(schedule, {name: value})
    return schedule


def described(schedule: Schedule) -> list[tuple[str, str]]:
    """What it says, as it would be typed: option and value, those left out that say nothing of their own."""
    fresh = Schedule(schedule.name)
    found = [(name, getattr(schedule, field), getattr(fresh, field)) for name, field in _FIELDS.items()]
    found += [
        (name, getattr(schedule.timing, field), getattr(Timing(), field))
        for name, field in _TIMING.items()
        if name != "timezone"
    ]
    found += [
        (name, getattr(schedule.hooks, field), getattr(Hooks(), field)) for name, field in _HOOKS.items()
    ]
    found += [(name, value, None) for name, value in schedule.options.items()]
    return [(name.replace("_", "-"), _shown(value)) for name, value, usual in found if value != usual]


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value)
    return "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)


def _value(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _subset(written: str) -> str:
    """As the schedule keeps it: `1/7`, `10%`, or bytes."""
    if "/" in written or written.endswith("%"):
        return written
    try:
        return str(size(written))
    except argparse.ArgumentTypeError:
        raise UsageError(f"{written!r} is no part of the packs", hint="say 1/7, 10% or 5G") from None


def machine_zone() -> str:
    """The IANA name of this machine's zone; UTC where it has none."""
    named = os.environ.get("TZ", "").removeprefix(":")
    if named and (_ZONES / named).is_file():
        return named
    linked = Path("/etc/localtime").resolve()
    if linked.is_relative_to(_ZONES):
        name = str(linked.relative_to(_ZONES)).removeprefix("posix/")
        return "UTC" if name in ("Etc/UTC", "UCT", "Universal", "Zulu") else name
    return "UTC"
