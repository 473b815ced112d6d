"""Batches: jobs that were asked for together, of which one runs at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.model.job import Job, JobStatus

_PREFIX: Final = "one by one"
_NAMED: Final = 12
_PASSED: Final = frozenset(("passed", "completed"))


def key_of(batch_id: str, number: int) -> str:
    """The idempotency key of a batch's job: jobs of a batch are found by it, in their order."""
    return f"{_PREFIX} {batch_id} {number:05}"


def slot_of(batch_id: str) -> str:
    """The place that each of its jobs takes: there is one, so one of them runs at a time, whichever worker takes it."""
    return f"batch:{batch_id}"


def batch_of(job: Job) -> str:
    """The id of the batch that a job is of; empty where it is of none."""
    words = job.idempotency_key.split(" ")
    return words[3] if len(words) == 5 and job.idempotency_key.startswith(f"{_PREFIX} ") else ""


@dataclass(frozen=True, slots=True)
class Member:
    """A job of a batch."""

    job_id: str
    verb: str
    about: str
    """The source that it is about, or else the backup."""
    status: JobStatus
    verdict: str = ""
    """passed, failed, inconclusive, damaged: what it found, where it found anything."""

    @property
    def word(self) -> str:
        """What came of it: its verdict, or how its job ended; empty while it is not over."""
        return (self.verdict or self.status.value) if self.status.is_final else ""

    @property
    def is_passed(self) -> bool:
        """Whether it is over, and proved what it was to prove."""
        return self.word in _PASSED


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of jobs that run one after the other."""

    batch_id: str
    members: Sequence[Member]

    @property
    def open(self) -> Sequence[Member]:
        """Those that wait or run."""
        return [each for each in self.members if not each.status.is_final]

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left to do."""
        return not self.open

    @property
    def is_passed(self) -> bool:
        """Whether all of it is over and passed."""
        return all(each.is_passed for each in self.members)

    def words(self) -> str:
        """Its tally, or at its end its verdict: `drills: 3 of 12 over, 2 passed, 1 failed: crm`, `12 drills: 11 passed, 1 failed: crm`."""
        total, left = len(self.members), len(self.open)
        verb = self.members[0].verb if self.members else "job"
        noun = _NOUNS.get(verb, f"{verb} job")
        nouns = f"{noun}s" if total != 1 else noun
        if not left:
            return f"{total} {nouns}: {self._found()}"
        return ", ".join(filter(None, [f"{nouns}: {total - left} of {total} over", self._found()]))

    def _found(self) -> str:
        passed = sum(each.is_passed for each in self.members)
        others: dict[str, list[str]] = {}
        for each in self.members:
            if each.word and not each.is_passed:
                others.setdefault(each.word, []).append(each.about)
        parts = [f"{passed} passed"] if passed or others or self.is_over else []
        for word, names in others.items():
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            parts.append(f"{len(names)} {word} ({', '.join(names[:_NAMED])}{more})")
        return ", ".join(parts)


_NOUNS: Final = {"drill": "drill", "verify": "verification"}
