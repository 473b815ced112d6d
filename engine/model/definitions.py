"""Hosts, sources and storages as a person defined them. No secret lies in here: only REFs, which say where a secret is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

OptionValue = str | int | bool | Sequence[str] | None

LOCAL_HOST = "localhost"
"""The name of this machine where a source names no host."""


@dataclass(frozen=True, slots=True)
class Host:
    """A machine reached over SSH, or this one (kind `local`)."""

    name: str
    kind: str = "ssh"
    address: str = ""
    """[USER@]HOST[:PORT], or an alias of the ssh_config."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """All kinds: as_user, nice (true or false), environment (list of NAME=VALUE), stage (what it is for: `staging`), max_channels, retired (why). SSH: identity (list), certificate
    (list), passphrase and password (REFs), agent (socket), jump (list of [USER@]HOST[:PORT]), known_hosts (list of files), host_key
    (list of keys that a person accepted, `TYPE BASE64`), ssh_config (a file, or `none`), compress (auto, always, never), keepalive
    and connect_timeout (seconds), keepalive_count."""


def retired_reason(host: Host) -> str:
    """Why the host was retired; empty where it was not. Nothing of it is backed up any more, and what was stays."""
    return str(host.options.get("retired") or "")


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up on a host."""

    name: str
    kind: str
    host: str = LOCAL_HOST
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """By the command line's names with `_` for `-`; secrets as REFs."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A place that holds one repository."""

    name: str
    kind: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    password: str = ""
    """REF of the repository's password."""
    repository_id: str = ""
    is_enabled: bool = True
    is_default: bool = False
