"""Forms of what a drill or a restore is to be like: every option of the command line, with what it amounts to below."""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from engine.errors import UsageError
from engine.model.definitions import LOCAL_HOST, OptionValue
from engine.model.drills import Ways
from engine.model.options import Option, split
from engine.model.plan_steps import DRILLED, RESTORE, check_text, drill_words, parse_check, restored_words
from engine.model.plans import Plan, PlanRequest
from engine.model.requests import DrillRequest, RestoreRequest
from engine.model.text import size
from engine.model.typed import seconds
from tui import paths
from tui.dialogs.form import Check, Field, Form, Offers, Values
from tui.panes import restore_work, timeline
from tui.panes.restore_text import Chosen, Target

if TYPE_CHECKING:
    from tui.app import ConsoleApp

Request = TypeVar("Request", DrillRequest, RestoreRequest)

SCENARIOS: Final = ("main-storage-gone", "catalog-gone", "kit-only", "blind")
_EXPLAINED: Final = {
    "scenario": "what is supposed to have happened: the main storage or the catalog is gone, the kit is all there is, or blind: a backup at random",
    "level": "how deep: empty is the highest that can run",
    "checks": "your own: 'SELECT count(*) FROM t=42', with `DATABASE: ` before it for one database; quoted each",
}
_DRILL: Final = ("budget_s", "level", "host", "storage", "scenario", "keep_s", "by", "note", "seed")
_FILES: Final = ("include", "exclude", "overwrite", "is_deleting", "is_verified")
_DATABASES: Final = ("databases", "target_source", "is_with_roles", "masks")
_HOOKS: Final = ("before_hook", "after_hook", "hook_timeout_s")


def levels(ways: Ways) -> Sequence[str]:
    """That a drill of such a source has."""
    if ways.is_database:
        return ("", "bytes", "parse", "database", "server")
    return ("", "bytes", "files") if ways.is_files else ("", "bytes")


async def ask_drill(console: ConsoleApp, chosen: Chosen) -> DrillRequest | None:
    """The options of a drill; None where nobody says."""
    request = chosen.drill
    deep = (timeline.LEVEL,) if chosen.timeline is not None else ()
    choices = {"level": (*levels(chosen.ways), *deep), "scenario": ("", *SCENARIOS)}
    names = [each for each in _DRILL if each != "keep_s" or chosen.ways.is_database]
    fields = _fields({each: DRILLED[each] for each in names}, request, choices, await _offers(console))
    if chosen.ways.is_database:
        said = shlex.join(check_text(each) for each in request.checks)
        fields.insert(
            1, Field("checks", "checks", said, _EXPLAINED["checks"], is_list=True, check=_checks_said)
        )

    def read(values: Values) -> DrillRequest:
        found = _read(DRILLED, values, request)
        checks = tuple(parse_check(each) for each in split(values.get("checks", "")))
        return dataclasses.replace(found, checks=checks)

    def command(found: DrillRequest) -> str:
        return shlex.join(["holdfast", "drill", *drill_words(found)])

    return await _ask(console, f"Drill of {chosen.backup.source}", fields, read, command)


async def _checks_said(values: Values) -> str:
    found = [parse_check(each) for each in split(values.get("checks", ""))]
    return f"{len(found)} understood" if found else ""


async def ask_restore(console: ConsoleApp, target: Target, chosen: Chosen) -> RestoreRequest | None:
    """The options of a restore; None where nobody says."""
    request = chosen.restore
    options = {each: RESTORE[each] for each in restore_options(target, chosen.ways)}
    checks: dict[str, Check] = {}
    if "to" in options:
        checks["to"] = _room_check(console, chosen.backup.size_bytes)
    needed = {Target.FILES: "to", Target.BESIDE: "into"}.get(target, "")
    fields = [
        dataclasses.replace(
            each,
            is_needed=each.name == needed,
            check=checks.get(each.name, each.check),
            is_path=_is_here if each.name == "to" else each.is_path,
        )
        for each in _fields(options, request, {}, await _offers(console))
    ]

    def read(values: Values) -> RestoreRequest:
        found = _read(options, values, request)
        if found.to and found.host in ("", LOCAL_HOST):
            found = dataclasses.replace(found, to=paths.absolute(paths.plain(found.to)))
        if found.to and not found.to.startswith("/"):
            raise UsageError(f"{found.to} is no path from the root", hint=f"say where on {found.host}")
        return found

    async def require(found: RestoreRequest) -> None:
        if found.host not in ("", LOCAL_HOST):
            await console.engine.show_host(found.host)
        elif found.to and not found.include:
            await asyncio.to_thread(restore_work.require_room, found.to, chosen.backup.size_bytes)
        if found.target_source:
            await console.engine.show_source(found.target_source)

    def command(found: RestoreRequest) -> str:
        return shlex.join(["holdfast", "restore", *restored_words(found)])

    titles = {Target.BESIDE: "beside what is live", Target.LIVE: "in place of what is live"}
    title = f"Restore {chosen.backup.source} {titles.get(target, 'into a folder')}"
    return await _ask(console, title, fields, read, command, require)


def restore_options(target: Target, ways: Ways) -> Sequence[str]:
    """Fields of a RestoreRequest that mean something there."""
    if target is Target.FILES:
        spaces = ("tablespaces",) if ways.has_tablespaces else ()
        return ("to", "host", *_FILES, *spaces, "storage", *_HOOKS)
    if target is Target.BESIDE:
        tables = ("tables",) if ways.is_by_table else ()
        return ("into", *tables, *_DATABASES, "storage", *_HOOKS)
    if ways.is_loading:
        return (*_DATABASES, "storage", *_HOOKS)
    if ways.is_files:
        return ("include", "exclude", "overwrite", "is_verified", "is_safety_left_out", "storage", *_HOOKS)
    return ("is_safety_left_out", "storage", *_HOOKS)


async def ask_plan_drill(console: ConsoleApp, plan: Plan) -> PlanRequest | None:
    """How a plan is rehearsed; None where nobody says."""
    found: list[PlanRequest] = []

    def read(values: Values) -> PlanRequest:
        at = values.get("at", "")
        budget = values.get("budget", "")
        return PlanRequest(
            plan.name,
            is_drill=True,
            at=console.engine.instant(at) if at else None,
            budget_s=seconds(budget) if budget else None,
            by=tuple(split(values.get("by", ""))),
            note=values.get("note", ""),
        )

    async def save(values: Values) -> None:
        found.append(read(values))

    def preview(values: Values) -> Sequence[str]:
        read(values)
        words = ["holdfast", "plan", "drill", plan.name]
        for name in ("at", "budget", "note"):
            words += [f"--{name}", values[name]] if values.get(name) else []
        for each in split(values.get("by", "")):
            words += ["--by", each]
        return [shlex.join(words)]

    fields = [
        Field("at", "as of", "", "as everything was then: 2h ago, 2026-11-20 14:05; empty: now"),
        Field("budget", "budget", "", "all of it must take no longer: 30m; empty: the plan's own"),
        Field("by", "who takes part", "", "names, quoted where they hold spaces", is_list=True),
        Field("note", "note", "", "goes into the evidence"),
    ]
    await console.ask(Form(f"Rehearse plan {plan.name}", fields, save, preview))
    return found[0] if found else None


async def _ask(
    console: ConsoleApp,
    title: str,
    fields: Sequence[Field],
    read: Callable[[Values], Request],
    command: Callable[[Request], str],
    require: Callable[[Request], Awaitable[None]] | None = None,
) -> Request | None:
    found: list[Request] = []

    async def save(values: Values) -> None:
        request = read(values)
        if require is not None:
            await require(request)
        found.append(request)

    await console.ask(Form(title, fields, save, lambda values: [command(read(values))]))
    return found[-1] if found else None


def _fields(
    options: Mapping[str, Option], request: object, choices: Mapping[str, Sequence[str]], offers: Mapping[str, Offers]
) -> list[Field]:  # fmt: skip
    """A field for each option of a request."""
    return [
        Field(
            name,
            option.flag.removeprefix("--"),
            option.shown(getattr(request, name)) or ("no" if option.is_flag else ""),
            _EXPLAINED.get(name, option.help),
            choices.get(name, ("no", "yes") if option.is_flag else option.choices),
            is_list=option.is_several,
            offers=offers.get(name),
        )
        for name, option in options.items()
    ]


def _read(options: Mapping[str, Option], values: Values, request: Request) -> Request:
    """The request with what the fields say; an empty one is the default. Raises: UsageError, which names the option."""
    usual = {each.name: each.default for each in dataclasses.fields(request)}
    said: dict[str, Any] = {}
    for name, option in options.items():
        if name in values:
            value: OptionValue = option.read(values[name])
            said[name] = usual[name] if value is None or value == () else value
    return dataclasses.replace(request, **said)


async def _offers(console: ConsoleApp) -> Mapping[str, Offers]:
    async def hosts(_values: Values) -> Sequence[tuple[str, str]]:
        return [
            (each.name, f"{each.name}  {each.address}")
            for each in await console.engine.hosts()
            if each.name != LOCAL_HOST
        ]

    async def storages(_values: Values) -> Sequence[tuple[str, str]]:
        return [(each.name, f"{each.name}  {each.kind}") for each in await console.engine.storages()]

    async def sources(_values: Values) -> Sequence[tuple[str, str]]:
        return [
            (each.name, f"{each.name}  {each.kind} on {each.host}") for each in await console.engine.sources()
        ]

    return {"host": hosts, "storage": storages, "target_source": sources}


def _is_here(values: Values) -> bool:
    return values.get("host", "") in ("", LOCAL_HOST)


def _room_check(console: ConsoleApp, needed_bytes: int) -> Check:
    async def check(values: Values) -> str:
        if not _is_here(values):
            return f"on {values['host']}"
        folder = paths.absolute(paths.plain(values["to"]))
        free = await asyncio.to_thread(restore_work.free_bytes, folder)
        if free is None:
            return ""
        if not values.get("include"):
            await asyncio.to_thread(restore_work.require_room, folder, needed_bytes)
        return f"{size(free)} free"

    del console
    return check
