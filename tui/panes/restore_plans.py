"""Recovery plans: several sources brought back in their order, or rehearsed as one drill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from textual import on
from textual.widget import Widget

from engine.model import command_lines, told
from engine.model.plans import Plan, PlanRequest, PlanResult
from engine.model.text import counted
from tui import keys
from tui.actions import ACTIONS, Action
from tui.dialogs import wizards
from tui.dialogs.confirm import Confirm, TypeName
from tui.dialogs.reader import Reader
from tui.panes.base import View
from tui.panes.restore_running import RunningView
from tui.place import bindings
from tui.text import clock, printable
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

_NONE: Final = "there is no recovery plan yet: {plans.new} writes one down"


class PlansView(View):
    """All plans."""

    PLACE = "plans"
    BINDINGS = bindings("plans")

    def __init__(self) -> None:
        super().__init__()
        self.table = RowTable(
            [Column("PLAN", 14), Column("STEPS", 20, is_flexible=True), Column("BUDGET", 7, is_right=True), Column("NOTE", 16, is_flexible=True, rank=1)],
            empty=_NONE,
        )  # fmt: skip
        self._plans: dict[str, Plan] = {}

    @property
    def crumb(self) -> str:
        """What it lists."""
        return "plans"

    def compose(self) -> Iterator[Widget]:
        """The list."""
        yield self.table

    async def load(self) -> None:
        """Reads them."""
        self._plans = {each.name: each for each in await self.console.engine.plans()}
        self.table.show_rows([_row(each) for each in self._plans.values()])

    @property
    def plan(self) -> Plan:
        """The one under the cursor; there is one."""
        assert self.table.current is not None
        return self._plans[self.table.current.key]

    def why_off(self, action: Action) -> str:
        """All but a new one need a plan."""
        if action.action_id == "plans.new" or self.table.current is not None:
            return ""
        return keys.said(_NONE)

    def copyables(self) -> Sequence[tuple[str, str]]:
        """The name, the line that defines it, and the one that rehearses it."""
        if self.table.current is None:
            return ()
        plan = self.plan
        return [
            ("name", plan.name),
            ("definition", command_lines.line(command_lines.adding(plan))),
            ("command", f"holdfast plan drill {plan.name}"),
        ]

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """Enter."""
        event.stop()
        self.perform(ACTIONS["plans.show"])

    async def do_plans_show(self) -> None:
        """Step by step."""
        plan = self.plan
        lines = [
            *([f"budget  {clock(plan.budget_s)}"] if plan.budget_s is not None else []),
            *([f"note    {printable(plan.note)}"] if plan.note else []),
            *(
                printable(f"step {number}  {told.plan_step(each)}")
                for number, each in enumerate(plan.steps, 1)
            ),
            "",
            command_lines.line(command_lines.adding(plan)),
        ]
        await self.console.ask(Reader(f"Recovery plan {plan.name}", lines))

    async def do_plans_drill(self) -> None:
        """Rehearses it with the newest backups: nothing that is live is written to."""
        plan = self.plan
        job = await self.console.submit(
            "plan", PlanRequest(plan.name, is_drill=True), f"rehearsal of plan {plan.name}"
        )
        await self.console.main.pane.push(RunningView(job, plan.name))

    async def do_plans_drill_as(self) -> None:
        """Asks as of when, who takes part, and what there is to say. Raises: UsageError."""
        from tui.panes.restore_forms import ask_plan_drill

        request = await ask_plan_drill(self.console, self.plan)
        if request is not None:
            job = await self.console.submit("plan", request, f"rehearsal of plan {request.plan}")
            await self.console.main.pane.push(RunningView(job, request.plan))

    async def do_plans_run(self) -> None:
        """As of when; what each step would do by a worker; then the question that its danger asks. Raises: UsageError, RefusedError."""
        plan = self.plan
        said = await self.console.ask_line("run it as everything was at (empty: now): ")
        if said is None:
            return
        at = self.console.engine.instant(said) if said.strip() else None
        dry = await self.console.finish(
            "plan", PlanRequest(plan.name, at=at, is_dry_run=True), f"planning {plan.name}", PlanResult
        )
        if dry is None:
            return
        lines = [*_planned(dry), "", f"Same as: holdfast plan run {plan.name}{f' --at {said!r}' if at else ''}"]  # fmt: skip
        if any(each.status == "failed" for each in dry.steps):
            await self.console.ask(Reader(f"Plan {plan.name} cannot be run as it is", lines))
            return
        replaced = [each.source for each in plan.steps if each.restore.is_in_place or each.restore.is_deleting]  # fmt: skip
        if replaced:
            title = f"RUN PLAN {plan.name}, WHICH REPLACES WHAT IS LIVE of {printable(', '.join(replaced))}"
            is_wanted = await self.console.ask(TypeName(title, lines, plan.name))
        else:
            is_wanted = await self.console.ask(Confirm(f"Run plan {plan.name}?", lines, yes="run it"))
        if is_wanted and await self.console.pass_guard("plans.run"):
            job = await self.console.submit("plan", PlanRequest(plan.name, at=at), f"plan {plan.name}")
            await self.console.main.pane.push(RunningView(job, plan.name))

    async def do_plans_remove(self) -> None:
        """After its name was typed; backups and sources stay."""
        name = self.plan.name
        lines = [
            f"{counted(len(self.plan.steps), 'step')} are forgotten; sources and backups stay.",
            f"Same as: holdfast plan remove {name}",
        ]
        if await self.console.ask(TypeName(f"FORGET PLAN {name}", lines, name)):
            await self.console.engine.remove_plan(name)
            self.console.tell(f"plan {name} is forgotten")
            self.reload()

    async def do_plans_new(self) -> None:
        """The wizard."""
        await self._edit("")

    async def do_plans_edit(self) -> None:
        """The wizard, with what is there."""
        await self._edit(self.plan.name)

    async def _edit(self, name: str) -> None:
        await (wizards.edit_plan(self.console, name) if name else wizards.add_plan(self.console))
        self.reload()


def _planned(result: PlanResult) -> list[str]:
    """What each step would do, or why it cannot."""
    lines = []
    for number, each in enumerate(result.steps, 1):
        lines.append(
            printable(f"{number}. {each.source}: {each.status}{f', {each.detail}' if each.detail else ''}")
        )
        lines += [f"   {line}" for line in told.restored(each.restore)] if each.restore is not None else []
    return lines


def _row(plan: Plan) -> Row:
    steps = printable(", ".join(each.source for each in plan.steps))
    budget = clock(plan.budget_s) if plan.budget_s is not None else "-"
    return Row(
        plan.name,
        (plan.name, steps, budget, printable(plan.note)),
        "",
        (plan.name, steps, plan.budget_s, plan.note),
    )
