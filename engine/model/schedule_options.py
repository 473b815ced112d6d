"""The options of schedules, as they are typed; how they become a schedule, and how a schedule is told by them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from engine.errors import UsageError
from engine.model.backup import Scope
from engine.model.definitions import OptionValue
from engine.model.options import Option
from engine.model.requests import KeepPolicy
from engine.model.schedules import Action, CatchUp, Schedule

REPORTS: Final = ("compliance", "trends")
_PERIODS: Final = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
KEEP_RULES: Final[Mapping[str, str]] = {
    "keep_"
    + (
        "tag"
        if each.name == "tags"
        else each.name.removesuffix("_s").replace("most", "at_most").replace("_bytes", "_size")
    ): each.name
    for each in dataclasses.fields(KeepPolicy)
}
"""Option -> rule, as the options of `forget` have it; besides them `keep_preset`."""
LIMITS: Final = ("wait_lock", "timeout", "limit_upload", "limit_download")
TAKEN: Final[Mapping[Action, tuple[str, ...]]] = {
    Action.BACKUP: ("type", "only", "tag", "max_size", "prune", "keep_preset", *KEEP_RULES, *LIMITS),
    Action.SHIP: ("follow", "poll", *LIMITS),
    Action.DRILL: ("level", "host", "scenario", "budget", "check", *LIMITS),
    Action.VERIFY: ("read_data", "read_data_subset", "max_age", "repair", "from", *LIMITS),
    Action.PRUNE: ("max_unused", *LIMITS),
    Action.FORGET: ("prune", "keep_preset", *KEEP_RULES, *LIMITS),
    Action.COPY: ("from", "missing", *LIMITS),
    Action.REPORT: ("report", "days"),
}
"""The options of each action, as `Schedule.options` has them."""

WHAT: Final = (
    Option(
        "cron",
        "five fields of cron, or words: hourly, 'daily at 02:00', 'weekly on monday at 03:00', monthly, 'every 15 minutes'",
        "'EXPR'",
    ),
    Option("after", "in place of --cron: after each run of that one that went well", "SCHEDULE"),
    Option("action", "backup where it is left out", choices=tuple(each.value for each in Action)),
    Option("source", "sources, by name or pattern: web-*, host:db*, kind:postgres", "S", is_list=True),
    Option("to", "the default one where it is left out", "STORAGE", is_list=True),
    Option(
        "notify",
        "destinations of `notify add` that are told of its jobs and of what it looks after, besides all else that they are told",
        "NAME",
        is_list=True,
    ),
    Option("note", "what a person must know", "TEXT"),
)
TIMING: Final = (
    Option("timezone", "whose clock counts: Europe/Berlin; that of this machine where it is left out", "TZ"),
    Option("jitter", "put each start off by up to so long", "SPAN", "span"),
    Option("window", "start nothing outside of 22:00-06:00 (several with commas between)", "HOURS"),
    Option(
        "catch_up",
        "what was missed while nothing ran: not at all, by one run for all (where it is left out), or each",
        choices=tuple(each.value for each in CatchUp),
    ),
    Option("most_caught_up", "of --catch-up all the newest N (24)", "N", "count"),
    Option("smart", "move the start, in its window, to the quietest time of its hosts", is_flag=True),
    Option("retries", "try again so often after a passing fault (3)", "N", "number"),
    Option(
        "retry_delay",
        "wait so long before the first retry, four times as long before each next one (2m)",
        "SPAN",
        "span",
    ),
)
HOOKS: Final = (
    Option("before_hook", "run before; where it fails, nothing is done", "LINE"),
    Option("after_hook", "run when it is over, however it ended", "LINE"),
    Option("hook_timeout", "end each hook after so long (5m)", "SPAN", "span"),
    Option("hooks_here", "run them on this machine", is_flag=True),
)
BACKUP: Final = (
    Option("type", "", choices=("full", "incremental", "differential")),
    Option("only", "", choices=tuple(each.value for each in Scope if each is not Scope.ALL)),
    Option("tag", "", "TAG", is_list=True),
    Option("max_size", "fail rather than add more than this to a storage: 20G", "SIZE", "size"),
    Option("prune", "and delete what nothing needs any more", is_flag=True),
)
KEEP: Final = (
    Option("keep_preset", "other rules come on top, or in place of its own", "NAME"),
    *(Option(f"keep_{period}", "", "N", "kept") for period in _PERIODS),
    Option("keep_within", "all that is newer than this: 30d", "SPAN", "duration"),
    *(
        Option(f"keep_within_{period}", f"the {period} ones within this", "SPAN", "duration")
        for period in _PERIODS[1:]
    ),
    Option(
        "keep_within_size",
        "the newest, as long as their sizes together stay within this",
        "SIZE",
        "size",
    ),
    Option("keep_tag", "all with this tag (may be repeated)", "TAG", is_many=True),
    Option("keep_at_most", "of what the rules keep, the oldest go beyond so many", "N", "count"),
    Option("keep_at_most_size", "the same by their sizes together, as they are restored", "SIZE", "size"),
    Option(
        "keep_minimum",
        "so many of each source stay whatever the rules say, complete ones first (1)",
        "N",
        "count",
    ),
    Option(
        "keep_logs_within",
        "logs reach back so far from the newest base; older bases stay without theirs",
        "SPAN",
        "duration",
    ),
)
LOGS: Final = (
    Option("follow", "ship: go on so long, looking again and again", "SPAN", "whole span"),
    Option("poll", "ship: how long between two looks (10s)", "SPAN", "whole span"),
)
PROOFS: Final = (
    Option(
        "level", "of a drill: bytes, parse, files, database, server or point-in-time (to a random instant)"
    ),
    Option("host", "of a drill: where its throwaway server is started", "HOST"),
    Option("scenario", "of a drill: main-storage-gone, catalog-gone, kit-only, blind"),
    Option("budget", "of a drill: how long it may take", "SPAN", "whole span"),
    Option("check", "of a drill (may be repeated)", "SQL=EXPECTED", is_many=True),
    Option("read_data", "verify: read every pack", is_flag=True),
    Option("read_data_subset", "verify: so much of them", "N/M|N%|SIZE", "subset"),
    Option("max_age", "verify: what was not proved within so many days", "DAYS", "days"),
    Option("repair", "verify: make damaged packs anew from other storages", is_flag=True),
    Option("from", "copy all of it; of a repair: take blobs from there alone", "STORAGE", is_list=True),
    Option("missing", "copy what the storage missed (where no --from is given)", is_flag=True),
    Option("report", "report: which one (compliance)", choices=REPORTS),
    Option("days", "report: on how many days (30)", "DAYS", "days"),
    Option("max_unused", "prune: leave so much that is not needed (5)", "PERCENT", "number"),
)
BOUNDS: Final = (
    Option("wait_lock", "wait so long for a locked repository (15m)", "SPAN", "whole span"),
    Option("timeout", "end each job after so long", "SPAN", "whole span"),
    Option("limit_upload", "KiB a second to each storage", "KIB", "count"),
    Option("limit_download", "KiB a second from each storage", "KIB", "count"),
)
ALL: Final = (*WHAT, *TIMING, *HOOKS, *BACKUP, *KEEP, *LOGS, *PROOFS, *BOUNDS)

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
OPTIONS: Final = tuple(each.name for each in (*BACKUP, *KEEP, *LOGS, *PROOFS, *BOUNDS))
"""The actions' own."""
NAMES: Final = (*_FIELDS, *_TIMING, *_HOOKS, *OPTIONS)


def applied(given: Mapping[str, Any], schedule: Schedule) -> Schedule:
    """The schedule with all that was given, by option, in place of what it says."""
    said = {name: _value(name, value) for name, value in given.items() if name in NAMES and value is not None}
    if said.get("cron") and schedule.after and "after" not in said:
        said["after"] = ""
    if said.get("after") and schedule.rhythm and "cron" not in said:
        said["cron"] = ""
    return _with(schedule, said)


def _value(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    is_whole = (name == "keep_preset" or name in KEEP_RULES) and isinstance(value, float)
    return int(value) if is_whole else value


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
        **{name: given[name] for name in OPTIONS if name in given},
    }
    return dataclasses.replace(
        schedule,
        **fields,
        timing=dataclasses.replace(schedule.timing, **timing),
        hooks=dataclasses.replace(schedule.hooks, **hooks),
        options={name: value for name, value in options.items() if value is not None},
    )


def unset(schedule: Schedule, names: Iterable[str]) -> Schedule:
    """The schedule without these options: as they are where nothing is said. Raises: UsageError."""
    fresh = Schedule(schedule.name)
    for written in names:
        name = written.removeprefix("--").replace("-", "_")
        if name not in NAMES:
            known = ", ".join(each.replace("_", "-") for each in NAMES)
            raise UsageError(f"there is no option {written!r} to unset", hint=f"there are: {known}")
        schedule = _with(schedule, {name: values_of(fresh).get(name)})
    return schedule


def values_of(schedule: Schedule) -> dict[str, Any]:
    """What it says, by option."""
    found: dict[str, Any] = {name: getattr(schedule, field) for name, field in _FIELDS.items()}
    found |= {name: getattr(schedule.timing, field) for name, field in _TIMING.items()}
    found |= {name: getattr(schedule.hooks, field) for name, field in _HOOKS.items()}
    return found | dict(schedule.options)


def said_by(schedule: Schedule) -> dict[str, Any]:
    """The same without what it would say by itself."""
    usual = values_of(Schedule(schedule.name))
    return {name: value for name, value in values_of(schedule).items() if value != usual.get(name)}


def described(schedule: Schedule) -> list[tuple[str, str]]:
    """What it says, for people: option and value, those left out that say nothing of their own."""
    return [
        (name.replace("_", "-"), _shown(value))
        for name, value in said_by(schedule).items()
        if name != "timezone"
    ]


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value)
    return "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)
