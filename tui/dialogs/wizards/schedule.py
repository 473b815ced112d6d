"""A schedule: what it does, when, and what if not; the next runs stand beside the rhythm while it is typed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from engine.model import schedule_options
from engine.model.options import Option
from engine.model.schedules import OF_SOURCES, Action, PlannedRun, Schedule, Timing
from engine.model.secret import Secret
from tui.dialogs.fields import Field, Values
from tui.dialogs.menu import Menu
from tui.dialogs.wizards import option_fields
from tui.dialogs.wizards.wizard import Wizard

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_WANTED: Final = (
    "cron",
    "action",
    "source",
    "to",
    "keep_preset",
    "keep_daily",
    "timezone",
    "follow",
    "poll",
    "level",
    "budget",
    "from",
    "report",
)
_ORDER: Final = ("cron", "action", "source", "to", "keep_preset", "keep_daily", "keep_weekly", "keep_monthly")
_OF_ALL: Final = tuple(
    each.name for each in (*schedule_options.WHAT, *schedule_options.TIMING, *schedule_options.HOOKS)
)
_RHYTHMS: Final = (
    "hourly", "every 15 minutes", "daily at 02:00", "30 2,14 * * *", "weekly on sunday at 05:00", "monthly", "30 20 * * 1-5",
)  # fmt: skip
_LEVELS: Final = {
    "bytes": "every byte is read, and held against its digest",
    "parse": "every dump is parsed",
    "files": "files are restored, and held against what was backed up",
    "database": "into scratch databases of the live server",
    "server": "on a throwaway server",
    "point-in-time": "on a throwaway server, to a random instant of the log",
}
_SHOWN_RUNS: Final = 3


class ScheduleWizard(Wizard[Schedule]):
    """Of a schedule; `begun` fills the fields of a new one."""

    noun = "schedule"

    def __init__(
        self,
        console: ConsoleApp,
        old: Schedule | None = None,
        taken: Sequence[str] = (),
        begun: Schedule | None = None,
    ) -> None:
        super().__init__(console, old, taken)
        zone = Timing(console.engine.machine_timezone())
        self._begun = old or begun or Schedule("", timing=zone)
        self._runs: Sequence[PlannedRun] = ()

    def fields(self) -> list[Field]:
        """When and what first."""
        values = schedule_options.said_by(self._begun)
        values["action"] = self._begun.action.value
        values["timezone"] = self._begun.timing.timezone
        options = sorted(
            schedule_options.ALL,
            key=lambda each: _ORDER.index(each.name) if each.name in _ORDER else len(_ORDER),
        )
        fields = option_fields.fields_of(options, values, self._is_taken, _WANTED)
        fields = option_fields.with_checks(
            fields,
            cron={"check": self.check_runs, "is_checked_by_all": True, "offers": self.rhythms},
            action={"choices": [each.value for each in Action]},
            source={"offers": self.sources},
            to={"offers": self.storages},
            after={"offers": self.others},
            notify={"offers": self.destinations},
            keep_preset={"offers": self.presets},
            level={"offers": self.levels},
        )
        named = [
            Field(
                "name",
                "name",
                "",
                "left empty: after what it does",
                check=self.check_name_field,
                is_checked_by_all=True,
            )
        ]
        return [*fields[:2], *(named if self.old is None else []), *fields[2:], option_fields.more_field()]

    def _is_taken(self, option: Option, values: Values) -> bool:
        action = Action(values.get("action") or Action.BACKUP)
        if option.name == "source":
            return action in OF_SOURCES
        return option.name in _OF_ALL or option.name in schedule_options.TAKEN[action]

    def definition(self, values: Values) -> tuple[Schedule, Mapping[str, Secret]]:
        """Raises: UsageError."""
        name = self.old.name if self.old is not None else values.get("name") or self._free_name(values)
        given = option_fields.read(schedule_options.ALL, values, lambda option: option.name)
        zone = values.get("timezone") or self._begun.timing.timezone
        fresh = Schedule(
            name, timing=Timing(zone), is_template=self._begun.is_template if self.old is not None else False
        )
        return schedule_options.applied(given.options, fresh), {}

    def _free_name(self, values: Values) -> str:
        action = values.get("action") or "backup"
        names = (action, *(f"{action}-{number}" for number in range(2, 9_999)))
        return next(each for each in names if each not in self.taken)

    async def check_runs(self, values: Values) -> str:
        """The next runs; they stand below as well."""
        self._runs = ()
        schedule, _ = self.definition(values)
        if not (schedule.rhythm or schedule.after):
            return ""
        self._runs = await self.engine.preview_schedule(schedule, count=_SHOWN_RUNS)
        if schedule.is_template:
            return "a template: it never runs"
        return f"next {self._runs[0].at:%a %d %b %H:%M}" if self._runs else f"after {schedule.after}"

    def preview(self, values: Values) -> Sequence[str]:
        """The next runs, then command line and TOML. Raises: UsageError."""
        lines = [_run(each) for each in self._runs]
        return [*lines, *([""] if lines else []), *super().preview(values)]

    async def rhythms(self, _values: Values) -> Sequence[tuple[str, str]]:
        """Such as one may begin with."""
        return [(each, each) for each in _RHYTHMS]

    async def sources(self, _values: Values) -> Sequence[tuple[str, str]]:
        """By name, and by patterns of what there is."""
        found = await self.engine.sources()
        kinds = sorted({each.kind for each in found})
        hosts = sorted({each.host for each in found})
        offered = [(each.name, f"{each.name:<24} {each.kind} on {each.host}") for each in found]
        offered += [
            (f"kind:{each}", f"{'kind:' + each:<24} all of that kind, also those to come") for each in kinds
        ]
        return offered + [
            (f"host:{each}", f"{'host:' + each:<24} all of that host, also those to come") for each in hosts
        ]

    async def storages(self, _values: Values) -> Sequence[tuple[str, str]]:
        """Those that are defined."""
        return [(each.name, f"{each.name:<24} {each.kind}") for each in await self.engine.storages()]

    async def others(self, _values: Values) -> Sequence[tuple[str, str]]:
        """Schedules that it may follow."""
        return [
            (each.schedule.name, f"{each.schedule.name:<24} {each.schedule.rhythm}")
            for each in await self.engine.schedules()
            if not each.schedule.is_template
        ]

    async def destinations(self, _values: Values) -> Sequence[tuple[str, str]]:
        """Who may be told."""
        return [
            (each.destination.name, f"{each.destination.name:<24} {each.destination.shown}")
            for each in await self.engine.destinations()
        ]

    async def presets(self, _values: Values) -> Sequence[tuple[str, str]]:
        """What each keeps."""
        return [(name, f"{name:<10} {words}") for name, words in self.engine.keep_presets().items()]

    async def levels(self, _values: Values) -> Sequence[tuple[str, str]]:
        """What each does."""
        return [(name, f"{name:<14} {words}") for name, words in _LEVELS.items()]

    async def save(self, values: Values) -> None:
        """Raises: errors of the engine."""
        schedule, _ = self.definition(values)
        self.require_name(schedule.name)
        change = self.engine.add_schedule if self.old is None else self.engine.edit_schedule
        self.done = (await change(schedule)).schedule


def _run(run: PlannedRun) -> str:
    overlaps = ", ".join(f"{each.schedule} {each.at:%H:%M} on {each.host}" for each in run.overlaps[:3])
    more = f" and {len(run.overlaps) - 3} more" if len(run.overlaps) > 3 else ""
    return f"runs {run.at:%a %Y-%m-%d %H:%M %z}" + (f"   overlaps {overlaps}{more}" if overlaps else "")


async def add_schedule(
    console: ConsoleApp, begun: Schedule | None = None, *, title: str = ""
) -> Schedule | None:
    """A new schedule; where there are templates, one may be begun from one of them."""
    found = [each.schedule for each in await console.engine.schedules()]
    templates = {each.name: each for each in found if each.is_template}
    if templates and begun is None:
        entries = [("", "an empty one"), *((name, f"from the template {name}") for name in templates)]
        chosen = await console.ask(Menu("New schedule", entries))
        if chosen is None:
            return None
        begun = dataclasses.replace(templates[chosen], is_template=False) if chosen else None
    done = await ScheduleWizard(console, taken=[each.name for each in found], begun=begun).run(title)
    if done is not None:
        console.tell(f"schedule {done.name} is written down: {await _begins(console, done.name)}")
    return done


async def edit_schedule(console: ConsoleApp, name: str) -> Schedule | None:
    """Other times, other options. Raises: UnknownNameError."""
    done = await ScheduleWizard(console, (await console.engine.show_schedule(name)).schedule).run()
    if done is not None:
        console.tell(f"schedule {name} is changed: {await _begins(console, name)}")
    return done


async def _begins(console: ConsoleApp, name: str) -> str:
    status = await console.engine.show_schedule(name)
    if status.schedule.is_template:
        return "a template, which never runs"
    begins = (
        f"next at {status.state.next_at.astimezone():%Y-%m-%d %H:%M}"
        if status.state.next_at
        else f"after {status.schedule.after}"
    )
    return (
        begins
        if await console.engine.workers()
        else f"{begins}; no worker lives yet: holdfast service install"
    )
