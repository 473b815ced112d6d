"""The contract of a source whose server has no place beside what it holds: in place it is emptied, and filled again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from engine.model.manifest import CheckResult, DatabaseFacts


@dataclass(frozen=True, slots=True)
class RefillPlan:
    """What a server would get, and lose."""

    arriving: DatabaseFacts
    going: DatabaseFacts


class Refill(Protocol):
    """A dump on its way into a live server, in the place of what that holds. It comes twice: first it is measured, then it is loaded."""

    async def measure(self, data: bytes) -> None:
        """The next bytes of the dump, the first time. Raises: SourceError, IncompleteDumpError."""
        ...

    async def require_possible(self) -> RefillPlan:
        """Called once, after all was measured; changes nothing. Raises: RefusedError, SourceError where the server could not take it; HostError."""
        ...

    async def empty(self) -> None:
        """Removes what the server holds. Where it raises, some of that may be gone already. Raises: SourceError, HostError."""
        ...

    async def write(self, data: bytes) -> None:
        """The next bytes of the dump, the second time. Raises: SourceError, HostError."""
        ...

    async def finish(self) -> Sequence[CheckResult]:
        """Called once, after the last byte: waits until all is there, and looks whether it is. Raises: SourceError, HostError."""
        ...


@runtime_checkable
class RefillableSource(Protocol):
    """A server in which nothing can be loaded beside what it holds: in place it is emptied, and filled again."""

    def refill(
        self, facts: DatabaseFacts, databases: Sequence[str], seed: int
    ) -> AbstractAsyncContextManager[Refill]:
        """Of all that it holds, or of these databases alone; `facts` are the dump's, `seed` chooses what is looked at in the end.

        Raises on entering: UnknownNameError.
        """
        ...
