"""--detach: a job is handed to a worker, with its turn and its last moment, and the verb ends at once."""

from __future__ import annotations

import argparse
from typing import Final

from engine.cli import diagnostics
from engine.cli.command import Call, Parser
from engine.errors import UsageError
from engine.model import when
from engine.model.job import Job, QueueRule

_MOST_PRIORITY: Final = 100


def add_detach(parser: Parser) -> None:
    """The options of a verb that a worker may run."""
    group = parser.add_argument_group("to a worker")
    group.add_argument("--detach", action="store_true", help="hand it to a worker, and print the job's id")
    group.add_argument(
        "--priority",
        type=_priority,
        metavar="N",
        help=f"the highest goes first, {-_MOST_PRIORITY} to {_MOST_PRIORITY} (0)",
    )
    group.add_argument(
        "--deadline", metavar="WHEN", help="a job that has not begun by then fails: 2h, 2026-11-20 06:00"
    )


def _priority(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and int(digits) <= _MOST_PRIORITY):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no whole number from {-_MOST_PRIORITY} to {_MOST_PRIORITY}"
        )
    return int(text)


def is_detached(call: Call) -> bool:
    """Whether the job is a worker's. Raises: UsageError where an option says how, and none that it is."""
    arguments = call.arguments
    if not arguments.detach and (arguments.priority is not None or arguments.deadline):
        raise UsageError("--priority and --deadline are a worker's business", hint="add --detach")
    return bool(arguments.detach)


async def hand_over(call: Call, verb: str, request: object) -> int:
    """Queues the job, says so, and gives the exit code. Raises: UsageError, RefusedError."""
    job = await submit(call, verb, request, getattr(call.arguments, "idempotency_key", ""))
    call.output.result({"job_id": job.job_id, "status": job.status.value})
    return diagnostics.DONE


async def submit(call: Call, verb: str, request: object, key: str) -> Job:
    """Queues a job by the options, under that idempotency key, and says so. Raises: UsageError, RefusedError."""
    arguments = call.arguments
    now = call.clock.now()
    deadline = (
        when.parse_ahead(arguments.deadline, now, call.clock.local_offset) if arguments.deadline else None
    )
    if deadline is not None and deadline <= now:
        raise UsageError(f"the deadline {arguments.deadline} is over already", hint="say 2h, or a later one")
    job = await call.engine.submit(
        verb,
        request,
        idempotency_key=key,
        rule=QueueRule(priority=arguments.priority or 0, deadline=deadline),
    )
    call.output.line(f"job {job.job_id} is {job.status.value}; `holdfast job follow {job.job_id}` watches it")
    return job
