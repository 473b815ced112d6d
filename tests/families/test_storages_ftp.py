"""An FTP storage where the server cuts, fills up, forbids, or speaks no TLS."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine import errors, events
from engine.clock import SystemClock
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages import registry
from engine.storages.base import Key, Kind, OpenStorage
from tests.servers.small_disk import small_disk
from tests.servers.tools import require_root
from tests.servers.vsftpd import Ftpd, running_vsftpd

pytestmark = pytest.mark.slow

CONTENT = os.urandom(1 << 20)
PACK = Key(Kind.PACK, hashlib.sha256(CONTENT).hexdigest())
NOBODY = 65534


async def at_once(_span_s: float) -> None:
    """Lets retries come at once."""
    await asyncio.sleep(0)


@asynccontextmanager
async def opened(
    server: Ftpd, path: str, emit: events.Emit = events.ignore, **more: OptionValue
) -> AsyncIterator[OpenStorage]:
    """The storage as jobs get it."""
    options = {"address": server.address, "path": path, "ca_file": str(server.certificate), **more}
    async with registry.open_storage(
        "ftp", options, clock=SystemClock(), secrets={"secret": Secret("x")}, emit=emit, sleep=at_once
    ) as storage:
        yield storage


async def test_a_connection_that_is_cut_is_made_anew() -> None:
    """A line that breaks at night must not cost the backup; what had arrived never gets the object's name."""
    told: list[events.Event] = []
    with running_vsftpd() as server:
        async with opened(server, "there/x", told.append) as storage:
            await storage.create()
            await storage.put(PACK, [CONTENT])
            for turns in (30, 300):
                async with asyncio.TaskGroup() as group:
                    for number in range(4):
                        content = bytes([number]) * (4 << 20)
                        key = Key(Kind.PACK, hashlib.sha256(content).hexdigest())
                        group.create_task(storage.put(key, [content]))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    server.drop_connections()
            assert await storage.get(PACK) == CONTENT
            listed = [each.size_bytes async for each in storage.list(Kind.PACK)]
            assert sorted(listed) == [1 << 20] + [4 << 20] * 4
            await storage.clean(-60)
        assert list(server.directory.rglob("*-tmp-*")) == []
    assert any(isinstance(each, events.Noted) and "trying again" in each.message for each in told)


async def test_a_login_goes_over_tls_or_not_at_all() -> None:
    """Unless a person said that the network is his own."""
    with running_vsftpd("ssl_enable=NO") as server:
        with pytest.raises(errors.StorageError, match="offers no TLS"):
            async with opened(server, "there/x"):
                pass
        async with opened(server, "there/x", plain=True) as storage:
            await storage.create()
            await storage.put(PACK, [CONTENT])
            assert await storage.get(PACK, 1000, 1000) == CONTENT[1000:2000]


async def test_a_wrong_login_or_authority_is_told(vsftpd: Ftpd) -> None:
    """Without a second try: servers lock out who tries too often."""
    with pytest.raises(errors.StorageDeniedError, match="could not be logged in to: 530"):
        async with opened(vsftpd, "there/x", user="somebody"):
            pass
    with pytest.raises(errors.StorageError, match="certificate is not trusted") as caught:
        async with opened(vsftpd, "there/x", ca_file=None):
            pass
    assert not caught.value.retryable


async def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    """FTP has no word for it."""
    require_root()
    with small_disk(tmp_path / "disk", 2048) as disk:
        os.chown(disk, NOBODY, NOBODY)
        for folder in tmp_path.parents[: len(tmp_path.parents) - 2]:
            folder.chmod(folder.stat().st_mode | 0o011)
        tmp_path.chmod(0o755)
        with running_vsftpd() as server:
            async with opened(server, f"{disk}/there") as storage:
                await storage.create()
                big = os.urandom(4 << 20)
                with pytest.raises(errors.StorageFullError, match=r"could not be written on .*: 451"):
                    await storage.put(Key(Kind.PACK, hashlib.sha256(big).hexdigest()), [big])
                await storage.put(PACK, [CONTENT])
                assert await storage.get(PACK) == CONTENT
        assert list(disk.rglob("*-tmp-*")) == []


async def test_a_missing_right_is_named_and_a_missing_disk_not_written_beside(vsftpd: Ftpd) -> None:
    """FTP says the same of both; the folder tells which it is."""
    require_root()
    async with opened(vsftpd, "there/denied") as storage:
        await storage.create()
        await storage.put(PACK, [CONTENT])
        place = vsftpd.directory / "there" / "denied"
        folder = (place / PACK.path()).parent
        os.chown(place / PACK.path(), 0, 0)
        os.chown(folder, 0, 0)
        folder.chmod(0o755)
        with pytest.raises(errors.StorageDeniedError, match=r"data/.* is there on .*, but could not be read"):
            await storage.get(PACK)
        with pytest.raises(errors.StorageDeniedError, match=r"data/.* could not be written"):
            await storage.put(PACK, [CONTENT])
        with pytest.raises(errors.StorageDeniedError, match=r"data/.* could not be removed"):
            await storage.delete(PACK)
    async with opened(vsftpd, "there/gone") as storage:
        with pytest.raises(errors.StorageError, match="is not there"):
            await storage.put(PACK, [CONTENT])
        with pytest.raises(errors.StorageError, match="is not there"):
            await anext(aiter(storage.list(Kind.PACK)))
    assert not (vsftpd.directory / "there" / "gone").exists()


async def test_leftovers_are_cleaned_by_age(vsftpd: Ftpd) -> None:
    """A backup that runs has files with such names, too."""
    async with opened(vsftpd, "there/left") as storage:
        await storage.create()
        await storage.put(PACK, [CONTENT])
        left = vsftpd.directory / "there" / "left" / f"{PACK.path()}-tmp-{'a' * 32}"
        left.write_bytes(b"half")
        left.chmod(0o666)
        os.chown(left, NOBODY, NOBODY) if os.geteuid() == 0 else None
        assert await storage.clean(3600) == 0
        os.utime(left, (1_000_000_000, 1_000_000_000))
        assert await storage.clean(3600) == 1
        assert not left.exists()
        assert await storage.get(PACK) == CONTENT


async def test_an_answer_without_end_is_no_answer() -> None:
    """A server that is none of ours must not fill our memory."""

    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while not reader.at_eof():
                writer.write(b"220-and another thing\r\n" * 1000)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(chatter, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        options: dict[str, OptionValue] = {"address": f"127.0.0.1:{port}", "path": "x", "plain": True}
        with pytest.raises(errors.StorageUnreachableError, match="an answer of over 1000 lines"):
            async with registry.open_storage("ftp", options, clock=SystemClock()):
                pass
