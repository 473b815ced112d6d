"""Keep rules that a person types, of no schedule."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.world import World
from tests.tui.brought_back import over
from tests.tui.brought_back import storage as storage
from tests.tui.seat import open_console

pytestmark = pytest.mark.slow


async def _kept(world: World) -> set[str]:
    return {each.backup_id for each in await world.engine.backups()}


async def test_rules_are_judged_as_they_are_typed_and_done_after_the_name(
    storage: None, world: World, tmp_path: Path
) -> None:
    """Of a source; then of a storage, where escape leaves all as it was. What is wrong is said while it is typed."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    await world.add_files("tree", tmp_path / "tree")
    for _ in range(3):
        await world.one_backup("tree")
    backups = sorted(await world.engine.backups(), key=lambda each: each.created_at)
    async with open_console(world.engine) as seat:
        seat.app.typed.longest_s = 2.0  # an enter that closes its field is waited for as long
        await seat.sees("> tree")
        await seat.press("K")
        await seat.sees("keep (7d 4w 12m", "no rules yet")
        await seat.type("lst 2")
        await seat.sees("there is no keep rule 'lst': did you mean last?")
        await seat.press("ctrl+u")
        await seat.type("last 2")
        await seat.sees(
            "tree keeps 2 last", "as things are now: keeps 2, lets 1 go", "! go", "no rule keeps it"
        )
        await seat.press("enter")
        await seat.misses("keep (7d 4w 12m")
        await seat.press("F")
        await seat.sees("FORGET 1 BACKUP of tree", backups[0].backup_id[:8], "--keep-last 2")
        assert await _kept(world) == {each.backup_id for each in backups}
        await seat.type_name("tree")
        await seat.sees("keeps 2, lets 0 go")
        assert await over(world.engine, "forget") == "completed"
        assert await _kept(world) == {each.backup_id for each in backups[1:]}
        await seat.press("F")
        await seat.sees("by these rules nothing goes")
        await seat.press("4")
        await seat.sees("lost main?")
        await seat.press("K")
        await seat.type("1d")
        await seat.sees("main keeps 1 daily", "keeps 1, lets 1 go", "tree")
        await seat.press("enter")
        await seat.misses("keep (7d 4w 12m")
        await seat.press("F")
        await seat.sees("FORGET 1 BACKUP of main", "--storage main")
        await seat.answer("escape")
        await seat.sees("main keeps 1 daily")
    assert await _kept(world) == {each.backup_id for each in backups[1:]}
