"""How others get to the same directory: stock restic, through OpenSSH's own client, and a home of holdfast that knows nothing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from engine.hosts import options
from engine.hosts.base import HostKey
from engine.hosts.ssh.connect import Address, parse_address
from engine.model.definitions import Host
from engine.storages.base import StockRestic


def location(host: Host, path: str) -> str:
    """As restic's `-r` takes it: `sftp:USER@HOST:PATH`, or a URL where there is a port or an IPv6 address."""
    address = _address(host)
    user = f"{address.user}@" if address.user else ""
    if address.port is None and ":" not in address.host:
        return f"sftp:{user}{address.host}:{path}"
    name = f"[{address.host}]" if ":" in address.host else address.host
    port = "" if address.port is None else f":{address.port}"
    return f"sftp://{user}{name}{port}/{path}"


def stock_restic(host: Host, key: HostKey | None) -> StockRestic:
    """What restic must be told: the whole command of its SSH client, for the key that the host is known to show."""
    given = options.Reader(host)
    address = _address(host)
    words = ["ssh"]
    if ssh_config := given.text("ssh_config"):
        words += ["-F", ssh_config]
    for identity in given.texts("identity"):
        words += ["-i", identity, "-o", "IdentitiesOnly=yes"]
    if jumps := given.texts("jump"):
        words += ["-J", ",".join(jumps)]
    if address.port is not None:
        words += ["-p", str(address.port)]
    first: Sequence[str] = ()
    if key is not None:
        file = f"known_hosts.{host.name}"
        first = (f"echo {shlex.quote(key.line)} > {file}",)
        words += ["-o", f"UserKnownHostsFile={file}"]
    words += [f"{address.user}@{address.host}" if address.user else address.host, "-s", "sftp"]
    return StockRestic(
        flags=("-o", f"sftp.command={shlex.join(words)}"), first=first, note=_note(host, given)
    )


def host_add(host: Host, key: HostKey | None) -> str:
    """The words by which holdfast knows the host again; a passphrase is asked for."""
    given = options.Reader(host)
    words = ["host", "add", host.name, "--address", host.address or host.name]
    for identity in given.texts("identity"):
        words += ["--identity", identity]
    if given.text("passphrase"):
        words += ["--passphrase", "-"]
    if jumps := given.texts("jump"):
        words += ["--jump", ",".join(jumps)]
    if ssh_config := given.text("ssh_config"):
        words += ["--ssh-config", ssh_config]
    if key is not None:
        words += ["--accept-key", key.fingerprint]
    return shlex.join(words)


def _address(host: Host) -> Address:
    return parse_address(host.address or host.name)


def _note(host: Host, given: options.Reader) -> str:
    identities = ", ".join(given.texts("identity"))
    key = f"the private key {identities}" if identities else "a private key that it accepts"
    phrase = " and its passphrase" if given.text("passphrase") else ""
    return f"The host {host.name} is reached by ssh, and lets in whoever has {key}{phrase}: keep a copy of that, too."
