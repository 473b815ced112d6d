"""Commands about files and folders of an FTP server, on one connection. Paths are absolute. Raises: aioftp's errors, for `failures`."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aioftp

from engine import errors
from engine.storages.base import Buffer
from engine.storages.ftp import failures
from engine.storages.ftp.client import Client
from engine.storages.ftp.listing import Entry, parse_list, parse_mlsd

PIECE_BYTES = 256 << 10
MOST_ENTRIES = 2_000_000
"""In one folder; the packs of 100 TB are 25,000 in each of theirs."""
RENAME_TRIES = 20


async def working_folder(client: Client) -> str:
    """Where a login leads."""
    return str(await client.get_current_directory())


async def is_folder(client: Client, path: str) -> bool:
    """Whether it can be entered."""
    try:
        await client.command(f"CWD {path}", "2xx")
    except aioftp.StatusCodeError as error:
        if not failures.is_refusal(error):
            raise
        return False
    return True


async def size(client: Client, path: str) -> int | None:
    """The file's size in bytes; None where the server tells none."""
    try:
        _, lines = await client.command(f"SIZE {path}", "213")
    except aioftp.StatusCodeError as error:
        if not failures.is_refusal(error):
            raise
        return None
    said = lines[-1].strip()
    return int(said) if said.isascii() and said.isdigit() and len(said) <= 18 else None


async def changed(client: Client, path: str) -> float | None:
    """When it was last changed, as a Unix time in seconds; None where the server does not tell."""
    try:
        _, lines = await client.command(f"MDTM {path}", "213")
        at = datetime.datetime.strptime(lines[-1].strip()[:14], "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
    except aioftp.StatusCodeError as error:
        if not failures.is_in_order(error):
            raise
        return None
    except ValueError:
        return None
    return at.timestamp()


async def make(client: Client, path: str) -> None:
    """Makes a folder, unless it is there."""
    try:
        await client.command(f"MKD {path}", "2xx")
    except aioftp.StatusCodeError as error:
        if not failures.is_in_order(error) or not await is_folder(client, path):
            raise


async def remove(client: Client, path: str) -> None:
    """Removes a file that may be gone."""
    try:
        await client.command(f"DELE {path}", "2xx")
    except aioftp.StatusCodeError as error:
        if not failures.is_refusal(error) or await size(client, path) is not None:
            raise


async def rename(client: Client, old: str, new: str) -> None:
    """Gives the file its name, in place of what has it; servers that rename over nothing have that removed first."""
    for tried in range(RENAME_TRIES):
        try:
            await client.command(f"RNFR {old}", "350")
            await client.command(f"RNTO {new}", "2xx")
        except aioftp.StatusCodeError as error:
            if tried == RENAME_TRIES - 1 or not failures.is_refusal(error):
                raise
            # Others may write the same object at the same time, be first again and again, and have removed it a moment ago.
            if await size(client, new) is not None:
                await remove(client, new)
        else:
            return


async def store(client: Client, path: str, parts: Sequence[Buffer]) -> None:
    """Sends a file."""
    async with _transfer(client, f"STOR {path}") as stream:
        waiting = bytearray()
        for part in parts:
            view = memoryview(part).cast("B")
            for begin in range(0, len(view), PIECE_BYTES):
                waiting += view[begin : begin + PIECE_BYTES]
                if len(waiting) >= PIECE_BYTES:
                    await stream.write(bytes(waiting))
                    waiting.clear()
        if waiting:
            await stream.write(bytes(waiting))


async def retrieve(client: Client, path: str, offset: int, length: int | None) -> bytes:
    """What is there from the offset, at most `length` bytes; the transfer is broken off where that is had."""
    found = bytearray()
    stream = await client.transfer(f"RETR {path}", offset)
    try:
        while length is None or len(found) < length:
            piece = await stream.read(PIECE_BYTES)
            if not piece:
                break
            found += piece
    except BaseException:
        stream.close()
        raise
    is_whole = length is None or len(found) < length
    # A transfer that ends by itself must be said to have ended well; one that we broke off ends in one way or another.
    await stream.finish("2xx" if is_whole else ("2xx", "4xx", "5xx"), "1xx")
    return bytes(found if length is None else found[:length])


async def entries(
    client: Client, folder: str, is_wanted: Callable[[str], bool], *, has_mlsd: bool
) -> list[Entry] | None:
    """The entries with a wanted name; None where the folder is missing. Raises: StorageError for a folder without end."""
    if not await is_folder(client, folder):
        return None
    parse = parse_mlsd if has_mlsd else parse_list
    found: dict[str, Entry] = {}
    count = 0
    async with _transfer(client, "MLSD" if has_mlsd else "LIST") as stream:
        while line := await stream.readline():
            count += 1
            if count > MOST_ENTRIES:
                raise errors.StorageUnreachableError(
                    f"the server lists over {MOST_ENTRIES} names in one folder"
                )
            entry = parse(line)
            if entry is not None and is_wanted(entry.name):
                found[entry.name] = entry
    return list(found.values())


async def knows_mlsd(client: Client) -> bool:
    """Whether it lists in the one way that is laid down (RFC 3659)."""
    with contextlib.suppress(aioftp.StatusCodeError):
        _, lines = await client.command("FEAT", "2xx")
        # The feature is called by the command about one file.
        return any(line.strip().upper().startswith("MLST") for line in lines)
    return False


@asynccontextmanager
async def _transfer(
    client: Client, command: str
) -> AsyncIterator[aioftp.client.DataConnectionThrottleStreamIO]:
    """A data connection, at whose end the server must say that all went well."""
    stream = await client.transfer(command)
    try:
        yield stream
    except BaseException:
        stream.close()
        raise
    await stream.finish()
