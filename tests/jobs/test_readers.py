"""A Unix group that may look: tested as a second user of the machine, who changes nothing and sees no secret."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from engine import errors
from engine.model.secret import Secret
from tests.jobs.world import World, open_world
from tests.servers.tools import PROJECT, missing

pytestmark = pytest.mark.slow

GROUP, GID = "games", 60
"""A group that Debian has always had."""
_UID = 48010
"""Of nobody else."""
_AS_READER = """
import json, os, pathlib, sys
from engine.cli import dispatch
uid, gid = int(sys.argv[1]), int(sys.argv[2])
lines, paths = json.loads(sys.argv[3]), json.loads(sys.argv[4])
pathlib.Path("/").as_uri()
for line in lines[:-1]: dispatch.dispatch([*line, "--read-only"])
print("as a reader", flush=True); print("as a reader", file=sys.stderr, flush=True)
os.setgroups([]); os.setgid(gid); os.setuid(uid)
codes = [dispatch.dispatch(line) for line in lines]
def refused(path, mode):
    try: open(path, mode).close()
    except OSError: return True
    return False
print(json.dumps([codes, [refused(*each) for each in paths]]))
"""
"""The verbs are run once as the owner, who loads all that Python needs: it may lie where a second user reads nothing."""


class Reader:
    """What a second user gets to see."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def run(
        self, gid: int, lines: Sequence[str], paths: Sequence[tuple[str, str]] = ()
    ) -> tuple[list[int], list[bool], str, str]:
        """The exit codes of these verbs, whether opening these paths was refused, and what was printed."""
        words = [[*line.split(), "--json", "--home", str(self._home)] for line in lines]
        ran = subprocess.run(
            [sys.executable, "-c", _AS_READER, str(_UID), str(gid), json.dumps(words), json.dumps(paths)],
            capture_output=True,
            text=True,
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            timeout=60,
            check=True,
        )
        *said, last = ran.stdout.partition("as a reader")[2].splitlines()
        codes, refused = json.loads(last)
        return codes, refused, "\n".join(said), ran.stderr.partition("as a reader")[2]


@pytest.fixture
async def shared() -> AsyncIterator[World]:
    """A home with a backup, secrets and a guard, in a folder that everybody enters, whose readers are GROUP."""
    if os.geteuid() != 0:
        missing("looking as another user needs root")
    with tempfile.TemporaryDirectory(prefix="holdfast-readers-") as folder:
        Path(folder).chmod(0o755)
        async with open_world(Path(folder) / "world") as world:
            (world.directory / "tree").mkdir()
            await world.add_storages("main")
            await world.add_files("tree", world.directory / "tree")
            await world.engine.set_secret("of-shop", Secret("swordfish"))
            await world.engine.set_guard(Secret("open sesame"))
            await world.one_backup("tree")
            settings = f'[catalog]\ncopies = false\n[readers]\ngroup = "{GROUP}"\n'
            world.engine.home.settings.write_text(settings, encoding="ascii")
            async with world.again() as later:
                yield later


def _secrets(catalog: Path) -> list[bytes]:
    """All that must not be in the copy, as the catalog has it."""
    with closing(sqlite3.connect(catalog)) as database:
        sealed: list[bytes] = [row[0] for row in database.execute("SELECT sealed FROM secrets")]
        (guard,) = database.execute("SELECT value FROM settings WHERE name = 'guard'").fetchone()
    return [*sealed, json.loads(guard)["passphrase"]["digest"].encode()]


async def test_a_reader_sees_what_is_known_changes_nothing_and_sees_no_secret(shared: World) -> None:
    """A colleague answers whether the night's backup is there, and the worst that he can do is to look."""
    engine, home = shared.engine, shared.engine.home
    assert await engine.refresh_reading_copy()
    assert not await engine.refresh_reading_copy()
    newest = await shared.one_backup("tree")
    os.utime(home.reading_copy, (0, 0))
    await engine.next_tick()
    assert not await engine.refresh_reading_copy()
    looking = ["status", "backups", "source show tree", "storage list", "jobs", "audit"]
    changing = [
        "backup tree",
        "vault list",
        "host add x --address y --no-connect",
        "delete latest:tree --yes",
    ]
    copy = str(home.reading_copy)
    paths = [
        (copy, "rb"),
        (copy, "r+b"),
        (f"{copy}.new", "wb"),
        (str(home.catalog), "rb"),
        (str(home.vault_key), "rb"),
    ]
    reader = Reader(home.directory)
    codes, refused, said, complaints = await asyncio.to_thread(reader.run, GID, looking + changing, paths)
    assert codes == [0] * len(looking) + [5] * len(changing), complaints
    assert refused == [False, True, True, True, True]
    assert newest.backup_id in said
    assert "another user's, who lets you look at its catalog alone" in complaints
    known = _secrets(home.catalog)
    assert len(known) > 2
    data = home.reading_copy.read_bytes()
    assert [each for each in known if each in data] == []
    outside = await asyncio.to_thread(reader.run, _UID, ["status", "backups"], [(copy, "rb")])
    assert outside[:2] == ([2, 2], [True])


async def test_a_group_that_is_not_there_is_a_mistake_and_no_group_takes_the_copy_away(shared: World) -> None:
    """Whoever takes the right back means what lies there, too."""
    await shared.engine.refresh_reading_copy()
    home = shared.engine.home
    for settings, is_there in (('[readers]\ngroup = "nobody-of-that-name"\n', True), ("", False)):
        home.settings.write_text(settings, encoding="ascii")
        async with shared.again() as later:
            await later.engine.set_secret("new", Secret("x"))
            if is_there:
                with pytest.raises(errors.ConfigurationError, match="no group nobody-of-that-name"):
                    await later.engine.refresh_reading_copy()
            else:
                assert not await later.engine.refresh_reading_copy()
        assert home.reading_copy.exists() == is_there
