"""Whatever runs as a job can be handed to a worker."""

from __future__ import annotations

import pytest

from engine.cli import dispatch
from engine.cli.verbs import VERBS
from engine.service.job_kinds import KINDS

ALONE = {"dump", "notify flush", "worker"}
"""What writes to standard output, and what is done by workers themselves."""


def _is_detachable(verb: str) -> bool:
    parser = dispatch.build_parser(verb, dispatch.load(verb))
    return "--detach" in parser.format_help()


def test_every_verb_that_is_a_job_can_be_handed_to_a_worker() -> None:
    """A session that ends must end no job, whichever it is."""
    jobs = {verb for verb in VERBS if dispatch.load(verb).is_job} - ALONE
    assert {verb for verb in jobs if not _is_detachable(verb)} == set()
    assert len(jobs) >= len(KINDS) - 1  # a report is made by a schedule


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_no_two_kinds_of_jobs_take_the_same_request_but_for_the_one_of_its_verb(kind: object) -> None:
    """So that a request tells which job it is of."""
    requests = [each.request for each in KINDS.values()]
    assert len(set(requests)) == len(requests)
