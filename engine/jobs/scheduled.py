"""What a run of a schedule asks for: one request for each part, and what a schedule may say. Pure.

A backup has one part for each host, whose sources are read one after the other in one job, so that hosts are backed up side by side and one
that cannot be reached is tried again alone. A drill has one for each source; verify, prune and copy have one for each storage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine import retention
from engine.errors import UnknownNameError, UsageError
from engine.jobs.known import Known, chosen, is_pattern
from engine.model.backup import Scope
from engine.model.definitions import LOCAL_HOST, OptionValue, Source
from engine.model.names import nearest
from engine.model.requests import (
    BackupRequest,
    CopyRequest,
    DrillRequest,
    ForgetRequest,
    KeepPolicy,
    Limits,
    PruneRequest,
    ReportRequest,
    ShipRequest,
    VerifyRequest,
)
from engine.model.schedule_options import KEEP_RULES, REPORTS, TAKEN
from engine.model.schedules import OF_SOURCES, Action, Schedule
from engine.sources import registry as sources

WAIT_LOCK_S: Final = 900.0
"""How long a job of a schedule waits for a locked repository where nothing else is said: nobody is there to start it again."""


@dataclass(frozen=True, slots=True)
class Part:
    """One job of a run."""

    name: str
    verb: str
    request: Any


def parts_of(schedule: Schedule, known: Known) -> list[Part]:
    """The jobs of a run, none where its patterns find no source. Raises: UsageError for an option that cannot be understood."""
    return _PARTS[schedule.action](schedule, known)


def hosts_of(schedule: Schedule, known: Known) -> set[str]:
    """The machines that its jobs keep busy: of storages it is this one that reads and writes them."""
    if schedule.action not in (Action.BACKUP, Action.SHIP, Action.DRILL):
        return {LOCAL_HOST}
    elsewhere = _text(schedule.options, "host") if schedule.action is Action.DRILL else ""
    return {elsewhere} if elsewhere else {each.host for each in chosen(schedule.sources, known)}


def retired(schedule: Schedule, known: Known) -> Mapping[str, str]:
    """The hosts of its sources that are out of service, and why: nothing is backed up there."""
    if schedule.action not in (Action.BACKUP, Action.SHIP):
        return {}
    return {each.host: each.retired for each in chosen(schedule.sources, known) if each.retired}


def follow_ups(schedule: Schedule, sources: Sequence[str], known: Known) -> list[Part]:
    """What comes after a job of it that ended well: after a backup of these sources their retention, where the backups are."""
    policy = policy_of(schedule.options)
    if schedule.action is not Action.BACKUP or policy.is_empty:
        return []
    return [_forget(schedule, policy, source, _storages(schedule, known)) for source in sources]


def check(schedule: Schedule, known: Known) -> None:
    """Raises: UsageError, UnknownNameError where the schedule could not do what it says."""
    allowed = TAKEN[schedule.action]
    for name in schedule.options:
        if name not in allowed:
            near = nearest(name, allowed)
            words = [f"--{each.replace('_', '-')}" for each in allowed]
            raise UsageError(
                f"a schedule that does {schedule.action.value} has no option --{name.replace('_', '-')}",
                hint=f"did you mean --{near.replace('_', '-')}?"
                if near
                else f"there are: {', '.join(words)}",
            )
    _require_sources(schedule, known)
    for storage in (*schedule.storages, *_texts(schedule.options.get("from"))):
        if storage not in known.storages:
            near = nearest(storage, known.storages)
            raise UnknownNameError(
                f"there is no storage named {storage}",
                hint=f"did you mean {near}?" if near else "`holdfast storage list` names them all",
            )
    policy = policy_of(schedule.options)
    if policy.is_empty and schedule.action is Action.FORGET:
        raise UsageError("nothing was said to be kept", hint="say --keep-last N, --keep-daily N, …")
    if policy.is_empty and any(name in schedule.options for name in KEEP_RULES):
        raise UsageError(
            "the policy keeps nothing",
            hint="give a --keep rule above 0, or leave them all out and nothing is ever forgotten",
        )
    needs_storage = schedule.action in (Action.VERIFY, Action.PRUNE, Action.COPY)
    if needs_storage and not schedule.storages and not known.default_storage:
        raise UsageError(f"say which storage to {schedule.action.value}", hint="--to STORAGE")
    if not schedule.is_template:
        parts_of(schedule, known)


def policy_of(options: Mapping[str, OptionValue]) -> KeepPolicy:
    """The keep rules among the options. Raises: UsageError for a preset that there is not."""
    given: dict[str, Any] = {}
    for option, rule in KEEP_RULES.items():
        if rule == "tags":
            given[rule] = tuple(_texts(options.get(option)))
        elif (number := _number(options, option)) is not None:
            given[rule] = number if rule.endswith("_s") else int(number)
    policy = KeepPolicy(**given)
    preset = _text(options, "keep_preset")
    return retention.preset(preset, policy) if preset else policy


def _require_sources(schedule: Schedule, known: Known) -> None:
    if schedule.action not in OF_SOURCES:
        if schedule.sources:
            raise UsageError(
                f"{schedule.action.value} is of storages, not of sources",
                hint="leave --source out, say --to STORAGE",
            )
        return
    if not schedule.sources and schedule.action is not Action.FORGET and not schedule.is_template:
        raise UsageError(
            f"say which sources to {schedule.action.value}", hint="--source NAME, or a pattern: 'web-*'"
        )
    for pattern in schedule.sources:
        if found := chosen([pattern], known):
            if schedule.action is Action.SHIP and not is_pattern(pattern):
                sources.require_log(Source(found[0].name, found[0].kind))
            continue
        near = nearest(pattern, [each.name for each in known.sources])
        raise UnknownNameError(
            f"there is no source {'that matches' if is_pattern(pattern) else 'named'} {pattern}",
            hint=f"did you mean {near}?"
            if near
            else "`holdfast source list` names them all; patterns are `web-*`, `host:db*`, `kind:postgres`",
        )


def _backup(schedule: Schedule, known: Known) -> list[Part]:
    options = schedule.options
    by_host: dict[str, list[str]] = {}
    for each in chosen(schedule.sources, known):
        if not each.retired:
            by_host.setdefault(each.host, []).append(each.name)
    most = options.get("max_size")
    return [
        Part(
            host,
            "backup",
            BackupRequest(
                sources=tuple(names),
                storages=schedule.storages,
                kind=_text(options, "type") or "incremental",
                scope=Scope(_text(options, "only") or "all"),
                tags=tuple(_texts(options.get("tag"))),
                most_bytes=int(most) if isinstance(most, int | str) else None,
                limits=_limits(options),
                hooks=schedule.hooks,
            ),
        )
        for host, names in by_host.items()
    ]


def _ship(schedule: Schedule, known: Known) -> list[Part]:
    options = schedule.options
    poll_s = _number(options, "poll")
    return [
        Part(
            each.name,
            "ship",
            ShipRequest(
                (each.name,),
                tuple(schedule.storages),
                _number(options, "follow") or 0.0,
                ShipRequest(()).poll_s if poll_s is None else poll_s,
                _limits(options),
                schedule.hooks,
            ),
        )
        for each in chosen(schedule.sources, known)
        if not each.retired and sources.has_log(each.kind)
    ]


def _drill(schedule: Schedule, known: Known) -> list[Part]:
    options = schedule.options
    checks = tuple(_check(each) for each in _texts(options.get("check")))
    return [
        Part(
            each.name,
            "drill",
            DrillRequest(
                source=each.name,
                level=_text(options, "level"),
                host=_text(options, "host"),
                storage=schedule.storages[0] if schedule.storages else "",
                budget_s=_number(options, "budget"),
                checks=checks,
                scenario=_text(options, "scenario"),
                note=schedule.note,
                limits=_limits(options),
                hooks=schedule.hooks,
            ),
        )
        for each in chosen(schedule.sources, known)
    ]


def _check(given: str) -> tuple[str, str, str]:
    """See `--check` of a drill: `SQL=EXPECTED`, `DATABASE: SQL=EXPECTED`."""
    statement, equals, expected = given.rpartition("=")
    if not equals or not statement.strip():
        raise UsageError(f"{given!r} is no check", hint="say --check 'SELECT count(*) FROM t=42'")
    database, colon, rest = statement.partition(": ")
    is_named = bool(colon and database) and " " not in database
    return (database, rest, expected) if is_named else ("", statement, expected)


def _storages(schedule: Schedule, known: Known) -> Sequence[str]:
    return schedule.storages or ((known.default_storage,) if known.default_storage else ())


def _verify(schedule: Schedule, known: Known) -> list[Part]:
    options = schedule.options
    subset = _text(options, "read_data_subset")
    fraction, percent, size = _slice(subset)
    max_age = _number(options, "max_age")
    is_repairing = options.get("repair") is True
    is_reading = options.get("read_data") is True or is_repairing or bool(subset) or max_age is not None
    return [
        Part(
            storage,
            "verify",
            VerifyRequest(
                storage=storage,
                is_reading_data=is_reading,
                subset=fraction,
                slice_percent=percent,
                slice_bytes=size,
                max_age_days=max_age,
                is_repairing=is_repairing,
                repair_from=tuple(_texts(options.get("from"))),
                limits=_limits(options),
                hooks=schedule.hooks,
            ),
        )
        for storage in _storages(schedule, known)
    ]


def _slice(written: str) -> tuple[tuple[int, int] | None, float | None, int | None]:
    """`1/7`, `10%` or bytes. Raises: UsageError."""
    try:
        if written.endswith("%"):
            return None, float(written[:-1]), None
        if "/" in written:
            part, parts = map(int, written.split("/"))
            if 1 <= part <= parts:
                return (part, parts), None, None
            raise ValueError
        return None, None, int(written) if written else None
    except ValueError:
        raise UsageError(f"{written!r} is no part of the packs", hint="say 1/7, 10% or 5G") from None


def _prune(schedule: Schedule, known: Known) -> list[Part]:
    unused = _number(schedule.options, "max_unused")
    return [
        Part(
            storage,
            "prune",
            PruneRequest(
                storage,
                max_unused_percent=PruneRequest(storage).max_unused_percent if unused is None else unused,
                limits=_limits(schedule.options),
                hooks=schedule.hooks,
            ),
        )
        for storage in _storages(schedule, known)
    ]


def _forgets(schedule: Schedule, known: Known) -> list[Part]:
    policy = policy_of(schedule.options)
    if not schedule.sources:
        return [_forget(schedule, policy, "", schedule.storages)]
    return [
        _forget(schedule, policy, each.name, schedule.storages) for each in chosen(schedule.sources, known)
    ]


def _forget(schedule: Schedule, policy: KeepPolicy, source: str, storages: Sequence[str]) -> Part:
    is_own = schedule.action is Action.FORGET
    request = ForgetRequest(
        policy,
        source,
        tuple(storages),
        is_pruning=schedule.options.get("prune") is True,
        limits=_limits(schedule.options),
        hooks=schedule.hooks if is_own else ForgetRequest(policy).hooks,
    )
    return Part(source if is_own else f"forget {source}", "forget", request)


def _copy(schedule: Schedule, known: Known) -> list[Part]:
    options = schedule.options
    origins = _texts(options.get("from"))
    is_missing = options.get("missing") is True or not origins
    if len(origins) > 1:
        raise UsageError("a copy is from one storage", hint="one schedule for each, or --missing")
    if not is_missing and origins[0] in _storages(schedule, known):
        raise UsageError(f"storage {origins[0]} is not copied onto itself", hint="name another one with --to")
    return [
        Part(
            storage,
            "copy",
            CopyRequest(
                "" if is_missing else origins[0],
                storage,
                is_all=not is_missing,
                is_missing=is_missing,
                limits=_limits(options),
                hooks=schedule.hooks,
            ),
        )
        for storage in _storages(schedule, known)
    ]


def _report(schedule: Schedule, known: Known) -> list[Part]:
    del known
    options = schedule.options
    days = _number(options, "days")
    if days is not None and days <= 0:
        raise UsageError(f"schedule {schedule.name}: a report is on a day at least", hint="--days 30")
    asked = ReportRequest(
        _text(options, "report") or ReportRequest().report,
        ReportRequest().days if days is None else days,
        hooks=schedule.hooks,
    )
    if asked.report not in REPORTS:
        near = nearest(asked.report, REPORTS)
        raise UsageError(
            f"there is no report {asked.report}",
            hint=f"did you mean {near}?" if near else " or ".join(REPORTS),
        )
    return [Part("", "report", asked)]


_PARTS: Final[Mapping[Action, Callable[[Schedule, Known], list[Part]]]] = {
    Action.BACKUP: _backup,
    Action.SHIP: _ship,
    Action.DRILL: _drill,
    Action.VERIFY: _verify,
    Action.PRUNE: _prune,
    Action.FORGET: _forgets,
    Action.COPY: _copy,
    Action.REPORT: _report,
}


def _limits(options: Mapping[str, OptionValue]) -> Limits:
    wait = _number(options, "wait_lock")
    upload, download = _number(options, "limit_upload"), _number(options, "limit_download")
    return Limits(
        WAIT_LOCK_S if wait is None else wait,
        _number(options, "timeout"),
        None if upload is None else int(upload),
        None if download is None else int(download),
    )


def _text(options: Mapping[str, OptionValue], name: str) -> str:
    value = options.get(name)
    return "" if value is None else str(value)


def _texts(value: OptionValue) -> Sequence[str]:
    if value is None or isinstance(value, bool):
        return ()
    return [str(value)] if isinstance(value, str | int) else [str(each) for each in value]


def _number(options: Mapping[str, OptionValue], name: str) -> float | None:
    """Raises: UsageError where it is none."""
    value = options.get(name)
    if value is None:
        return None
    try:
        return float(str(value))
    except ValueError:
        raise UsageError(f"--{name.replace('_', '-')} {value} is no number") from None
