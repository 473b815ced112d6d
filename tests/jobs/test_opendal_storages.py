"""Azure and WebDAV by the command line, from `storage add` to the restore, judged by stock restic."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.families import opendal_places
from tests.jobs.command_line import PASSWORD, CommandLine, Ran
from tests.servers.azurite import Azurite
from tests.servers.restic import Restic, ResticProgram
from tests.servers.wsgidav import WebDav

pytestmark = pytest.mark.slow

SECRETS = {"azure": {"account_key": "AZURE_KEY"}, "webdav": {"secret": "DAV_PASSWORD"}}
"""By kind: the option, and the variable that its REF names."""


class Cloud:
    """A storage `cloud` of a kind, as it is typed, on a home that has a source `data`."""

    def __init__(self, directory: Path, kind: str, request: pytest.FixtureRequest) -> None:
        self.line = CommandLine(directory)
        self.kind = kind
        self.told = opendal_places.KINDS[kind](request)
        self.line.set_up()

    def words(self, changed: Mapping[str, str] | None = None) -> list[str]:
        """`storage add cloud` and its options; `changed` replaces some."""
        options = {name: str(value) for name, value in self.told.options.items()}
        refs = {name: f"env:{variable}" for name, variable in SECRETS[self.kind].items()}
        words = ["storage", "add", "cloud", "--kind", self.kind, "--password", "env:PASSWORD_OF_MAIN"]
        for name, value in (options | refs | dict(changed or {})).items():
            words += [f"--{name.replace('_', '-')}", value]
        return words

    @property
    def revealed(self) -> dict[str, str]:
        """The secrets, by the variable that holds each."""
        variables = SECRETS[self.kind].items()
        return {variable: self.told.secrets[name].reveal().decode() for name, variable in variables}

    def run(self, *words: str, environment: Mapping[str, str] | None = None) -> Ran:
        """Runs a command with the secrets in its environment."""
        return self.line.run(*words, environment={**self.revealed, **(environment or {})})

    def done(self, *words: str) -> Ran:
        """Runs a command that must end well, and shows no secret."""
        ran = self.run(*words)
        assert ran.code == 0, ran
        return ran


@pytest.fixture(params=sorted(SECRETS))
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Cloud:
    """Each kind in turn."""
    return Cloud(tmp_path, request.param, request)


@pytest.fixture
def objects(request: pytest.FixtureRequest, cloud: Cloud, tmp_path: Path) -> Callable[[], Path]:
    """Gives the repository's objects as a folder, by the server and not by us."""

    def fetched() -> Path:
        target, prefix = tmp_path / "objects", str(cloud.told.options["prefix"])
        if cloud.kind == "azure":
            azurite: Azurite = request.getfixturevalue("azurite")
            azurite.download(prefix, target)
            return target
        webdav: WebDav = request.getfixturevalue("webdav")
        shutil.copytree(webdav.directory / prefix, target)
        return target

    return fetched


def test_what_lies_there_is_a_repository_of_stock_restic(
    cloud: Cloud, objects: Callable[[], Path], restic_newest: ResticProgram, tmp_path: Path
) -> None:
    """restic as Debian builds it reaches neither place, so the objects must be enough."""
    (cloud.line.data / "large").write_bytes(bytes(range(256)) * (1 << 16))
    cloud.done(*cloud.words())
    cloud.done("backup", "data", "--to", "cloud")
    assert cloud.done("storage", "test", "cloud", "--json").result["upload_bytes_s"] > 0
    assert cloud.done("storage", "usage", "cloud", "--json").result["backups"] == 1
    cloud.done("restore", "latest:data", "--to", str(tmp_path / "ours"))
    restic = Restic(restic_newest, objects(), tmp_path / "restic", PASSWORD)
    restic.check()
    restic.restore("latest", tmp_path / "theirs", "--tag", "holdfast:source=data")
    for target in ("ours", "theirs"):
        restored = tmp_path / target / cloud.line.data.relative_to("/")
        assert {path.name: path.read_bytes() for path in restored.iterdir()} == {
            path.name: path.read_bytes() for path in cloud.line.data.iterdir()
        }


WRONG = {
    "azure": [
        ({}, {"AZURE_KEY": "c2VjcmV0"}, "HTTP 403", 1),
        ({"container": "nosuchcontainer"}, {}, "ContainerNotFound", 1),
        ({}, {"AZURE_KEY": "no base64!"}, "no key of an Azure account", 2),
        ({"endpoint": "http://a:b@127.0.0.1/x"}, {}, "the endpoint holds a login", 2),
    ],
    "webdav": [
        ({}, {"DAV_PASSWORD": "wrong"}, "HTTP 401", 1),
        ({"endpoint": "http://127.0.0.1:1/dav"}, {}, "Connection refused", 1),
        ({"prefix": "../up"}, {}, "is no plain path", 2),
    ],
}
"""By kind: options changed, variables changed, what is said, and the exit code."""


def test_what_is_typed_wrong_is_told_in_one_sentence_and_changes_nothing(cloud: Cloud) -> None:
    """A wrong key, container or address is found when the storage is added, not in the night."""
    for changed, environment, said, code in WRONG[cloud.kind]:
        ran = cloud.run(*cloud.words(changed), "--json", environment=environment)
        assert ran.code == code, ran
        assert said in ran.error["message"]
        assert "\n" not in ran.error["message"]
        for secret in (*environment.values(), *cloud.revealed.values()):
            assert secret not in ran.err + ran.out
    listed = cloud.line.json("storage", "list")["items"]
    assert [each["name"] for each in listed] == ["main"]


def test_the_test_of_a_storage_names_the_right_that_is_missing(
    azurite: Azurite, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Whoever gave the key out must know which box to tick."""
    cloud = Cloud(tmp_path, "azure", request)
    cloud.done(*cloud.words())
    cloud.done("storage", "edit", "cloud", "--sas-token", "env:SAS", "--unset", "account-key")
    for permissions, missing in (("rl", "write"), ("wcld", "read"), ("rwcd", "list"), ("rwcl", "delete")):
        ran = cloud.run("storage", "test", "cloud", "--json", environment={"SAS": azurite.sas(permissions)})
        assert (ran.code, ran.error["error"]) == (1, "StorageDeniedError")
        assert f"refuses the right to {missing}" in ran.error["message"]
        assert "sig=" not in ran.err


def test_what_the_kit_of_a_webdav_storage_says_is_done_word_for_word(
    webdav: WebDav, rclone: Path, restic_newest: ResticProgram, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Nobody has a second chance to find out that a line of it is wrong."""
    cloud = Cloud(tmp_path, "webdav", request)
    cloud.done(*cloud.words())
    cloud.done("backup", "data", "--to", "cloud")
    kit = cloud.done("storage", "recovery-kit", "cloud").out
    exports = re.findall(r"^  export .+$", kit, re.MULTILINE)
    lines = re.findall(r"^    (?:rclone|restic) .+$", kit, re.MULTILINE)
    assert len(lines) == 4
    restored = tmp_path / "restored"
    script = (
        "\n".join([*exports, *lines]).replace("/some/empty/folder", str(restored)).replace("=NAME ", "=data ")
    )
    tools = f"{rclone.parent}:{restic_newest.path.parent}:/usr/bin:/bin"
    environment = {"PATH": tools, "HOME": str(tmp_path), "RESTIC_PASSWORD": PASSWORD}
    done = subprocess.run(
        ["sh", "-euc", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no errors were found" in done.stdout
    assert (restored / cloud.line.data.relative_to("/") / "a").read_bytes() == b"one\n"
    assert cloud.revealed["DAV_PASSWORD"] not in " ".join(lines)
