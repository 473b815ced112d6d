"""What must hold of a repository wherever its writer was stopped: it is sound, and what was backed up before comes back as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.repository import check
from engine.storages.base import Kind
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.small_repositories import Contents, all_contents, reopen, write_out
from tests.servers.restic import Restic, ResticProgram

Shape = tuple[tuple[str, int], ...]


class Judge:
    """Looks at end states by the engine, and at one of each shape by stock restic too."""

    def __init__(self, program: ResticProgram, place: Path, *, restic_limit: int = 40) -> None:
        self._program = program
        self._place = place
        self._seen: set[Shape] = set()
        self._restic_limit = restic_limit

    async def judge(
        self, storage: MemoryStorage, before: dict[str, Contents], new: Contents | None = None
    ) -> int:
        """Raises AssertionError unless the repository is sound, `before` comes back, and any further snapshot holds `new`.

        Gives the plain bytes of all blobs that the index knows.
        """
        found = await all_contents(storage)
        assert {name: found.get(name) for name in before} == before
        assert all(held == new for name, held in found.items() if name not in before)
        opened = await reopen(storage)
        assert [str(each) for each in (await check.check(opened)).damaged] == []
        known = {
            (blob.type, blob.id): blob.location.uncompressed_length or blob.location.length - 32
            for blob in opened.index.blobs()
        }
        shape = _shape(storage, opened.index.pack_count)
        if shape not in self._seen and len(self._seen) < self._restic_limit:
            self._seen.add(shape)
            self._by_restic(storage)
        return sum(known.values())

    def _by_restic(self, storage: MemoryStorage) -> None:
        repository = self._place / "judged"
        shutil.rmtree(repository, ignore_errors=True)
        write_out(storage, repository)
        restic = Restic(self._program, repository, self._place / "restic")
        if any(key.kind is Kind.LOCK for key in storage.objects):
            restic.run("unlock", "--remove-all")
        restic.check()


def _shape(storage: MemoryStorage, indexed_packs: int) -> Shape:
    """How many objects of each kind, and how many packs the index names: what differs between two end states but random numbers."""
    counts = {kind: sum(key.kind is kind for key in storage.objects) for kind in Kind}
    return (*((kind.value, count) for kind, count in counts.items()), ("indexed", indexed_packs))
