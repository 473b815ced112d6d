"""What is done now and then, from anywhere: reports, the audit log, the guard, the fleet in a file. Found by the palette."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from engine.errors import UsageError
from engine.model.secret import Secret
from tui import files, keys
from tui.dialogs.confirm import AskSecret, Confirm
from tui.dialogs.reader import Reader
from tui.place import Place
from tui.text import age, moment, printable

if TYPE_CHECKING:
    from engine.model.fleet import Change, ConfigPlan
    from tui.panes.base import Pane

_FORMATS = ("pdf", "csv", "json")
_AUDIT_ROWS = 500
_SIGNS = {"add": "+", "change": "~", "remove": "-"}


class Office(Place):
    """The part of the screen's actions that no pane is for."""

    async def go(self, tab: str) -> Pane:
        """The screen's own."""
        raise NotImplementedError

    async def do_alerts_open(self) -> None:
        """Over the backups."""
        from tui.panes.alerts import AlertsView

        await (await self.go("backups")).push(AlertsView())

    async def do_destinations_open(self) -> None:
        """Over the backups."""
        from tui.panes.destinations import DestinationsView

        await (await self.go("backups")).push(DestinationsView())

    # Reports.

    async def do_report_compliance(self) -> None:
        """Asks for the period and the file; its ending says what it is."""
        begins = await self.console.ask_line("report from (90d ago, 2026-10-01): ", "90d ago")
        if not begins:
            return
        ends = await self.console.ask_line("up to (now, 2027-01-01): ", "now")
        name = (
            await self.console.ask_line("into the file (.pdf, .csv, .json): ", "compliance.pdf")
            if ends
            else None
        )
        if not name or not ends:
            return
        form = PurePath(name).suffix.removeprefix(".").lower()
        if form not in _FORMATS:
            raise UsageError(
                f"{name} ends with none of .pdf, .csv and .json",
                hint="the file's ending says what is written",
            )
        engine = self.console.engine
        since, until = engine.instant(begins), engine.now() if ends == "now" else engine.instant(ends)
        self.console.tell("compiling the report …")
        report = await engine.compliance(since, until)
        written = await asyncio.to_thread(files.write_new, name, await engine.write_report(report, form))
        self.console.tell(f"written to {written}", "good")

    # Looking back, and within.

    async def do_audit_open(self) -> None:
        """The newest entries, and whether the whole log is as it was written."""
        engine = self.console.engine
        entries = await engine.audit_log(limit=_AUDIT_ROWS)
        self.console.tell("proving the audit log …")
        findings = await engine.verify_audit()
        lines = [f"! {each.kind}: {each.message}" for each in findings] or ["the audit log is whole"]
        lines += [""]
        for each in entries:
            who = each.actor.sudo_user or each.actor.login or each.actor.user
            detail = f"  ({each.detail})" if each.detail else ""
            lines.append(
                f"{each.at.astimezone():%Y-%m-%d %H:%M} {who}  {each.verb} {each.object}  {each.outcome}{detail}"
            )
        await self.console.ask(Reader("Audit log, newest first", lines))

    async def do_doctor_open(self) -> None:
        """What a bug report needs."""
        await self.console.ask(
            Reader(
                f"What a bug report needs; {keys.of('text.save')} writes it to a file",
                _tree(await self.console.engine.doctor(), ""),
            )
        )

    async def do_service_open(self) -> None:
        """Workers that live, and the units."""
        engine, now = self.console.engine, self.console.now()
        workers = await engine.workers()
        lines = [
            f"worker {each.version}, process {each.owner.split(':')[2]}, since {age(each.started_at, now)}"
            for each in workers
        ]
        lines = lines or ["no worker lives: one is started for each job; schedules need one that stays"]
        for is_user in (False, True):
            for unit in await engine.unit_states(is_user=is_user):
                if unit.is_installed:
                    stale = "" if unit.is_current else "; another holdfast wrote it: holdfast service install"
                    lines.append(
                        f"{unit.name}  {unit.active or 'systemd does not run here'} {unit.enabled}{stale}"
                    )
        lines += ["", "`sudo holdfast service install` makes the worker a service of systemd"]
        await self.console.ask(Reader("The worker", lines))

    # The guard.

    async def do_guard_open(self) -> None:
        """Whether there is one."""
        state = await self.console.engine.guard()
        if not state.is_set:
            self.console.tell("there is no guard")
        else:
            self.console.tell(
                f"there is a guard, set {moment(state.set_at, self.console.now())}; {state.codes} codes hold"
            )

    async def _current(self) -> Secret | str | None:
        """What passes the present guard; empty where there is none; None for who left."""
        if not (await self.console.engine.guard()).is_set:
            return ""
        said = await self.console.ask(AskSecret("The present guard", "passphrase of the guard, or a code:"))
        return Secret(said) if said else None

    async def do_guard_set(self) -> None:
        """Asks for the present one where there is one, and twice for the new one."""
        current = await self._current()
        if current is None:
            return
        first = await self.console.ask(AskSecret("A guard", "the new passphrase, eight letters or more:"))
        if not first:
            return
        again = await self.console.ask(AskSecret("A guard", "and once more:"))
        if not again:
            return
        if first != again:
            raise UsageError("the two are not the same: nothing was changed")
        await self.console.engine.set_guard(Secret(first), current)
        self.console.tell("the passphrase is asked for before restores in place, deletions and key changes")

    async def do_guard_code(self) -> None:
        """A code that is shown this once."""
        until = await self.console.ask_line("it holds until (2h, 1d): ", "1d")
        current = await self._current() if until else None
        if current is None or not until:
            return
        code = await self.console.engine.make_guard_code(
            current, self.console.engine.instant(until, is_ahead=True)
        )
        await self.console.ask(Reader("A code that passes the guard once, shown this once", [code]))

    async def do_guard_remove(self) -> None:
        """After a yes, and the passphrase."""
        if await self.console.ask(
            Confirm(
                "Take the guard away?", ["Nothing is asked before deletions any more."], yes="take it away"
            )
        ):
            current = await self._current()
            if current is not None:
                await self.console.engine.remove_guard(current)
                self.console.tell("there is no guard any more")

    # The fleet in a file.

    async def do_config_export(self) -> None:
        """Into a file that is not there yet."""
        name = await self.console.ask_line("export into the file: ", "fleet.toml")
        if name:
            document = await self.console.engine.export_config()
            written = await asyncio.to_thread(files.write_new, name, document.encode())
            self.console.tell(f"all that is defined is in {written}, secrets by name alone")

    async def do_config_apply(self) -> None:
        """Shows what would change; after a yes it is so. What the file leaves out stays: `config apply --prune` forgets it, at a shell."""
        name = await self.console.ask_line("apply the file: ", "fleet.toml")
        if not name:
            return
        text = await asyncio.to_thread(files.read_text, name)
        plan = await self.console.engine.plan_config(text, name)
        if not plan.changes:
            self.console.tell(f"nothing new in {name}, which is sound")
            return
        if not await self.console.ask(
            Confirm(
                f"Apply {printable(name)}: {len(plan.changes)} changes?", _plan_lines(plan), yes="apply it"
            )
        ):
            return
        applied = await self.console.engine.apply_config(text, name)
        made = [each for each in applied.storages if each.password]
        self.console.tell(f"{len(applied.changes)} changes made")
        if made:
            lines = [f"{each.name}: {each.password}" for each in made]
            await self.console.ask(Reader("Passwords that were made, shown this once", lines))
        self.console.load(self.console.main.pane.view)


def _plan_lines(plan: ConfigPlan) -> list[str]:
    lines = [line for each in plan.changes for line in _change_lines(each)]
    lines += [f"! the vault has no secret {each}" for each in plan.missing_secrets]
    return lines + (
        [f"{len(plan.unlisted)} that the file does not name stay as they are"] if plan.unlisted else []
    )


def _change_lines(change: Change) -> list[str]:
    head = f"{_SIGNS[change.what]} {change.noun} {change.name}"
    return [
        head,
        *(
            f"    {each.key}: {each.old!r} -> {each.new!r}"
            for each in change.fields
            if change.what == "change"
        ),
    ]


def _tree(value: Mapping[str, Any], indent: str) -> Sequence[str]:
    lines: list[str] = []
    for name, each in value.items():
        if isinstance(each, Mapping):
            lines += [f"{indent}{name}:", *_tree(each, indent + "  ")]
        elif isinstance(each, list | tuple):
            lines += [f"{indent}{name}:", *(f"{indent}  {_flat(one)}" for one in each)]
        else:
            lines.append(f"{indent}{name}: {each}")
    return lines


def _flat(value: object) -> str:
    return (
        ", ".join(f"{key} {part}" for key, part in value.items())
        if isinstance(value, Mapping)
        else str(value)
    )
