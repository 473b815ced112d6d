"""Our check beside stock restic's: on what it wrote, and on the damages that it does not see."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.format.ids import digest
from engine.repository import check
from engine.repository.check import CheckOptions, CheckResult
from tests.damaged import building
from tests.damaged.building import Builder, file, text
from tests.fakes.clock import FakeClock
from tests.interop.restic_history import DAYS, opened, write_history
from tests.servers.nasty_tree import make_nasty_tree
from tests.servers.restic import Restic, ResticProgram
from tests.servers.tools import require_root

pytestmark = pytest.mark.slow

CLOCK = FakeClock()
SIZE = len(text("a"))
BIG_BYTES = 52 << 20
"""So much is read by worker processes."""


async def checked(place: Path, options: CheckOptions | None = None) -> CheckResult:
    """Our check of a directory."""
    async with opened(place) as (repository, _):
        return await check.check(repository, options or CheckOptions(is_reading_data=True))


@pytest.fixture
def restic(restic_program: ResticProgram, tmp_path: Path) -> Restic:
    """A new repository of this restic."""
    made = Restic(restic_program, tmp_path / "repository", tmp_path / "temporary")
    made.begin()
    return made


async def test_what_restic_wrote_is_sound(restic: Restic, tmp_path: Path) -> None:
    """Nasty names, modes and links of real files are no damage."""
    require_root()
    make_nasty_tree(tmp_path / "nasty", has_odd_link_targets=restic.program.number >= (0, 16))
    restic.backup(tmp_path / "nasty")
    write_history(restic, tmp_path / "files")
    result = await checked(tmp_path / "repository")
    assert (list(result.damaged), list(result.hints)) == ([], [])
    assert result.snapshots == 1 + DAYS


async def test_worker_processes_read_much_data_and_find_one_bit(restic: Restic, tmp_path: Path) -> None:
    """The bit that flipped is found among all that is sound, and its file named."""
    files = tmp_path / "files"
    files.mkdir()
    for number in range(4):
        (files / f"{number}.bin").write_bytes(random.Random(number).randbytes(BIG_BYTES // 4 + 1))
    restic.backup(files)
    (snapshot,) = [each["id"] for each in restic.snapshots()]
    sound = await checked(tmp_path / "repository")
    assert (list(sound.damaged), sound.bytes_read > BIG_BYTES) == ([], True)
    target = max((tmp_path / "repository" / "data").rglob("??????*"), key=lambda path: path.stat().st_size)
    target.chmod(0o600)
    with target.open("r+b") as opened_file:
        opened_file.seek(1_000)
        byte = opened_file.read(1)
        opened_file.seek(1_000)
        opened_file.write(bytes([byte[0] ^ 1]))
    (damage,) = (await checked(tmp_path / "repository")).damaged
    assert (damage.pack, list(damage.backups), len(damage.paths)) == (target.name, [snapshot], 1)
    skipped = CheckOptions(is_reading_data=True, skipped_packs=sound.proved_packs)
    assert list((await checked(tmp_path / "repository", skipped)).damaged) == []


async def test_all_parts_of_a_subset_together_are_the_whole(restic: Restic, tmp_path: Path) -> None:
    """A seventh a night proves all in a week."""
    write_history(restic, tmp_path / "files")
    whole = (await checked(tmp_path / "repository")).proved_packs
    parts = [
        (
            await checked(tmp_path / "repository", CheckOptions(is_reading_data=True, subset=(n, 3)))
        ).proved_packs
        for n in (1, 2, 3)
    ]
    assert frozenset().union(*parts) == whole
    assert sum(map(len, parts)) == len(whole)


async def test_one_snapshot_is_checked_by_itself(restic: Restic, tmp_path: Path) -> None:
    """Before a restore, one backup is proved and not the whole repository."""
    ids = write_history(restic, tmp_path / "files")
    result = await checked(tmp_path / "repository", CheckOptions(is_reading_data=True, snapshots=ids[:1]))
    assert result.snapshots == 1
    assert 0 < result.packs_read < len((await checked(tmp_path / "repository")).proved_packs)


async def wrong_length() -> Builder:
    """A length before compression that is wrong in header and index alike."""
    return (await building.small(CLOCK, wrong_by=1)).builder


async def false_links() -> Builder:
    """Two files with one inode."""
    contents = [text("a"), text("b")]
    one, two = (digest(each) for each in contents)
    nodes = (file("a", SIZE, one, inode=5, links=2), file("b", SIZE, two, inode=5, links=2))
    return (await building.of_nodes(CLOCK, contents, *nodes))[0]


async def unix_mode() -> Builder:
    """A set-user bit where Go has none."""
    return (await building.of_nodes(CLOCK, [text("a")], file("a", SIZE, digest(text("a")), mode=0o4755)))[0]


@pytest.mark.parametrize("make", [wrong_length, false_links, unix_mode])
async def test_restic_passes_what_we_find(
    make: Callable[[], Awaitable[Builder]], restic_program: ResticProgram, tmp_path: Path
) -> None:
    """That is why we look: its check says that all is well, and its restore brings something else."""
    made = await make()
    building.lay_out(made.storage, tmp_path / "repository")
    Restic(restic_program, tmp_path / "repository", tmp_path / "temporary", building.PASSWORD).check()
    result = await check.check(await building.reopen(made.storage, CLOCK), CheckOptions(is_reading_data=True))
    assert result.damaged
