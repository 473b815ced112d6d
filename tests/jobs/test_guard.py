"""The guard and the read-only session, at the command line."""

from __future__ import annotations

import asyncio
import datetime

import pytest

from engine.errors import RefusedError, UsageError
from engine.model.secret import Secret
from tests.jobs.command_line import CommandLine
from tests.jobs.terminal import Terminal
from tests.jobs.world import World

pytestmark = pytest.mark.slow

PASSPHRASE = "open sesame"


def _type_passphrase(line: CommandLine, backup: str) -> tuple[int, bytes]:
    person = Terminal(line, "delete", backup, "--yes")
    person.wait_for("passphrase of the guard")
    person.type(f"{PASSPHRASE}\n")
    return person.end(), person.shown


async def test_a_guarded_deletion_needs_the_passphrase_or_a_code_that_holds_once(world: World) -> None:
    """By a script, by a person at a terminal, by somebody who was given a code; a session that only reads never gets so far."""
    (world.directory / "tree").mkdir()
    await world.add_storages("main")
    await world.add_files("tree", world.directory / "tree")
    first, second = [(await world.one_backup("tree")).backup_id for _ in range(2)]
    await world.engine.set_guard(Secret(PASSPHRASE))
    line = CommandLine(world.directory)
    setting = ("vault", "set", "pin", f"file:{world.directory}/password")
    codes = [(await asyncio.to_thread(line.run, *setting)).code for _ in range(2)]
    assert codes == [0, 5]  # what is there already is not lost by a slip
    words = ("delete", first, "--yes", "--json")
    read_only = await asyncio.to_thread(line.run, *words, environment={"HOLDFAST_READ_ONLY": "1"})
    assert (read_only.code, "this session is read-only" in read_only.err) == (5, True)
    refused = await asyncio.to_thread(line.run, *words)
    assert (refused.code, refused.error["hint"]) == (5, "type it at a terminal, or say --guard REF")
    code = await world.engine.make_guard_code(
        Secret(PASSPHRASE), datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
    )
    guarded = await asyncio.to_thread(line.run, *words, "--guard", "-", given=code.encode())
    assert guarded.code == 0
    with pytest.raises(RefusedError, match="not the passphrase"):
        await world.engine.pass_guard("holdfast delete", Secret(code))
    exit_code, shown = await asyncio.to_thread(_type_passphrase, line, second)
    assert (exit_code, PASSPHRASE.encode() in shown) == (0, False)
    assert await world.engine.backups() == []
    assert PASSPHRASE.encode() not in world.engine.home.catalog.read_bytes()
    outcomes = [(each.verb, each.outcome) for each in await world.engine.audit_log()]
    assert outcomes.count(("holdfast delete", "refused")) == 2


async def test_the_guard_is_changed_by_whoever_passes_it(world: World) -> None:
    """Else it would guard nothing."""
    with pytest.raises(UsageError, match="there is no guard"):
        await world.engine.remove_guard(Secret(PASSPHRASE))
    await world.engine.set_guard(Secret(PASSPHRASE))
    with pytest.raises(RefusedError, match="the passphrase is needed"):
        await world.engine.set_guard(Secret("another one"))
    await world.engine.remove_guard(Secret(PASSPHRASE))
    assert not (await world.engine.guard()).is_set
    await world.engine.pass_guard("holdfast delete", "")
