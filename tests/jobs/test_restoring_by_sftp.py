"""A host without GNU tar and GNU find as the target: SFTP brings what it can, and what it cannot is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine import errors, events
from engine.hosts.base import OpenHost
from engine.jobs.host_tree import HostTree
from engine.model.requests import RestoreRequest, RollbackRequest
from engine.repository.added import Held
from engine.repository.restore_values import RestoreOptions
from tests.fakes.crafted import Crafted, link
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.small_repositories import make
from tests.families.hosts import opened, ssh_definition
from tests.families.sources import Equipped
from tests.jobs.nasty import nasty_tree_kept
from tests.jobs.world import World
from tests.servers.sshd import Sshd
from tests.servers.tree_compare import describe, swollen

pytestmark = pytest.mark.slow


@pytest.fixture
def plain(start_sshd: Callable[..., Sshd], tmp_path: Path) -> Sshd:
    """A server on whose path find and tar are not GNU's."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("find", "tar"):
        (tools / name).write_text("#!/bin/sh\necho other; exit 1\n", encoding="ascii")
        (tools / name).chmod(0o755)
    return start_sshd(extra=(f"SetEnv SHLVL=1 PATH={tools}:/usr/bin:/bin",))


async def test_a_nasty_tree_comes_back_over_sftp_but_for_what_is_named(
    world: World, plain: Sshd, tmp_path: Path
) -> None:
    """Odd names, modes, owners, links and holes come; a link that lies in the way is replaced, not followed; devices cannot be made."""
    tree, outside, target = await nasty_tree_kept(world, plain, tmp_path)
    request = RestoreRequest("latest:tree", str(target), host="server", overwrite="if-changed")
    done = await world.engine.restore(request)
    back = target / str(tree).lstrip("/")
    assert list(outside.iterdir()) == []
    assert (done.status, sorted(each.rsplit("/", 1)[1] for each in done.warnings)) == (
        "incomplete",
        ["big-numbers: a chardev cannot be made over SFTP", "block: a dev cannot be made over SFTP", "fifo: a fifo cannot be made over SFTP", "null: a chardev cannot be made over SFTP"],
    )  # fmt: skip
    assert [each for each in _differing(tree, back) if not each.startswith(b"devices/")] == []
    assert swollen(tree / "contents", back / "contents") == []
    said = [each.message for each in world.heard if isinstance(each, events.Warned)]
    assert any("extended attributes" in each and "fractions of seconds" in each for each in said)
    again = await world.engine.restore(request)
    # Four files and as many links have times that SFTP cannot say.
    assert (again.restored_files, again.skipped_files > 200) == (8, True)


def _differing(tree: Path, back: Path) -> list[bytes]:
    """Paths that are not what SFTP can make of them. Times before 1970 and after 2106 it cannot say."""
    expected, found = describe(tree), describe(back)
    wrong = []
    for path in expected.keys() | found.keys():
        one, other = expected.get(path), found.get(path)
        if one is None or other is None:
            wrong.append(path)
            continue
        seconds = one.mtime_ns // 10**9
        is_told = 0 <= seconds < 1 << 32
        if (one.kind, one.content, one.owner, one.size_bytes, one.linked_with) != (
            other.kind, other.content, other.owner, other.size_bytes, other.linked_with,
        ) or (is_told and seconds * 10**9 != other.mtime_ns) or (one.mode != other.mode and not path.startswith(b"attributes")):  # fmt: skip
            wrong.append(path)
    return sorted(wrong)


async def test_files_come_back_in_place_over_sftp_and_roll_back(
    world: World, plain: Sshd, tmp_path: Path
) -> None:
    """As by tar: a safety backup first; what cannot be done without GNU tools is refused."""
    root = tmp_path / "site"
    (root / "pages").mkdir(parents=True)
    (root / "pages" / "1").write_bytes(b"1")
    (root / "pages" / "2").write_bytes(b"2")
    await world.add_storages("first")
    await world.add_host(plain)
    await world.add_files("site", root, host="server")
    await world.one_backup("site")
    (root / "pages" / "1").write_bytes(b"spoiled")
    (root / "pages" / "2").unlink()
    done = await world.engine.restore(RestoreRequest("latest:site", is_in_place=True))
    assert [each.read_bytes() for each in sorted((root / "pages").iterdir())] == [b"1", b"2"]
    await world.engine.rollback(RollbackRequest(done.job_id))
    assert [each.read_bytes() for each in (root / "pages").iterdir()] == [b"spoiled"]
    with pytest.raises(errors.UsageError, match="GNU find"):
        await world.engine.restore(
            RestoreRequest("latest:site", str(tmp_path / "there"), host="server", is_deleting=True)
        )


async def test_no_link_of_a_snapshot_leads_out_of_the_target_over_sftp(sshd: Sshd, tmp_path: Path) -> None:
    """Whoever can write a repository must not be able to write the host's /etc, whichever of two entries of one name comes first."""
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    repository = await make(MemoryStorage())
    crafted = Crafted(repository)
    evil = await crafted.file(b"evil", b"evil")
    nodes = [
        link(b"a", str(outside).encode()),
        await crafted.folder(b"a", [evil]),
        await crafted.folder(b"b", [evil]),
        link(b"b", b"../outside"),
        await crafted.folder(b"c", [evil]),
    ]
    held = Held(repository, (await crafted.commit(nodes)).snapshot)
    async with opened(ssh_definition(sshd)) as host:
        bare: OpenHost = Equipped(host)
        tally = await HostTree(bare, str(target)).restore(held, RestoreOptions(str(target)), events.ignore)
    assert [each.path for each in tally.failures] == [b"a", b"b"]
    assert list(outside.iterdir()) == []
    assert (target / "c" / "evil").read_bytes() == b"evil"
