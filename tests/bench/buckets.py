"""Ours and stock restic on repositories in buckets of a Ceph on this machine, which lives on the same cores."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.measure import Run, run_quietly
from tests.bench.programs import PASSWORD, Holdfast, Program, StockRestic, Task
from tests.servers import restic
from tests.servers.ceph import Ceph
from tests.servers.tools import require_tool

_numbers = itertools.count()


@dataclass(slots=True)
class _Bucket:
    """The bucket of one program and round; the one before is thrown away: objects lie in memory."""

    ceph: Ceph
    name: str = ""

    def renew(self) -> None:
        """A bucket that is not there yet."""
        self.remove()
        self.name = f"bench-{next(_numbers)}"

    def remove(self) -> None:
        """Gives the memory back."""
        if self.name:
            words = ("-c", self.ceph.folder / "ceph.conf", "bucket", "rm", f"--bucket={self.name}")
            run_quietly(require_tool("radosgw-admin"), *words, "--purge-objects", "--bypass-gc")

    @property
    def keys(self) -> Mapping[str, str]:
        """As both programs find them in their environment."""
        return {
            "AWS_ACCESS_KEY_ID": self.ceph.access_key,
            "AWS_SECRET_ACCESS_KEY": self.ceph.secret_key,
        }


@dataclass(frozen=True, slots=True)
class HoldfastBucket:
    """Ours: a stream through the command line into a bucket, and out of it."""

    bucket: _Bucket
    name: str = "holdfast"

    def prepare(self, room: Path, task: Task) -> None:
        """A home with the storage."""
        self.bucket.renew()
        secret = room / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        place = ("--bucket", self.bucket.name, "--endpoint", self.bucket.ceph.endpoint)
        words = Holdfast().words(room, "storage", "add", "bench", "--kind", "s3", *place)
        run_quietly(*words, "--password", f"file:{secret}", environment=self.bucket.keys)

    def run(self, room: Path, task: Task) -> Run | None:
        """The verbs of a step."""
        run = Holdfast().run(room, task)
        return None if run is None else Run(run.stages, self.bucket.keys, feeders=run.feeders)

    def repository(self, room: Path) -> Path | None:
        """Not compared: what both write is compared on a disk."""
        return None


@dataclass(frozen=True, slots=True)
class ResticBucket:
    """A restic on a bucket of its own."""

    bucket: _Bucket
    restic: StockRestic
    name: str = field(default="")

    def _environment(self, room: Path) -> Mapping[str, str]:
        (room / "temporary").mkdir(exist_ok=True)
        repository = f"s3:{self.bucket.ceph.endpoint}/{self.bucket.name}"
        return {
            **self.bucket.keys,
            "RESTIC_REPOSITORY": repository,
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": str(room / "cache"),
            "TMPDIR": str(room / "temporary"),
        }

    def prepare(self, room: Path, task: Task) -> None:
        """`restic init`."""
        self.bucket.renew()
        run_quietly(self.restic.path, "init", environment=self._environment(room))

    def run(self, room: Path, task: Task) -> Run | None:
        """The commands of a step."""
        run = self.restic.run(room, task)
        return None if run is None else Run(run.stages, self._environment(room), feeders=run.feeders)

    def repository(self, room: Path) -> Path | None:
        """Not compared."""
        return None


def programs(ceph: Ceph) -> list[Program]:
    """Ours, and both restics, one bucket at a time."""
    bucket = _Bucket(ceph)
    ours: list[Program] = [HoldfastBucket(bucket)]
    for found in reversed(restic.find_restics()):
        name = f"restic {found.version}"
        ours.append(ResticBucket(bucket, StockRestic(found.path, name), name))
    return ours
