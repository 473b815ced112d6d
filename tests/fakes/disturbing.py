"""A job that is cut off in the middle: cancelled from outside, or at one of its awaits, counted over all tasks that it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any

from engine.errors import HoldfastError


async def attempt(run: Callable[[], Coroutine[Any, Any, object]]) -> BaseException | None:
    """Runs it as a task of its own; gives what it ended with."""
    async with asyncio.timeout(100), asyncio.TaskGroup() as group:
        task = group.create_task(_caught(run))
    return None if task.cancelled() else task.result()


async def _caught(run: Callable[[], Awaitable[object]]) -> BaseException | None:
    try:
        await run()
    except (HoldfastError, asyncio.CancelledError) as error:
        return error
    return None


class Steps:
    """Counts the steps of all tasks that a job is made of, and cancels the job at one of them."""

    def __init__(self, at: int) -> None:
        self.count = 0
        self.at = at
        self.victim: asyncio.Task[object] | None = None

    def step(self) -> None:
        """One task is about to go on to its next await."""
        if self.victim is None or self.victim.done():
            return
        self.count += 1
        if self.count == self.at:
            self.victim.cancel()


class _Stepped(Awaitable[Any]):
    """A coroutine that counts its steps."""

    def __init__(self, inner: Coroutine[Any, Any, Any], steps: Steps) -> None:
        self._inner = inner
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, Any]:
        self._steps.step()
        thrown: BaseException | None = None
        while True:
            try:
                yielded = self._inner.send(None) if thrown is None else self._inner.throw(thrown)
            except StopIteration as end:
                return end.value
            thrown = None
            try:
                yield yielded
            except BaseException as error:  # noqa: BLE001 -- it is thrown on into the coroutine
                thrown = error
            self._steps.step()


@asynccontextmanager
async def counting(steps: Steps) -> AsyncIterator[None]:
    """Counts the steps of all tasks that the body makes."""
    loop = asyncio.get_running_loop()

    async def wrapped(inner: Coroutine[Any, Any, Any]) -> Any:
        return await _Stepped(inner, steps)

    def make_task(
        loop: asyncio.AbstractEventLoop, inner: Coroutine[Any, Any, Any], **named: Any
    ) -> asyncio.Task[Any]:
        return asyncio.Task(wrapped(inner), loop=loop, **named)

    loop.set_task_factory(make_task)  # type: ignore[arg-type]
    try:
        yield
    finally:
        loop.set_task_factory(None)
