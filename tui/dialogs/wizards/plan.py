"""A recovery plan: several sources that are brought back one after the other, a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from engine.errors import UnknownNameError, UsageError
from engine.model.options import Option
from engine.model.plan_steps import read_step, step_text
from engine.model.plans import Plan
from engine.model.secret import Secret
from engine.model.text import age
from tui import paths
from tui.dialogs.fields import Check, Field, Values
from tui.dialogs.wizards.wizard import Wizard

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_MORE_STEPS: Final = 20
"""Fields that are there to be filled, behind those that are."""
_BUDGET: Final = Option("budget", "", type="span")
_EXPLAINED: Final = (
    "SOURCE --in-place, --into NAME or --to DIR, as holdfast restore; --go-on, --check SQL=EXPECTED"
)


class PlanWizard(Wizard[Plan]):
    """Of a plan: the field of a further step comes when the one before is filled."""

    noun = "plan"

    def fields(self) -> list[Field]:
        """Steps in their order."""
        old = self.old
        steps = [step_text(each) for each in old.steps] if old is not None else []
        named = [Field("name", "name", "", "what it is called", is_needed=True, check=self.check_name_field)]
        budget = _BUDGET.shown(old.budget_s) if old is not None and old.budget_s is not None else ""  # type: ignore[arg-type]
        return [
            *(named if old is None else []),
            *[self._step(number, value) for number, value in enumerate([*steps, *[""] * _MORE_STEPS])],
            Field("budget", "budget", budget, "all of it must take no longer: 2h"),
            Field("note", "note", old.note if old is not None else "", "what a person must know"),
        ]

    def _step(self, number: int, value: str) -> Field:
        return Field(
            f"step-{number}",
            f"step {number + 1}",
            value,
            _EXPLAINED,
            check=self._known(number),
            offers=self.offered,
            is_shown=lambda values: (
                number == 0 or bool(values.get(f"step-{number - 1}") or values.get(f"step-{number}"))
            ),
        )

    def _known(self, number: int) -> Check:
        async def check(values: Values) -> str:
            given = values.get(f"step-{number}", "")
            if not given:
                return ""
            step = read_step(given, paths.absolute)
            await self.engine.show_source(step.source)
            try:
                newest = await self.engine.latest_backup(step.source)
            except UnknownNameError:
                return "never backed up yet"
            return f"newest {age(newest.created_at, self.engine.now())} old"

        return check

    async def offered(self, _values: Values) -> Sequence[tuple[str, str]]:
        """Each source, in the ways that it is mostly brought back."""
        offered = []
        for each in await self.engine.sources():
            offered.append((f"{each.name} --in-place", f"{each.name:<20} in place of what is live"))
            if each.kind != "files":
                offered.append(
                    (f"{each.name} --into {each.name}_restored", f"{each.name:<20} beside what is live")
                )
        return offered

    def definition(self, values: Values) -> tuple[Plan, Mapping[str, Secret]]:
        """Raises: UsageError, which names the step."""
        name = self.old.name if self.old is not None else values.get("name", "")
        steps = []
        for number, given in enumerate(text for field, text in values.items() if field.startswith("step-")):
            if not given:
                continue
            try:
                steps.append(read_step(given, paths.absolute))
            except UsageError as error:
                raise UsageError(f"step {number + 1}: {error.message}", hint=error.hint) from error
        budget_s = _BUDGET.read(values.get("budget", ""))
        assert budget_s is None or isinstance(budget_s, int | float)
        return Plan(name, tuple(steps), budget_s, values.get("note", "")), {}

    async def save(self, values: Values) -> None:
        """Raises: errors of the engine."""
        plan, _ = self.definition(values)
        self.require_name(plan.name)
        change = self.engine.add_plan if self.old is None else self.engine.edit_plan
        self.done = await change(plan)


async def add_plan(console: ConsoleApp) -> Plan | None:
    """A new plan."""
    taken = [each.name for each in await console.engine.plans()]
    done = await PlanWizard(console, taken=taken).run("New recovery plan")
    if done is not None:
        console.tell(f"plan {done.name} is written down: a drill of it rehearses it")
    return done


async def edit_plan(console: ConsoleApp, name: str) -> Plan | None:
    """Other steps. Raises: UnknownNameError."""
    done = await PlanWizard(console, await console.engine.show_plan(name)).run()
    if done is not None:
        console.tell(f"plan {name} is changed")
    return done
