"""The folders of a repository on an SFTP server: made, listed, cleaned. Names and attributes are what a stranger says."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Coroutine, Sequence

import asyncssh

from engine import errors
from engine.scope import task_scope
from engine.storages.base import PACK_FOLDER, Kind
from engine.storages.sftp import failures

AT_ONCE = 16
"""Folders that one session lists or makes without waiting for the answer about the one before."""
MOST_ENTRIES = 2_000_000
"""In one folder; the packs of 100 TB are 25,000 in each of theirs."""
FOLDER_RIGHTS = 0o700


def join(folder: bytes, name: bytes) -> bytes:
    """The path of what lies in a folder."""
    return folder.rstrip(b"/") + b"/" + name


def is_other(attributes: asyncssh.SFTPAttrs) -> bool:
    """Whether the server says that it is something else than a file: a folder, a device."""
    permissions = attributes.permissions
    if permissions is not None and stat.S_IFMT(permissions):
        return not stat.S_ISREG(permissions)
    return attributes.type not in (asyncssh.FILEXFER_TYPE_REGULAR, asyncssh.FILEXFER_TYPE_UNKNOWN)


async def make_all(client: asyncssh.SFTPClient, root: bytes) -> None:
    """Makes the directory, its parents, and all folders with the 256 of the packs; what is there stays. Raises: SFTPError."""
    await _make_with_parents(client, root)
    for kind in Kind:
        if kind is not Kind.CONFIG:
            await _make(client, join(root, kind.value.encode()))
    packs = join(root, Kind.PACK.value.encode())
    there = {bytes(each[-2:]) for each in await of_kind(client, root, Kind.PACK)}
    missing = [join(packs, name) for number in range(256) if (name := b"%02x" % number) not in there]
    await _of_each(missing, lambda folder: _make(client, folder))


async def make_between(client: asyncssh.SFTPClient, root: bytes, path: bytes) -> None:
    """Makes the folders between the root, which is there, and a file. Raises: SFTPError."""
    inner = path[len(root.rstrip(b"/")) + 1 :].split(b"/")[:-1]
    folder = root
    for name in inner:
        folder = join(folder, name)
        await _make(client, folder)


async def of_kind(client: asyncssh.SFTPClient, root: bytes, kind: Kind) -> Sequence[bytes]:
    """The folders that hold objects of that kind, those of the packs as found on the server. Raises: SFTPError, StorageError."""
    folder = join(root, kind.value.encode())
    if kind is not Kind.PACK:
        return [folder]
    found = await _entries(client, folder, lambda name: PACK_FOLDER.fullmatch(name) is not None)
    return [join(folder, each.encode()) for each in sorted(found)]


async def read(
    client: asyncssh.SFTPClient, folders: Sequence[bytes], is_wanted: Callable[[str], bool]
) -> list[tuple[bytes, str, int]]:
    """Folder, name and size in bytes of the files of these folders whose names are wanted; a folder that is missing holds none.

    Raises: SFTPError; StorageError for a folder without end.
    """
    found: list[tuple[bytes, str, int]] = []

    async def read_one(folder: bytes) -> None:
        for name, attributes in (await _entries(client, folder, is_wanted)).items():
            is_plain = attributes.size is not None and not is_other(attributes)
            size = attributes.size if is_plain else await size_of_file(client, join(folder, name.encode()))
            if size is not None:
                found.append((folder, name, size))

    await _of_each(folders, read_one)
    return found


async def _of_each(folders: Sequence[bytes], call: Callable[[bytes], Coroutine[None, None, None]]) -> None:
    """Some of them at a time."""
    for begin in range(0, len(folders), AT_ONCE):
        async with task_scope() as group:
            for folder in folders[begin : begin + AT_ONCE]:
                group.create_task(call(folder))


async def size_of_file(client: asyncssh.SFTPClient, path: bytes) -> int | None:
    """Its size in bytes, links followed; None where it is no file, or is not there. Raises: SFTPError."""
    try:
        attributes = await client.stat(path)
    except failures.MISSING:
        return None
    return None if is_other(attributes) else attributes.size


async def remove_older(
    client: asyncssh.SFTPClient, root: bytes, is_leftover: Callable[[str], bool], before: float
) -> int:
    """Removes files with such a name that were last changed before that Unix time in seconds; returns how many. Raises: SFTPError, StorageError."""
    removed: list[bytes] = []
    folders = [root]
    for kind in Kind:
        folders += await of_kind(client, root, kind) if kind is not Kind.CONFIG else ()

    async def clean(folder: bytes) -> None:
        for name, attributes in (await _entries(client, folder, is_leftover)).items():
            if not is_other(attributes) and attributes.mtime is not None and attributes.mtime < before:
                path = join(folder, name.encode())
                with contextlib.suppress(*failures.MISSING):
                    await client.remove(path)
                    removed.append(path)

    await _of_each(folders, clean)
    return len(removed)


async def _entries(
    client: asyncssh.SFTPClient, folder: bytes, is_wanted: Callable[[str], bool]
) -> dict[str, asyncssh.SFTPAttrs]:
    """The entries with a wanted name, which is ASCII; none where the folder is missing."""
    found: dict[str, asyncssh.SFTPAttrs] = {}
    count = 0
    with contextlib.suppress(*failures.MISSING):
        async for entry in client.scandir(folder):
            count += 1
            if count > MOST_ENTRIES:
                raise errors.StorageError(f"the server lists over {MOST_ENTRIES} names in one folder")
            name = entry.filename
            text = name.decode("ascii", errors="replace") if isinstance(name, bytes) else name
            if is_wanted(text):
                found[text] = entry.attrs
    return found


async def _make(client: asyncssh.SFTPClient, folder: bytes) -> None:
    """Makes one folder, unless it is there: servers say of that no more than "failure"."""
    try:
        await client.mkdir(folder, asyncssh.SFTPAttrs(permissions=FOLDER_RIGHTS))
    except asyncssh.SFTPError as error:
        try:
            permissions = (await client.stat(folder)).permissions
        except asyncssh.SFTPError:
            raise error from None
        if permissions is not None and not stat.S_ISDIR(permissions):
            raise


async def _make_with_parents(client: asyncssh.SFTPClient, folder: bytes) -> None:
    try:
        await client.stat(folder)
    except failures.MISSING:
        parent = folder.rstrip(b"/").rpartition(b"/")[0]
        if parent and parent != folder:
            await _make_with_parents(client, parent)
        await _make(client, folder)
