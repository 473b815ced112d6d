"""A task group whose error is the error, not a group of one.

asyncio.TaskGroup wraps whatever goes wrong in an ExceptionGroup. People and exit codes need the one error that mattered: the first that
holdfast raised on purpose, else the first of all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from engine.errors import HoldfastError


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """All exceptions of a group that are no groups themselves, first to last."""
    for member in group.exceptions:
        if isinstance(member, BaseExceptionGroup):
            yield from leaves(member)
        else:
            yield member


def first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that mattered: the first HoldfastError, else the first exception."""
    found = list(leaves(group))
    return next((each for each in found if isinstance(each, HoldfastError)), found[0])


@asynccontextmanager
async def task_scope() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup that raises its first cause alone. Tasks started in it end with it."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as error:
        cause = first_cause(error)
        raise cause from cause.__cause__
