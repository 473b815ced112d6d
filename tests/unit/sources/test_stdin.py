"""Standard input as a source."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import IncompleteDumpError, SourceError
from engine.sources.base import DirectStream
from engine.sources.stdin import StdinSource
from tests.families.sources import read_item


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The end to read and the end to write, of which the test closes the second."""
    read_end, write_end = os.pipe()
    yield read_end, write_end
    os.close(read_end)


async def test_what_is_piped_in_comes_whole(pipe: tuple[int, int]) -> None:
    """`pg_dump | holdfast backup --stdin` must lose nothing, and say what it cannot know."""
    data = os.urandom(5 << 20)

    def write() -> None:
        with open(pipe[1], "wb") as file:  # noqa: PTH123 -- a descriptor
            file.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    path, came, warnings = await read_item(StdinSource("dump.sql", pipe[0]))
    thread.join()
    assert (path, came == data, len(warnings)) == ("dump.sql", True, 1)
    assert os.get_blocking(pipe[0])


async def test_what_is_piped_in_can_be_read_into_memory_of_any_length(pipe: tuple[int, int]) -> None:
    """This spares a copy of everything."""
    os.write(pipe[1], b"first and last")
    os.close(pipe[1])
    (item,) = await StdinSource("dump.sql", pipe[0]).items()
    room = bytearray(6)
    came = []
    async with item.open() as stream:
        assert isinstance(stream, DirectStream)
        while count := await stream.read_into(memoryview(room)):
            came.append(bytes(room[:count]))
        await stream.judge()
    assert came == [b"first ", b"and la", b"st"]


async def test_an_empty_input_is_no_backup(pipe: tuple[int, int]) -> None:
    """The command ahead of the pipe failed, and the shell told nobody."""
    os.close(pipe[1])
    with pytest.raises(IncompleteDumpError, match="empty") as caught:
        await read_item(StdinSource("dump.sql", pipe[0]))
    assert "pipefail" in str(caught.value.hint)


async def test_a_file_can_be_standard_input(tmp_path: Path) -> None:
    """`holdfast backup --stdin NAME < FILE`."""
    (tmp_path / "dump").write_bytes(b"x" * 3_000_000)
    descriptor = os.open(tmp_path / "dump", os.O_RDONLY)
    try:
        assert (await read_item(StdinSource("dump", descriptor)))[1] == b"x" * 3_000_000
    finally:
        os.close(descriptor)


async def test_a_terminal_is_refused() -> None:
    """Nobody types a dump; the command would seem to hang."""
    ours, theirs = os.openpty()
    try:
        with pytest.raises(SourceError, match="terminal"):
            await StdinSource("dump", theirs).check()
    finally:
        os.close(ours)
        os.close(theirs)


async def test_a_backup_that_waits_for_input_can_be_cancelled(pipe: tuple[int, int]) -> None:
    """Ctrl-C must not wait for the writer."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await read_item(StdinSource("dump", pipe[0]))
    os.close(pipe[1])
