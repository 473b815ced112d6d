"""Writing plain files over SFTP, for hosts without GNU tar. What SFTP version 3 cannot say (fractions of seconds, extended attributes) is left out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncssh

from engine.errors import HoldfastError
from engine.hosts.base import FileSink, FileStatus, WritableFiles
from engine.hosts.ssh.failures import translated
from engine.hosts.ssh.files import SftpFiles

_LATEST_S: Final = (1 << 32) - 1
"""What version 3 can say of a time, in seconds since 1970."""


class WritableSftpFiles(SftpFiles):
    """See `base.WritableFiles`."""

    async def make_directory(self, path: bytes) -> None:
        """See `base.WritableFiles.make_directory`."""
        try:
            await self._client.mkdir(path)
        except (asyncssh.Error, OSError) as error:
            raise self._failure(error, path) from error

    async def make_link(self, path: bytes, target: bytes) -> None:
        """See `base.WritableFiles.make_link`."""
        try:
            await self._client.symlink(target, path)
        except (asyncssh.Error, OSError) as error:
            raise self._failure(error, path) from error

    async def add_name(self, path: bytes, existing: bytes) -> None:
        """See `base.WritableFiles.add_name`."""
        try:
            await self._client.link(existing, path)
        except (asyncssh.Error, OSError) as error:
            raise self._failure(error, path) from error

    async def rename(self, path: bytes, new: bytes) -> None:
        """See `base.WritableFiles.rename`."""
        try:
            await self._client.posix_rename(path, new)
        except asyncssh.SFTPOpUnsupported:
            await self._renamed_plainly(path, new)
        except (asyncssh.Error, OSError) as error:
            raise self._failure(error, path) from error

    async def _renamed_plainly(self, path: bytes, new: bytes) -> None:
        """A rename of version 3 fails where the new name is taken."""
        try:
            if await self._client.lexists(new):
                await self._client.remove(new)
            await self._client.rename(path, new)
        except (asyncssh.Error, OSError) as error:
            raise self._failure(error, path) from error

    async def remove(self, path: bytes, *, is_directory: bool) -> None:
        """See `base.WritableFiles.remove`."""
        try:
            await (self._client.rmdir(path) if is_directory else self._client.remove(path))
        except (asyncssh.Error, OSError) as error:
            raise self._failure(error, path) from error

    async def set_status(self, path: bytes, status: FileStatus, *, is_link: bool = False) -> bool:
        """See `base.WritableFiles.set_status`."""
        try:
            for attributes in _in_order(status, is_link=is_link):
                await self._client.setstat(path, attributes, follow_symlinks=not is_link)
        except asyncssh.SFTPOpUnsupported:
            return False
        except (asyncssh.Error, OSError) as error:
            raise self._failure(error, path) from error
        return _is_time(status.modified_s)

    @asynccontextmanager
    async def create(self, path: bytes) -> AsyncIterator[FileSink]:
        """See `base.WritableFiles.create`."""
        try:
            private = asyncssh.SFTPAttrs(permissions=0o600)
            file = await self._client.open(path, "xb", private, encoding=None)
        except (asyncssh.Error, OSError) as error:
            raise self._failure(error, path) from error
        try:
            yield _Sink(self, file, path)
        finally:
            try:
                await file.close()
            except (asyncssh.Error, OSError) as error:
                raise self._failure(error, path) from error

    def failed(self, error: Exception, path: bytes) -> HoldfastError:
        """What is raised for an error of asyncssh."""
        failure = self._failure(error, path)
        assert isinstance(failure, HoldfastError)
        return failure


class _Sink:
    """See `base.FileSink`."""

    def __init__(self, files: WritableSftpFiles, file: asyncssh.SFTPClientFile, path: bytes) -> None:
        self._files = files
        self._file = file
        self._path = path
        self._offset = 0
        self._is_open_ended = False
        """Whether the file ends in a hole, up to which it must be made long."""

    async def skip(self, size_bytes: int) -> None:
        self._offset += size_bytes
        self._is_open_ended = self._is_open_ended or bool(size_bytes)

    async def write(self, data: bytes) -> None:
        try:
            await self._file.write(data, self._offset)
            self._offset += len(data)
            self._is_open_ended = self._is_open_ended and not data
        except (asyncssh.Error, OSError) as error:
            raise self._files.failed(error, self._path) from error

    async def set_status(self, status: FileStatus) -> bool:
        try:
            if self._is_open_ended:
                await self._file.setstat(asyncssh.SFTPAttrs(size=self._offset))
            for attributes in _in_order(status):
                await self._file.setstat(attributes)
        except (asyncssh.Error, OSError) as error:
            raise self._files.failed(error, self._path) from error
        return _is_time(status.modified_s)


def _in_order(status: FileStatus, *, is_link: bool = False) -> Sequence[asyncssh.SFTPAttrs]:
    """The owner first: a change of it takes set-user and set-group away. A link has no mode of its own."""
    found = []
    if status.owner is not None:
        found.append(asyncssh.SFTPAttrs(uid=status.owner[0], gid=status.owner[1]))
    if not is_link:
        found.append(asyncssh.SFTPAttrs(permissions=status.mode))
    if _is_time(status.modified_s):
        assert status.modified_s is not None
        found.append(asyncssh.SFTPAttrs(atime=status.modified_s, mtime=status.modified_s))
    return found


def _is_time(seconds: int | None) -> bool:
    return seconds is not None and 0 <= seconds <= _LATEST_S


@asynccontextmanager
async def opened(host: str, connection: asyncssh.SSHClientConnection) -> AsyncIterator[WritableFiles]:
    """An SFTP session on an open connection; closed on leaving."""
    with translated(host):
        client = await connection.start_sftp_client(path_encoding=None)
    try:
        yield WritableSftpFiles(host, client)
    finally:
        client.exit()
