"""Secrets are kept sealed, found by their REF, and never shown."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from engine.catalog.catalog import Catalog
from engine.catalog.settings import SealedRows, SealedSecrets
from engine.errors import ConfigurationError, UnknownNameError, VaultError
from engine.model.secret import Secret
from engine.vault import KeyFile, SecretResolver, Vault, key_id, open_vault, seal, unseal
from tests.fakes.clock import FakeClock
from tests.servers.tools import PROJECT

HIDDEN = "hunter2-hunter2"


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    """An open, empty catalog."""
    async with Catalog.open(tmp_path / "catalog.db", FakeClock(), timeout_s=0.05) as opened:
        yield opened


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Where the vault's key lies."""
    return tmp_path / "vault.key"


@pytest.fixture
def vault(catalog: Catalog, key_file: Path) -> Vault:
    """An empty vault."""
    return Vault(catalog.secrets, KeyFile(key_file))


async def test_a_secret_is_given_back_and_lies_nowhere_in_the_clear(
    vault: Vault, catalog: Catalog, key_file: Path
) -> None:
    """A stolen catalog holds no password."""
    await vault.set("db", Secret(HIDDEN))
    assert (await vault.get("db")).reveal() == HIDDEN.encode()
    files = [catalog.path, *catalog.path.parent.glob("catalog.db-*"), key_file]
    assert [each.name for each in files if HIDDEN.encode() in each.read_bytes()] == []


async def test_the_key_is_its_owners_alone(vault: Vault, key_file: Path) -> None:
    """Whoever reads the key reads all secrets."""
    before = os.umask(0)
    try:
        await vault.set("db", Secret(HIDDEN))
    finally:
        os.umask(before)
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


async def test_looking_makes_no_key(vault: Vault, key_file: Path) -> None:
    """A home that keeps no secret needs no key."""
    with pytest.raises(UnknownNameError, match="the vault holds no secret named db"):
        await vault.get("db")
    assert (await vault.names(), key_file.exists()) == ([], False)


async def test_names_are_listed_and_removed(vault: Vault) -> None:
    """A person sees what is kept, and when it was set, without any key."""
    await vault.set("db", Secret(HIDDEN))
    await vault.own("audit-key")
    assert await vault.names() == [("db", FakeClock().now())]
    await vault.remove("db")
    assert await vault.names() == []
    with pytest.raises(UnknownNameError):
        await vault.remove("db")


async def test_the_program_s_own_secrets_are_made_once_and_are_not_a_person_s(vault: Vault) -> None:
    """An audit log whose key was changed can prove nothing."""
    first = await vault.own("audit-key")
    assert await vault.own("audit-key") == first
    with pytest.raises(ConfigurationError, match="the program's own"):
        await vault.set("holdfast.audit-key", Secret(b"x"))
    with pytest.raises(ConfigurationError, match="the program's own"):
        await vault.remove("holdfast.audit-key")


async def test_a_lost_key_is_not_replaced_in_silence(vault: Vault, key_file: Path) -> None:
    """A new key would make the loss of all secrets look like a fresh start."""
    await vault.set("db", Secret(HIDDEN))
    key_file.rename(key_file.with_name("elsewhere"))
    for attempt in (vault.get("db"), vault.set("other", Secret(b"x")), vault.rotate()):
        with pytest.raises(VaultError, match="the vault's key is gone"):
            await attempt
    assert not key_file.exists()


async def test_another_key_is_called_another_key(vault: Vault, key_file: Path) -> None:
    """A restored home with the wrong key file is a mistake that a person can mend."""
    await vault.set("db", Secret(HIDDEN))
    key_file.write_bytes(base64.b64encode(os.urandom(32)))
    with pytest.raises(VaultError, match="the secret db was sealed under another key"):
        await vault.get("db")


@pytest.mark.parametrize("text", [b"", b"# only words\n", b"no base64!", b"AAAA"])
async def test_a_key_file_that_holds_none_says_so(vault: Vault, key_file: Path, text: bytes) -> None:
    """An emptied key file must not count as none."""
    key_file.write_bytes(text)
    with pytest.raises(VaultError, match="holds no key of the vault"):
        await vault.set("db", Secret(HIDDEN))


def test_every_changed_byte_of_a_sealed_secret_is_found() -> None:
    """A damaged password is an error, never another password."""
    key = os.urandom(32)
    sealed = seal(key, "db", HIDDEN.encode())
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(VaultError):
            unseal([key], "db", changed)


def test_a_sealed_secret_opens_under_its_own_name_only() -> None:
    """Whoever writes to the catalog must not swap the passwords of two storages."""
    key = os.urandom(32)
    with pytest.raises(VaultError, match="the sealed secret other is damaged"):
        unseal([key], "other", seal(key, "db", b"x"))


async def test_after_a_rotation_the_old_key_is_gone(vault: Vault, key_file: Path) -> None:
    """A key is rotated because somebody may have it."""
    await vault.set("db", Secret(HIDDEN))
    old = await KeyFile(key_file).read()
    assert await vault.rotate() == 1
    new = await KeyFile(key_file).read()
    assert (len(new), set(old) & set(new)) == (1, set())
    assert (await vault.get("db")).reveal() == HIDDEN.encode()


class _KilledError(Exception):
    """Stands for the end of the process."""


class _DyingKeys(KeyFile):
    """Dies before or after its n-th write."""

    def __init__(self, path: Path, countdown: list[int]) -> None:
        super().__init__(path)
        self._countdown = countdown

    def write(self, keys: Sequence[bytes]) -> None:
        """As the real one, unless it dies."""
        _step(self._countdown)
        super().write(keys)
        _step(self._countdown)


class _DyingStore(SealedSecrets):
    """Dies before or after a row or a commit."""

    countdown: list[int]

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[SealedRows]:
        """As the real one, unless it dies."""
        _step(self.countdown)
        async with super().transaction() as rows:
            _step(self.countdown)
            yield rows
            _step(self.countdown)
        _step(self.countdown)


def _step(countdown: list[int]) -> None:
    countdown[0] -= 1
    if countdown[0] == 0:
        raise _KilledError


async def test_a_rotation_that_dies_at_any_step_leaves_all_secrets_readable(
    vault: Vault, catalog: Catalog, key_file: Path
) -> None:
    """There is no moment at which a power cut loses a password."""
    names = [f"s{number}" for number in range(5)]
    for name in names:
        await vault.set(name, Secret(name * 3))
    store = _DyingStore(catalog._database)
    steps = 0
    is_done = False
    while not is_done:
        steps += 1
        store.countdown = [steps]
        try:
            await Vault(store, _DyingKeys(key_file, store.countdown)).rotate()
            is_done = True
        except _KilledError:
            pass
        assert [(await vault.get(name)).reveal() for name in names] == [name.encode() * 3 for name in names]
    assert steps == 13, "every step was a last one once"
    assert len(await KeyFile(key_file).read()) == 1


@pytest.mark.slow
async def test_a_rotation_that_is_killed_leaves_all_secrets_readable(vault: Vault, key_file: Path) -> None:
    """The same with kill -9 at random function calls of a real process."""
    for number in range(20):
        await vault.set(f"s{number}", Secret(HIDDEN))
    program = (
        "import asyncio, os, pathlib, sys\nfrom engine.catalog.catalog import Catalog\nfrom engine.clock import SystemClock\n"
        "from engine.vault import KeyFile, Vault\nimport cryptography.hazmat.primitives.ciphers.aead\n"
        "left = int(sys.argv[2])\n"
        "def count(*_):\n global left\n left -= 1\n if left == 0: os.kill(os.getpid(), 9)\n"
        "async def main():\n async with Catalog.open(pathlib.Path(sys.argv[1]) / 'catalog.db', SystemClock()) as catalog:\n"
        "  sys.setprofile(count)\n  await Vault(catalog.secrets, KeyFile(pathlib.Path(sys.argv[1]) / 'vault.key')).rotate()\n"
        "  sys.setprofile(None); print(left)\n"
        "asyncio.run(main())"
    )
    run = [sys.executable, "-c", program, str(key_file.parent)]
    calls = 1_000_000 - int(subprocess.check_output([*run, "1000000"], cwd=PROJECT))
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    for _ in range(12):
        ended = subprocess.run([*run, str(moments.randrange(1, calls))], check=False, cwd=PROJECT)
        assert ended.returncode in (-9, 0)
        found = {(await vault.get(f"s{number}")).reveal() for number in range(20)}
        assert found == {HIDDEN.encode()}, f"seed {seed}"


async def test_a_key_from_outside_is_rotated_by_the_person_who_keeps_it(
    catalog: Catalog, key_file: Path
) -> None:
    """systemd hands the key over; holdfast cannot write it back."""
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    environment = {"HOLDFAST_VAULT_KEY": old}
    vault = open_vault(catalog.secrets, key_file, "", environment)
    await vault.set("db", Secret(HIDDEN))
    with pytest.raises(VaultError, match="comes from outside, and only one is there"):
        await vault.rotate()
    environment["HOLDFAST_VAULT_KEY"] = f"{new}\n{old}"
    assert await vault.rotate() == 1
    environment["HOLDFAST_VAULT_KEY"] = new
    assert (await vault.get("db")).reveal() == HIDDEN.encode()
    assert not key_file.exists()


@pytest.mark.parametrize("place", ["configured", "credential", "command"])
async def test_the_key_comes_from_where_it_lies(
    catalog: Catalog, key_file: Path, tmp_path: Path, place: str
) -> None:
    """A key that never touches the home's disk."""
    key = os.urandom(32)
    kept = tmp_path / "holdfast-vault-key"
    kept.write_bytes(base64.b64encode(key) + b"\n")
    kept.chmod(0o600)
    configured = {"configured": f"file:{kept}", "command": f"command:cat '{kept}'"}.get(place, "")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)} if place == "credential" else {}
    await open_vault(catalog.secrets, key_file, configured, environment).set("db", Secret(HIDDEN))
    sealed = await catalog.secrets.get("db")
    assert sealed is not None
    assert (sealed[1:9], key_file.exists()) == (key_id(key), False)


async def test_every_form_of_reference_is_resolved(vault: Vault, tmp_path: Path) -> None:
    """A secret stays where its owner keeps it."""
    kept = tmp_path / "pass word"
    kept.write_bytes(b"  from-file \n\n")
    kept.chmod(0o600)
    (tmp_path / "token").write_bytes(b"from-systemd\n")
    await vault.set("db", Secret("from-vault"))
    environment = {"PASS": "from-env", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    resolve = SecretResolver(environment, vault, read_line=lambda: b"from-input\n")
    references = ["env:PASS", f"file:{kept}", f"command:cat '{kept}'", "vault:db", "systemd:token", "-"]
    assert [(await resolve(each)).reveal() for each in references] == [
        b"from-env",
        b"from-file",
        b"from-file",
        b"from-vault",
        b"from-systemd",
        b"from-input",
    ]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (HIDDEN, "a secret is named, not written out"),
        (f"pass:{HIDDEN}", "a secret is named, not written out"),
        ("env:", "a secret is named, not written out"),
        ("", "a secret is named, not written out"),
        ("env:NOT_THERE", "the environment has no variable NOT_THERE"),
        ("env:EMPTY", "the secret env:EMPTY is empty"),
        ("file:/not/there", "the secret's file /not/there cannot be read: No such file or directory"),
        ("file:/", "the secret's file / cannot be read: Is a directory"),
        (f"command:sh -c 'echo {HIDDEN}; exit 3'", "the command of a secret, sh, ended with status 3"),
        ("command:/not/there", "the command of a secret, /not/there, cannot be run"),
        ("command:echo 'x", "the command of a secret has an unclosed quote"),
        (f"command:true {HIDDEN}", "the secret command:true … is empty"),
        ("systemd:token", "there is no systemd credential token"),
        ("vault:none", "the vault's own key cannot lie in the vault"),
        ("-", "there is no standard input to read a secret from"),
    ],
)
async def test_a_secret_that_is_not_there_is_one_sentence_without_it(reference: str, message: str) -> None:
    """A password typed in the wrong place must not end in a log."""
    with pytest.raises((VaultError, ConfigurationError), match=message) as caught:
        await SecretResolver({"EMPTY": ""})(reference)
    assert HIDDEN not in f"{caught.value} {caught.value.hint}"


async def test_a_credential_s_name_leads_nowhere_else(tmp_path: Path) -> None:
    """A name with a slash would read any file."""
    with pytest.raises(ConfigurationError, match="cannot be the name of a systemd credential"):
        await SecretResolver({"CREDENTIALS_DIRECTORY": str(tmp_path)})("systemd:../x")


async def test_a_file_that_others_can_read_is_warned_of_and_every_secret_registered(tmp_path: Path) -> None:
    """A password file with mode 0644 is a mistake to point at, not to fail on."""
    kept = tmp_path / "password"
    kept.write_bytes(b"x-secret")
    kept.chmod(0o644)
    warnings: list[str] = []
    known: list[Secret] = []
    await SecretResolver({}, register=known.append, warn=warnings.append)(f"file:{kept}")
    assert (known, warnings) == (
        [Secret("x-secret")],
        [f"the secret's file {kept} can be read by others: chmod 600 {kept}"],
    )
