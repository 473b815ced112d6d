"""A bucket by the command line, from `storage add` to the restore, and without holdfast by what the recovery kit says."""

from __future__ import annotations

import os
import shlex
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.jobs.command_line import PASSWORD, CommandLine, Ran
from tests.servers.ceph import Ceph
from tests.servers.restic import Restic, ResticProgram

pytestmark = pytest.mark.slow


class Bucket:
    """A home with a source `data`, and the words of a storage in a bucket of the test's own."""

    def __init__(self, directory: Path, ceph: Ceph) -> None:
        self.line = CommandLine(directory)
        self.ceph = ceph
        self.name = f"b-{uuid.uuid4().hex}"
        self.secrets = {"KEY_ID": ceph.access_key, "SECRET_KEY": ceph.secret_key}
        self.line.data.mkdir()
        (self.line.data / "a").write_text("one\n", encoding="ascii")
        (self.line.data / "large").write_bytes(os.urandom(3 << 20))

    @property
    def location(self) -> str:
        """As restic takes it."""
        return f"s3:{self.ceph.endpoint}/{self.name}/below/this"

    def words(self, **changed: str) -> list[str]:
        """The options of `storage add`."""
        options = {
            "kind": "s3",
            "bucket": self.name,
            "endpoint": self.ceph.endpoint,
            "prefix": "/below/this/",
            "addressing": "path",
            "access-key-id": "env:KEY_ID",
            "secret-key": "env:SECRET_KEY",
            "password": "env:PASSWORD_OF_MAIN",
        }
        return [word for name, value in (options | changed).items() for word in (f"--{name}", value)]

    def run(self, *words: str, more: Mapping[str, str] | None = None) -> Ran:
        """A command that has the secrets in its environment, and nothing of the machine's own."""
        ran = self.line.run(
            *words, environment={"AWS_EC2_METADATA_DISABLED": "true", **self.secrets, **(more or {})}
        )
        assert not [each for each in self.secrets.values() if each in ran.out + ran.err] or "kit" in " ".join(
            words
        )
        return ran

    def done(self, *words: str) -> Ran:
        """A command that must end well."""
        ran = self.run(*words)
        assert ran.code == 0, ran
        return ran

    def add(self) -> None:
        """The storage `cloud`, the default, and the source `data`."""
        self.done("storage", "add", "cloud", *self.words())
        self.done("source", "add", "data", "--kind", "files", "--path", str(self.line.data))

    def restic(self, program: ResticProgram, room: Path) -> Restic:
        """Stock restic on the same repository."""
        settings = {"AWS_ACCESS_KEY_ID": self.ceph.access_key, "AWS_SECRET_ACCESS_KEY": self.ceph.secret_key}
        return Restic(program, self.location, room, PASSWORD, settings)

    def is_restored(self, target: Path) -> bool:
        """Whether everything of the source lies below that folder."""
        below = Path(f"{target}{self.line.data}")
        return all((below / each.name).read_bytes() == each.read_bytes() for each in self.line.data.iterdir())


@pytest.fixture
def bucket(tmp_path: Path, ceph: Ceph) -> Bucket:
    """One for each test."""
    return Bucket(tmp_path, ceph)


def test_what_was_backed_up_to_a_bucket_is_read_by_us_and_by_stock_restic(
    bucket: Bucket, restics: Sequence[ResticProgram], tmp_path: Path
) -> None:
    """And what restic wrote there is restored by us."""
    bucket.add()
    bucket.done("backup", "data")
    bucket.done("restore", "latest:data", "--to", str(tmp_path / "ours"))
    assert bucket.is_restored(tmp_path / "ours")
    for program in restics:
        restic = bucket.restic(program, tmp_path / program.version)
        restic.check()
        restic.restore("latest", tmp_path / program.version, "--tag", "holdfast:source=data")
        assert bucket.is_restored(tmp_path / program.version)
    restic.backup(bucket.line.data / "large")
    bucket.done("forget", "--source", "data", "--keep-last", "1", "--prune", "--yes")
    restic.check()
    tested = bucket.done("storage", "test", "cloud").out
    assert "the keys that were given" in tested
    kept = b"".join(each.read_bytes() for each in bucket.line.home.rglob("*") if each.is_file())
    assert b"botocore" not in kept
    assert bucket.ceph.secret_key.encode() not in kept
    usage = bucket.done("storage", "usage", "cloud", "--json").result
    assert usage["used_bytes"] > 3 << 20
    assert usage["free_bytes"] is None


def test_what_an_append_only_storage_is_asked_to_remove_is_refused(bucket: Bucket) -> None:
    """At once, as a refusal and not as a fault; backups go on."""
    bucket.add()
    bucket.done("storage", "edit", "cloud", "--append-only")
    backup = bucket.done("backup", "data", "--json").result["backups"][0]["backup_id"]
    for words in (["prune", "cloud"], ["delete", backup, "--yes"]):
        ran = bucket.run(*words)
        assert (ran.code, "append-only: nothing is removed" in ran.err) == (5, True), ran
    assert backup[:8] in bucket.done("backups").out


def test_a_repository_that_restic_made_in_a_bucket_is_opened(
    bucket: Bucket, restic_newest: ResticProgram, tmp_path: Path
) -> None:
    """Who comes from restic keeps what is there."""
    restic = bucket.restic(restic_newest, tmp_path / "restic")
    restic.init()
    restic.backup(bucket.line.data)
    assert "opened at s3:" in bucket.done("storage", "add", "cloud", *bucket.words()).out
    bucket.done("verify", "--storage", "cloud", "--read-data")


def test_the_kit_alone_brings_a_file_back(
    bucket: Bucket, restics: Sequence[ResticProgram], tmp_path: Path
) -> None:
    """On a machine with a shell, stock restic and nothing else, word for word."""
    bucket.add()
    bucket.done("backup", "data")
    kit = bucket.run("storage", "recovery-kit", "cloud").out
    for program in restics:
        target = tmp_path / program.version
        (target / "bin").mkdir(parents=True)
        (target / "bin" / "restic").symlink_to(program.path)
        typed = [line.strip() for line in kit.splitlines() if line.startswith("  ")]
        lines = [each for each in typed if each.startswith(("export ", "restic "))]
        script = "\n".join(lines).replace("/some/empty/folder", shlex.quote(str(target / "out")))
        (password,) = (
            each.partition("password    ")[2] for each in kit.splitlines() if each.startswith("password")
        )
        environment = {
            "PATH": f"{target / 'bin'}:{os.environ['PATH']}", "HOME": str(target), "RESTIC_PASSWORD": password,
        }  # fmt: skip
        subprocess.run(["sh", "-euc", script], check=True, env=environment, capture_output=True, cwd=target)
        assert bucket.is_restored(target / "out")


def test_the_catalog_comes_back_from_the_kit(bucket: Bucket, tmp_path: Path) -> None:
    """The words of its last line, on a machine that knows nothing."""
    bucket.add()
    bucket.done("backup", "data")
    kit = bucket.run("storage", "recovery-kit", "cloud").out
    exports = [
        line.strip().removeprefix("export ").partition("=") for line in kit.splitlines() if "export " in line
    ]
    exported = {name: "".join(shlex.split(value)) for name, _, value in exports}
    (typed,) = (line.strip() for line in kit.splitlines() if line.startswith("  holdfast recover "))
    other = CommandLine(tmp_path / "other")
    (vault_key,) = (
        line.removeprefix("vault key   ") for line in kit.splitlines() if line.startswith("vault key ")
    )
    given = f"{PASSWORD}\n{vault_key}\n".encode()
    ran = other.run(*shlex.split(typed)[1:], given=given, environment=exported)
    assert ran.code == 0, ran
    assert "data" in other.done("backups").out


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"secret-key": "env:WRONG"}, "the secret key does not belong to the access key id"),
        ({"bucket": "A_"}, "that is no name for a bucket"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_work_is_told_in_one_sentence(
    bucket: Bucket, changed: dict[str, str], expected: str
) -> None:
    """With the way out, and before anything is kept."""
    ran = bucket.run(
        "storage", "add", "cloud", *bucket.words(**changed), more={"WRONG": "NOSUCHKEY00NOSUCHKEY"}
    )
    assert ran.code in (1, 2), ran
    assert expected in ran.err
    assert "Traceback" not in ran.err
    assert "cloud" not in bucket.done("storage", "list").out
