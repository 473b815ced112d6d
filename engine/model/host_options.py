"""The options of hosts, as they are typed; and what a host's definition makes of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final

from engine.errors import UsageError
from engine.model.definitions import OptionValue
from engine.model.options import Option

OPTIONS: Final = (
    Option("identity", "private key (may be repeated)", "FILE", is_many=True, is_file=True),
    Option("passphrase", "of the private key", "REF", is_secret=True),
    Option("jump", "go through this host, or several parted by commas", "[USER@]HOST[:PORT]"),
    Option(
        "known_hosts", "trust the keys in this file (may be repeated)", "FILE", is_many=True, is_file=True
    ),
    Option("ssh_config", "in place of ~/.ssh/config", "FILE", is_file=True),
    Option("as_user", "run commands as this user, by sudo or doas", "USER", typed_as="as"),
    Option("nice", "leave the host's processor and disk to others (yes)", choices=("yes", "no")),
    Option(
        "environment",
        "what the host is for: staging, where masked columns stay masked; or NAME=VALUE, set for all commands (may be repeated), no secrets",
        "NAME",
        is_many=True,
    ),
    Option("max_channels", "commands at once", "N", "count"),
    Option("compress", "zstd on the way, where the link is slow", choices=("auto", "always", "never")),
)
KEPT: Final = (*(each.kept_as for each in OPTIONS), "stage")
"""What the catalog keeps of them."""


def staged(options: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """The options, where an environment without a value is what the host is for. Raises: UsageError for two of them."""
    given = options.get("environment")
    if not isinstance(given, tuple | list):
        return dict(options)
    names = [each for each in given if "=" not in each]
    if len(names) > 1:
        raise UsageError(f"a host has one environment, not {' and '.join(names)}")
    kept = {name: value for name, value in options.items() if name != "environment"}
    variables = tuple(each for each in given if "=" in each)
    kept |= {"environment": variables} if variables else {}
    return kept | ({"stage": names[0]} if names else {})


def unstaged(options: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """The other way round: what the host is for is typed among its environment."""
    kept = {name: value for name, value in options.items() if name not in ("stage", "environment")}
    given = options.get("environment")
    variables = (
        (given,) if isinstance(given, str) else tuple(given) if isinstance(given, tuple | list) else ()
    )
    stage = options.get("stage")
    names = (stage,) if isinstance(stage, str) and stage else ()
    return kept | ({"environment": (*names, *variables)} if names or variables else {})


def is_number(address: str) -> bool:
    """Whether an address says no name, but a number: `backup@192.0.2.7:22`."""
    machine = address.rpartition("@")[2]
    machine = machine.strip("[]") if machine.count(":") > 1 else machine.partition(":")[0]
    try:
        ipaddress.ip_address(machine)
    except ValueError:
        return False
    return True


def name_of(address: str) -> str:
    """What a host of that address is called where nobody says otherwise: `db1` for `backup@db1.example.org:22`; empty where that gives no name."""
    machine = address.rpartition("@")[2]
    machine = machine if machine.count(":") > 1 else machine.partition(":")[0]
    label = machine if machine.replace(".", "").isdigit() else machine.partition(".")[0]
    name = "".join(
        each if each.isascii() and (each.isalnum() or each in "-_") else "-" for each in label
    ).strip("-")
    return (name if name[:1].isalpha() else f"host-{name}" if name else "")[:64]
