"""The vault: secrets sealed with AES-256-GCM under a key that lies outside of the catalog; and REFs, which say where a secret is kept.

A sealed secret is `1 || key id (8) || nonce (12) || ciphertext and tag`, with the secret's name as associated data, so that one row's
ciphertext opens under no other name. The key file holds base64 of 32 bytes a line, the newest key first; `#` begins a comment. Whoever
changes rows or keys does so inside the catalog's write transaction, so that no secret is ever sealed under a key that is being dropped.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import datetime
import hashlib
import os
import shlex
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from engine.errors import ConfigurationError, UnknownNameError, VaultError
from engine.model.names import nearest
from engine.model.secret import Secret

KEY_BYTES = 32
KEY_ENVIRONMENT = "HOLDFAST_VAULT_KEY"
KEY_CREDENTIAL = "holdfast-vault-key"
"""Name of the systemd credential that is the vault's key, where the unit loads one."""
RESERVED = "holdfast."
"""Names that begin so are the program's own."""
LONGEST_SECRET_BYTES = 1 << 20
COMMAND_TIMEOUT_S = 60.0
_VERSION = b"\x01"
_ID_BYTES, _NONCE_BYTES, _TAG_BYTES = 8, 12, 16
_HEADER = (
    "# The key of holdfast's vault. Keep a copy apart from the catalog: without it the secrets are lost.\n"
)
_REF_FORMS = "env:NAME, file:PATH, command:CMD, vault:NAME, systemd:NAME, or - for standard input"


class SealedRows(Protocol):
    """Sealed secrets inside one transaction."""

    async def all(self) -> Sequence[tuple[str, bytes]]:
        """Name and sealed secret."""
        ...

    async def put(self, name: str, sealed: bytes) -> None:
        """Sets a secret."""
        ...

    async def reseal(self, name: str, sealed: bytes) -> None:
        """Puts another sealing of the same secret in place."""
        ...

    async def remove(self, name: str) -> bool:
        """Removes a secret; whether one was there."""
        ...


class SealedStore(Protocol):
    """Where sealed secrets are kept: the catalog."""

    async def get(self, name: str) -> bytes | None:
        """The sealed secret of that name."""
        ...

    async def all(self) -> Sequence[tuple[str, bytes, datetime.datetime]]:
        """Name, sealed secret, and when it was set."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[SealedRows]:
        """Changes that all take effect or none, with no other writer in between."""
        ...


class KeySource(Protocol):
    """Where the vault's keys come from."""

    is_writable: bool
    """Whether `write` works: a key that systemd or a command hands us is changed there, by a person."""

    async def read(self) -> Sequence[bytes]:
        """The keys, the newest first; none where there is none yet. Raises: VaultError."""
        ...

    def write(self, keys: Sequence[bytes]) -> None:
        """Puts these keys in place of all, so that a power cut leaves the old ones or these. Raises: VaultError."""
        ...


class KeyFile:
    """Keys in a file that only its owner reads."""

    is_writable = True

    def __init__(self, path: Path) -> None:
        self.path = path

    async def read(self) -> Sequence[bytes]:
        """The keys, the newest first; none where there is no file. Raises: VaultError."""
        try:
            return parse_keys(self.path.read_bytes(), str(self.path))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise VaultError(f"the vault's key file {self.path} cannot be read: {error.strerror}") from error

    def write(self, keys: Sequence[bytes]) -> None:
        """Written aside, synced, renamed over, and the folder synced. Raises: VaultError."""
        text = _HEADER + "".join(base64.b64encode(key).decode() + "\n" for key in keys)
        aside = self.path.with_name(f".{self.path.name}.new")
        try:
            # Left by a process that died here; what matters is the catalog's lock, which the writer holds.
            aside.unlink(missing_ok=True)
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise VaultError(
                f"the vault's key file {self.path} cannot be written: {error.strerror}"
            ) from error


class KeyReference:
    """Keys that an environment variable, a file, a command or a systemd credential holds; a person changes them there."""

    is_writable = False

    def __init__(self, reference: str, resolve: Callable[[str], Awaitable[Secret]]) -> None:
        self._reference = reference
        self._resolve = resolve

    async def read(self) -> Sequence[bytes]:
        """The keys, the newest first. Raises: VaultError."""
        secret = await self._resolve(self._reference)
        return parse_keys(secret.reveal(), self._reference)

    def write(self, keys: Sequence[bytes]) -> None:
        """Not to be had here. Raises: VaultError."""
        raise VaultError(f"the vault's key comes from {self._reference}, and is changed there")


def parse_keys(text: bytes, where: str) -> Sequence[bytes]:
    """Keys out of a key file's text. Raises: VaultError where it is none; `where` names it."""
    words = [word for line in text.splitlines() if not line.startswith(b"#") for word in line.split()]
    try:
        keys = [base64.b64decode(word, validate=True) for word in words]
    except binascii.Error:
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise VaultError(
            f"{where} holds no key of the vault",
            hint="a key is 32 bytes in base64: `openssl rand -base64 32`",
        )
    return keys


def key_id(key: bytes) -> bytes:
    """Tells keys apart, and tells nothing of them."""
    return hashlib.sha256(b"holdfast vault key\0" + key).digest()[:_ID_BYTES]


def seal(key: bytes, name: str, plaintext: bytes) -> bytes:
    """Seals a secret for its name."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + key_id(key) + nonce + AESGCM(key).encrypt(nonce, plaintext, name.encode())


def is_sealed_under(key: bytes, sealed: bytes) -> bool:
    """Whether a sealed secret names that key as its own."""
    return sealed[len(_VERSION) : len(_VERSION) + _ID_BYTES] == key_id(key)


def unseal(keys: Sequence[bytes], name: str, sealed: bytes) -> bytes:
    """Opens what `seal` made. Raises: VaultError where no key is its own, or it was changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    start = len(_VERSION) + _ID_BYTES
    if sealed[:1] != _VERSION or len(sealed) < start + _NONCE_BYTES + _TAG_BYTES:
        raise VaultError(f"the sealed secret {name} is damaged")
    key = next((each for each in keys if key_id(each) == sealed[1:start]), None)
    if key is None:
        raise VaultError(
            f"the secret {name} was sealed under another key than the vault has now",
            hint="bring back the key file of that time, or set the secret again by `holdfast vault set`",
        )
    nonce, ciphertext = sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, name.encode())
    except InvalidTag:
        raise VaultError(f"the sealed secret {name} is damaged") from None


class Vault:
    """Secrets by name."""

    def __init__(self, store: SealedStore, keys: KeySource) -> None:
        self._store = store
        self._keys = keys

    async def get(self, name: str) -> Secret:
        """The secret of that name. Raises: UnknownNameError, VaultError."""
        try:
            return await self._open(name)
        except VaultError:
            # A rotation may have ended between the reading of the row and that of the key.
            return await self._open(name)

    async def _open(self, name: str) -> Secret:
        sealed = await self._store.get(name)
        if sealed is None:
            raise await self._unknown(name)
        keys = await self._keys.read()
        if not keys:
            raise _key_is_gone()
        return Secret(unseal(keys, name, sealed))

    async def set(self, name: str, secret: Secret) -> None:
        """Keeps a secret under a name, in place of one that is there. Raises: VaultError, ConfigurationError for the program's own names."""
        _check_name(name)
        async with self._store.transaction() as rows:
            await rows.put(name, seal(await self._newest_key(rows), name, secret.reveal()))

    async def own(self, name: str) -> Secret:
        """A secret of the program itself, 32 random bytes: made at the first use, and the same ever after. Raises: VaultError."""
        name = RESERVED + name
        if await self._store.get(name) is None:
            async with self._store.transaction() as rows:
                if name not in dict(await rows.all()):
                    await rows.put(name, seal(await self._newest_key(rows), name, os.urandom(KEY_BYTES)))
        return await self.get(name)

    async def names(self) -> list[tuple[str, datetime.datetime]]:
        """The names of all secrets that people keep, and when each was set. Needs no key."""
        return [
            (name, changed_at)
            for name, _, changed_at in await self._store.all()
            if not name.startswith(RESERVED)
        ]

    async def remove(self, name: str) -> None:
        """Removes a secret. Raises: UnknownNameError; ConfigurationError for the program's own names."""
        _check_name(name)
        async with self._store.transaction() as rows:
            is_there = await rows.remove(name)
        if not is_there:
            raise await self._unknown(name)

    async def newest_key(self) -> Secret | None:
        """The key that secrets are sealed under, in base64; None as long as there is none. Raises: VaultError."""
        keys = await self._keys.read()
        return Secret(base64.b64encode(keys[0])) if keys else None

    async def key_name(self) -> str:
        """Tells the key that secrets are sealed under from others, and tells nothing of it; empty where there is none. Raises: VaultError."""
        keys = await self._keys.read()
        return key_id(keys[0]).hex() if keys else ""

    async def add_key(self, key: Secret) -> None:
        """Opens also what was sealed under this key, in base64, from now on. Idempotent. Raises: VaultError."""
        (found,) = parse_keys(key.reveal(), "what was given")[:1]
        async with self._store.transaction():
            keys = await self._keys.read()
            if found in keys:
                return
            if not self._keys.is_writable:
                raise VaultError(
                    "the vault's key comes from outside, and is another one than the kit's",
                    hint="put the kit's key on a line below the one that is there, where it comes from",
                )
            self._keys.write([*keys, found])

    async def rotate(self) -> int:
        """Seals every secret anew under a new key, and drops the older ones; how many secrets.

        Killed at any point, all secrets stay readable: the new key is put beside the old ones first, and these go only when no row needs
        them. With a key that comes from elsewhere, a person puts the new one in front of the old one there, and takes the old one away
        afterwards. Raises: VaultError, with every secret as readable as before.
        """
        async with self._store.transaction() as rows:
            keys = await self._require_keys(rows)
            if self._keys.is_writable:
                keys = [os.urandom(KEY_BYTES), *keys]
                self._keys.write(keys)
            elif len(keys) == 1:
                raise VaultError(
                    "the vault's key comes from outside, and only one is there",
                    hint="put a new key on a line before the old one, rotate, and then take the old one away",
                )
            secrets = await rows.all()
            for name, sealed in secrets:
                await rows.reseal(name, seal(keys[0], name, unseal(keys, name, sealed)))
        if self._keys.is_writable:
            async with self._store.transaction() as rows:
                used = {sealed[1 : 1 + _ID_BYTES] for _, sealed in await rows.all()}
                newest, *older = await self._keys.read()
                self._keys.write([newest, *(key for key in older if key_id(key) in used)])
        return len(secrets)

    async def _newest_key(self, rows: SealedRows) -> bytes:
        return (await self._require_keys(rows))[0]

    async def _require_keys(self, rows: SealedRows) -> Sequence[bytes]:
        keys = await self._keys.read()
        if keys:
            return keys
        if await rows.all():
            raise _key_is_gone()
        keys = [os.urandom(KEY_BYTES)]
        self._keys.write(keys)
        return keys

    async def _unknown(self, name: str) -> UnknownNameError:
        near = nearest(name, [known for known, _ in await self.names()])
        return UnknownNameError(
            f"the vault holds no secret named {name}",
            hint=f"did you mean {near}?" if near else f"`holdfast vault set {name}` keeps one",
        )


def _key_is_gone() -> VaultError:
    return VaultError(
        "the vault's key is gone, and the catalog holds secrets sealed under it",
        hint="bring the key file back; a new key would open none of them",
    )


def _check_name(name: str) -> None:
    if name.startswith(RESERVED):
        raise ConfigurationError(f"names that begin with {RESERVED} are the program's own")
    if not name or len(name) > 200 or not name.isprintable():
        raise ConfigurationError(f"{name!r} cannot be the name of a secret")


def _ignore_warning(_message: str) -> None:
    """Nobody wants to hear."""


def _ignore_secret(_secret: Secret) -> None:
    """Nobody keeps a list."""


def _no_input() -> bytes:
    raise ConfigurationError("there is no standard input to read a secret from")


@dataclass(frozen=True, slots=True)
class SecretResolver:
    """Turns a REF into the secret that it names. Satisfies `engine.hosts.base.ResolveSecret`. Errors never show a secret."""

    environment: Mapping[str, str]
    vault: Vault | None = None
    read_line: Callable[[], bytes] = _no_input
    """Reads one line of standard input, in a thread."""
    register: Callable[[Secret], None] = field(default=_ignore_secret)
    """Told of each secret, so that no log shows it."""
    warn: Callable[[str], None] = field(default=_ignore_warning)
    """Told of a file that others can read."""

    async def __call__(self, reference: str) -> Secret:
        """The secret. White space at the ends of a file, a credential, a command's output or a line is not part of it, as restic has it.

        Raises: ConfigurationError where the text is no REF, UnknownNameError for the vault's, VaultError where nothing is there.
        """
        value = await self._read(reference)
        if not value:
            raise VaultError(f"the secret {_shown(reference)} is empty")
        if len(value) > LONGEST_SECRET_BYTES:
            raise VaultError(f"the secret {_shown(reference)} is over {LONGEST_SECRET_BYTES} bytes long")
        secret = Secret(value)
        self.register(secret)
        return secret

    async def _read(self, reference: str) -> bytes:
        kind, _, rest = reference.partition(":")
        if reference == "-":
            return (await asyncio.to_thread(self.read_line)).strip()
        if not rest or kind not in ("env", "file", "command", "vault", "systemd"):
            # The text may be the secret itself, put here by mistake: it is not repeated.
            raise ConfigurationError("a secret is named, not written out", hint=f"say {_REF_FORMS}")
        if kind == "env":
            return self._from_environment(rest)
        if kind == "file":
            return await asyncio.to_thread(self._from_file, Path(rest))
        if kind == "systemd":
            return await asyncio.to_thread(self._from_credential, rest)
        if kind == "command":
            return await _from_command(rest)
        if self.vault is None:
            raise ConfigurationError("the vault's own key cannot lie in the vault")
        return (await self.vault.get(rest)).reveal()

    def _from_environment(self, name: str) -> bytes:
        value = self.environment.get(name)
        if value is None:
            raise VaultError(
                f"the environment has no variable {name}", hint=f"set it, or name another place: {_REF_FORMS}"
            )
        return os.fsencode(value)

    def _from_file(self, path: Path) -> bytes:
        """In a thread, for a pipe may make us wait."""
        try:
            with path.expanduser().open("rb") as file:
                status = os.fstat(file.fileno())
                if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
                    self.warn(f"the secret's file {path} can be read by others: chmod 600 {path}")
                return file.read(LONGEST_SECRET_BYTES + 1).strip()
        except OSError as error:
            raise VaultError(f"the secret's file {path} cannot be read: {error.strerror}") from error

    def _from_credential(self, name: str) -> bytes:
        folder = self.environment.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise VaultError(
                f"there is no systemd credential {name}: this is no service that was given credentials",
                hint=f"LoadCredential={name}:PATH in the unit hands one over",
            )
        if "/" in name or name in (".", ".."):
            raise ConfigurationError(f"{name!r} cannot be the name of a systemd credential")
        try:
            with (Path(folder) / name).open("rb") as file:
                return file.read(LONGEST_SECRET_BYTES + 1).strip()
        except OSError as error:
            raise VaultError(f"the systemd credential {name} cannot be read: {error.strerror}") from error


def _shown(reference: str) -> str:
    """A REF for messages: a command's arguments may hold what is nobody's business."""
    kind, colon, rest = reference.partition(":")
    return (
        f"command:{rest.split()[0]} …" if kind == "command" and len(rest.split()) > 1 else kind + colon + rest
    )


async def _from_command(line: str) -> bytes:
    """The command is taken apart as a shell would, and run without one."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigurationError("the command of a secret has an unclosed quote") from error
    if not words:
        raise ConfigurationError("the command of a secret is empty")
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise VaultError(f"the command of a secret, {words[0]}, cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise VaultError(
            f"the command of a secret, {words[0]}, did not end in {COMMAND_TIMEOUT_S:.0f} s"
        ) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise VaultError(
            f"the command of a secret, {words[0]}, ended with status {process.returncode}",
            hint="run it by hand to see what it says",
        )
    return output.strip()


def open_vault(store: SealedStore, key_file: Path, configured: str, environment: Mapping[str, str]) -> Vault:
    """The vault with its key from where it lies: the REF of config.toml, else HOLDFAST_VAULT_KEY, else the systemd credential
    holdfast-vault-key, else the file in the home, which is made at the first use."""
    reference = configured
    if not reference and environment.get(KEY_ENVIRONMENT):
        reference = f"env:{KEY_ENVIRONMENT}"
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not reference and folder and (Path(folder) / KEY_CREDENTIAL).exists():
        reference = f"systemd:{KEY_CREDENTIAL}"
    if not reference:
        return Vault(store, KeyFile(key_file))
    return Vault(store, KeyReference(reference, SecretResolver(environment)))
