"""plan add|edit|list|show|run|drill|remove: recovery plans."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Final

from engine.cli import asking, definitions, diagnostics
from engine.cli.command import Call, Command, Parser, add_name, declare_name, declare_nothing
from engine.cli.detach import add_detach, hand_over, is_detached
from engine.cli.options import add_key, add_limits, add_yes, limits, seconds
from engine.cli.output import Column, Output, shape
from engine.model import plan_steps, text, told, when
from engine.model.drills import can_be_undone
from engine.model.names import check_name
from engine.model.plans import Plan, PlanRequest, PlanResult, PlanStep
from engine.model.spans import span

_COLOURS: Final = {"ok": "32", "completed": "32", "passed": "32", "failed": "31"}


def _declare_add(parser: Parser) -> None:
    add_name(parser, "plan")
    parser.add_argument(
        "--step",
        action="append",
        default=[],
        required=True,
        metavar="'SOURCE OPTIONS'",
        help="a source and the options of its restore, as `holdfast restore` has them, in order (may be repeated); besides them "
        "--go-on: the next step is taken also where this one failed; and of its drill --check SQL=EXPECTED, --level, --scenario, "
        "and --drill-host HOST: where its throwaway server is started",
    )
    parser.add_argument("--budget", type=seconds, metavar="SECONDS", help="all of it must take no longer")
    parser.add_argument("--note", default="", metavar="TEXT", help="what a person must know")


async def _add(call: Call) -> int:
    arguments = call.arguments
    check_name("plan", arguments.name)
    steps = tuple(parse_step(each) for each in arguments.step)
    plan = await call.engine.add_plan(Plan(arguments.name, steps, arguments.budget, arguments.note))
    call.output.line(
        f"plan {plan.name} is written down: {text.counted(len(steps), 'step')}; `holdfast plan drill {plan.name}` rehearses it"
    )
    call.output.result(shape(plan))
    return diagnostics.DONE


def parse_step(given: str) -> PlanStep:
    """A step as it is typed: a source's name, and the options of its restore. Raises: UsageError."""
    return plan_steps.read_step(given, definitions.absolute)


def _declare_edit(parser: Parser) -> None:
    add_name(parser, "plan")
    parser.add_argument(
        "--step", action="append", metavar="'SOURCE OPTIONS'", help="in place of all steps (may be repeated)"
    )
    parser.add_argument("--budget", type=seconds, metavar="SECONDS", help="all of it must take no longer")
    parser.add_argument("--note", metavar="TEXT", help="what a person must know")
    definitions.add_unset(parser)


async def _edit(call: Call) -> int:
    arguments = call.arguments
    old = await call.engine.show_plan(arguments.name)
    changes = definitions.changes(arguments, ("step", "budget", "note"), "plan")
    new = old
    if "step" in changes:
        new = dataclasses.replace(new, steps=tuple(parse_step(each) for each in arguments.step or ()))
    if "budget" in changes:
        new = dataclasses.replace(new, budget_s=arguments.budget)
    if "note" in changes:
        new = dataclasses.replace(new, note=arguments.note or "")
    plan = await call.engine.edit_plan(new)
    call.output.line(f"plan {plan.name} is changed: {text.counted(len(plan.steps), 'step')}")
    call.output.result(shape(plan))
    return diagnostics.DONE


async def _list(call: Call) -> int:
    plans = await call.engine.plans()
    heads = [Column("PLAN"), Column("STEPS", is_flexible=True), Column("BUDGET")]
    rows = [
        [each.name, ", ".join(step.source for step in each.steps), _span(each.budget_s)] for each in plans
    ]
    call.output.table(heads, rows)
    call.output.items([shape(each) for each in plans])
    return diagnostics.DONE


async def _show(call: Call) -> int:
    plan = await call.engine.show_plan(call.arguments.name)
    pairs = [("name", plan.name)]
    pairs += [("budget", _span(plan.budget_s))] if plan.budget_s is not None else []
    pairs += [("note", plan.note)] if plan.note else []
    pairs += [(f"step {number}", told.plan_step(step)) for number, step in enumerate(plan.steps, 1)]
    definitions.show_pairs(call.output, pairs)
    call.output.result(shape(plan))
    return diagnostics.DONE


def _span(span_s: float | None) -> str:
    return span(span_s) if span_s is not None else ""


def _declare_run(parser: Parser) -> None:
    add_name(parser, "plan")
    parser.add_argument("--at", metavar="WHEN", help="as everything was then")
    parser.add_argument("--budget", type=seconds, metavar="SECONDS", help="in place of the plan's own")
    add_detach(parser)
    add_key(parser)
    add_limits(parser)


def _declare_real_run(parser: Parser) -> None:
    _declare_run(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what each step would do")
    add_yes(parser)


def _declare_drill(parser: Parser) -> None:
    _declare_run(parser)
    parser.add_argument("--by", action="append", default=[], metavar="NAME", help="who takes part")
    parser.add_argument("--note", default="", metavar="TEXT", help="goes into the evidence")


async def _run(call: Call) -> int:
    arguments = call.arguments
    is_handed_over = is_detached(call)
    plan = await call.engine.show_plan(arguments.name)
    replaced = [each.source for each in plan.steps if each.restore.is_in_place or each.restore.is_deleting]
    if replaced and not arguments.dry_run:
        await asking.require_yes(
            call, f"run plan {plan.name}, which replaces what is live of {', '.join(replaced)}?"
        )
    request = PlanRequest(
        plan.name,
        at=_instant(call),
        is_dry_run=arguments.dry_run,
        budget_s=arguments.budget,
        limits=limits(arguments),
    )
    if is_handed_over:
        return await hand_over(call, "plan", request)
    result = await call.engine.run_plan(request, idempotency_key=arguments.idempotency_key)
    tell(call.output, result)
    call.output.result(shape(result))
    return diagnostics.exit_of(result.status)


async def _drill(call: Call) -> int:
    arguments = call.arguments
    request = PlanRequest(
        arguments.name,
        is_drill=True,
        at=_instant(call),
        budget_s=arguments.budget,
        by=tuple(arguments.by),
        note=arguments.note,
        limits=limits(arguments),
    )
    if is_detached(call):
        return await hand_over(call, "plan", request)
    result = await call.engine.run_plan(request, idempotency_key=arguments.idempotency_key)
    tell(call.output, result)
    call.output.result(shape(result))
    return diagnostics.DONE if result.status == "passed" else diagnostics.PROOF_FAILED


def _instant(call: Call) -> datetime.datetime | None:
    if not call.arguments.at:
        return None
    return when.parse(call.arguments.at, call.clock.now(), call.clock.local_offset)


def tell(output: Output, result: PlanResult, *, steps_told: int = 0) -> None:
    """Steps with their times but for the first so many, and the verdict, for people."""
    for number, step in list(enumerate(result.steps, 1))[steps_told:]:
        status = output.styled(f"{step.status:<8}", _COLOURS.get(step.status, "33"))
        output.line(
            f"  {status} {span(step.duration_s):>8}  {number}. {step.source}  {text.printable(step.detail)}".rstrip()
        )
        if step.restore is not None and not result.is_dry_run and can_be_undone(step.restore):
            output.line(f"{'':>21}holdfast rollback {step.restore.job_id} undoes it")
    verdict = told.plan_verdict(result)
    output.line(
        output.styled(result.status, _COLOURS.get(result.status, "33")) + verdict.removeprefix(result.status)
    )
    if result.report:
        output.line(f"  evidence: {text.printable(result.report)}")


ADD = Command(_declare_add, _add)
EDIT = Command(_declare_edit, _edit)
LIST = Command(declare_nothing, _list)
SHOW = Command(declare_name("plan"), _show)
RUN = Command(_declare_real_run, _run, is_job=True)
DRILL = Command(_declare_drill, _drill, is_job=True)
REMOVE = definitions.removal(
    "plan",
    lambda engine, name: engine.remove_plan(name),
    lambda engine, name: engine.show_plan(name),
)
