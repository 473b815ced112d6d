"""Which key a host must show: known_hosts, always checked, never taken in silence.

asyncssh checks nothing where known_hosts is None, and makes it None where the ssh_config says `UserKnownHostsFile none`; so the files are
found and read here, and an answer, perhaps an empty one, is always handed to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import asyncssh

from engine.errors import ConfigurationError, HostError, HostKeyChangedError, HostKeyUnknownError
from engine.hosts.base import HostKey

GLOBAL_FILES = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
DEFAULT_PORT = 22

Keys = Sequence[asyncssh.SSHKey]


class KnownHosts:
    """The keys that are trusted, from files and from lines that a person accepted."""

    def __init__(self, files: Sequence[Path], accepted: Sequence[str]) -> None:
        self.files = tuple(files)
        self._accepted = [_public_key(line) for line in accepted]
        try:
            self._known = asyncssh.read_known_hosts([str(file) for file in files]) if files else None
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"known_hosts cannot be read: {error}") from error

    def match(self, host: str, address: str, port: int | None) -> tuple[Keys, Keys, Keys]:
        """Host keys, certificate authorities and revoked keys for a host; `port` None for 22, as asyncssh asks."""
        if self._known is None:
            return self._accepted, [], []
        found = self._known.match(host, address, port)
        return [*self._accepted, *found[0]], list(found[1]), list(found[2])


class Verifier(asyncssh.SSHClient):
    """Remembers what the host showed and what was known, so that a refusal can be told in full."""

    def __init__(self, name: str, known_hosts: KnownHosts) -> None:
        self._name = name
        self._known_hosts = known_hosts
        self.known: list[asyncssh.SSHKey] = []
        self.is_known_by_authority = False
        self.shown: asyncssh.SSHKey | None = None

    def match(self, host: str, address: str, port: int | None) -> tuple[Keys, Keys, Keys]:
        """What asyncssh asks in place of reading files."""
        keys, authorities, revoked = self._known_hosts.match(host, address, port)
        self.known = list(keys)
        self.is_known_by_authority = bool(authorities)
        return keys, authorities, revoked

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Called for a key that is not among the known ones: refuses it."""
        self.shown = key
        return False

    def refusal(self, reason: str, key: asyncssh.SSHKey | None) -> HostError:
        """The error for a key that was refused, or for a certificate by an authority that is not known; `key` is the host's plain one."""
        if "revoked" in reason:
            return HostKeyChangedError(
                f"the key of {self._name} is revoked in known_hosts",
                hint="do not connect; ask who runs the host",
            )
        if key is None:
            return HostKeyUnknownError(f"the key of {self._name} cannot be trusted: {reason}")
        fingerprint = key.get_fingerprint()
        if self.known and key not in self.known:
            known = ", ".join(
                sorted({f"{one.get_algorithm()} {one.get_fingerprint()}" for one in self.known})
            )
            return HostKeyChangedError(
                f"the key of {self._name} has changed: it shows {key.get_algorithm()} {fingerprint}, known is {known}",
                hint="somebody may be in between; only if the host was set up anew, remove its old line from known_hosts",
            )
        return HostKeyUnknownError(
            f"the key of {self._name} is not known: it shows {key.get_algorithm()} {fingerprint}",
            hint="compare the fingerprint with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub); if it is the same, "
            "accept it with `holdfast host add`, or give its line with --known-hosts FILE",
        )


def find_files(given: Sequence[str], configured: Sequence[str] | None, home: Path) -> list[Path]:
    """The known_hosts files: those given, which must be there; else the ssh_config's or the user's, as far as they are there.

    Raises: ConfigurationError for a given file that is missing.
    """
    if given:
        files = [_expanded(file, home) for file in given]
        for file in files:
            if not file.is_file():
                raise ConfigurationError(f"the known_hosts file {file} is not there")
        return files
    defaults = [str(home / ".ssh" / "known_hosts"), str(home / ".ssh" / "known_hosts2")]
    named = (
        defaults
        if configured is not None and not configured
        else [file for file in configured or () if file != "none"]
    )
    return [file for file in (_expanded(name, home) for name in (*named, *GLOBAL_FILES)) if file.is_file()]


def describe(key: asyncssh.SSHKey, host: str, port: int) -> HostKey:
    """The key as a line of known_hosts, and its fingerprint."""
    where = host if port == DEFAULT_PORT else f"[{host}]:{port}"
    words = key.export_public_key("openssh").decode().split()
    return HostKey(f"{where} {words[0]} {words[1]}", key.get_fingerprint())


def _expanded(name: str, home: Path) -> Path:
    return home / name[2:] if name.startswith("~/") else Path(name)


def _public_key(line: str) -> asyncssh.SSHKey:
    """A key from `TYPE BASE64` or a whole known_hosts line."""
    words = line.split()
    try:
        return asyncssh.import_public_key(" ".join(words[-2:]))
    except asyncssh.KeyImportError as error:
        raise ConfigurationError(f"the option host_key holds no key: {line}") from error
