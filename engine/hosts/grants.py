"""The least that a host must allow us, as text that is ready to paste. Pure: commands and values in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from engine.hosts import options, script
from engine.hosts.base import Command, Facts
from engine.model.definitions import Host

GrantKind = Literal["sudoers", "doas", "authorized_keys", "sql", "note"]
Purpose = Literal["backup", "part", "diff", "restore"]
"""What it is for: backups; `backup --only`; `diff --live`; restores into the server, or onto the host."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One thing that must be allowed. Sources of databases add their own SQL grants."""

    kind: GrantKind
    text: str
    """Lines to paste as they are."""
    reason: str
    """What it is for, in a sentence without a full stop."""
    purpose: Purpose = "backup"


@dataclass(frozen=True, slots=True)
class Occasion:
    """What runs on a host for one purpose."""

    purpose: Purpose
    commands: Sequence[Command] = ()
    """Word for word as they run."""
    more: str = ""
    """Why more than these run, whose words nobody can foretell: "a comparison chooses rows at random"; empty where these are all."""


_TITLES: dict[GrantKind, str] = {
    "authorized_keys": "In ~/.ssh/authorized_keys of the user that logs in",
    "sudoers": "In /etc/sudoers.d/holdfast (edit it with visudo)",
    "doas": "Or, where doas is used, in /etc/doas.conf",
    "sql": "In the database, as its administrator",
    "note": "Besides",
}
_PURPOSES: dict[Purpose, str] = {
    "backup": "",
    "part": "Only where `backup --only` is used",
    "diff": "Only where `diff --live` is used",
    "restore": "Only for as long as something is restored here, in place, beside or masked",
}


def grants(
    definition: Host,
    facts: Facts,
    occasions: Sequence[Occasion],
    contributed: Sequence[Grant] = (),
    *,
    public_key: str | None = None,
    our_addresses: Sequence[str] = (),
) -> str:
    """What this host must allow so that these commands of its sources may run, as the sources start them.

    A command without `as_user` gets the host's own option `as_user`, and every one its environment. `our_addresses` become `from=` in
    authorized_keys. What only some verbs need stands apart, and names what is new in it.
    """
    needed = [] if public_key is None else [_authorized_key(public_key, our_addresses)]
    commands = [command for each in occasions for command in each.commands]
    for each in occasions:
        found = [grant for command in each.commands for grant in _of_command(definition, facts, command)]
        if each.more:
            for user in dict.fromkeys(_other_user(definition, facts, command) for command in commands):
                found += _become_freely(facts.user, user, each.more) if user else []
        needed += [replace(grant, purpose=each.purpose) for grant in found]
    needed += contributed
    if not needed:
        return f"# {definition.name}: its sources need no more than the login as {facts.user}.\n"
    parts = [f"# {definition.name}: the least that its sources need, for the login {facts.user}.\n"]
    told: set[str] = set()
    for purpose, heading in _PURPOSES.items():
        fresh = [grant for grant in needed if grant.purpose == purpose and grant.text not in told]
        told |= {grant.text for grant in fresh}
        parts += [f"\n## {heading}\n"] if heading and fresh else []
        parts += _sections(fresh)
    return "".join(parts)


def _sections(needed: Sequence[Grant]) -> list[str]:
    parts = []
    for kind, title in _TITLES.items():
        chosen = dict.fromkeys(grant for grant in needed if grant.kind == kind)
        if chosen:
            parts.append(
                f"\n# {title}:\n" + "".join(f"# {grant.reason}.\n{grant.text}\n" for grant in chosen)
            )
    return parts


def _other_user(definition: Host, facts: Facts, command: Command) -> str:
    """Whom the login must become for it; empty for nobody."""
    default = definition.options.get("as_user")
    user = command.as_user or (default if isinstance(default, str) else "")
    return user if user != facts.user else ""


def _of_command(definition: Host, facts: Facts, command: Command) -> list[Grant]:
    user = _other_user(definition, facts, command)
    environment = options.Reader(definition).environment()
    return (
        _become(facts.user, user, replace(command, settings={**environment, **command.settings}))
        if user
        else []
    )


def _become_freely(login: str, user: str, why: str) -> list[Grant]:
    reason = f"Everything as {user}, for {why}, and no rule holds words that are made at the time: take it away again afterwards"
    return [
        Grant("sudoers", f"{login} ALL=({user}) NOPASSWD: /bin/sh", reason),
        Grant("doas", f"permit nopass {login} as {user} cmd /bin/sh", reason),
    ]


def sudoers_line(login: str, user: str, command: Command) -> str | None:
    """The rule that lets `login` run exactly this command as `user`, and no other; None where sudoers cannot express it (newlines,
    bytes that are no UTF-8).

    Source: sudoers(5), "Command tags" and "Wildcards in command arguments"; arguments are matched as one text by fnmatch.
    """
    text = _as_text(command)
    if text is None:
        return None
    return f"{login} ALL=({user}) NOPASSWD: /bin/sh -c {_escaped_for_sudoers(text)}"


def doas_line(login: str, user: str, command: Command) -> str | None:
    """The same for doas.conf(5)."""
    text = _as_text(command)
    if text is None:
        return None
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'permit nopass {login} as {user} cmd /bin/sh args -c "{quoted}"'


def _become(login: str, user: str, command: Command) -> list[Grant]:
    reason = f"{command.program}, run as {user}: this command and no other"
    sudoers, doas = sudoers_line(login, user, command), doas_line(login, user, command)
    if sudoers is None or doas is None:
        problem = f"# {command.program} has words that no rule can hold (newlines or bytes that are no UTF-8); allow it by hand"
        return [Grant("note", problem, reason)]
    return [Grant("sudoers", sudoers, reason), Grant("doas", doas, reason)]


def _authorized_key(public_key: str, our_addresses: Sequence[str]) -> Grant:
    allowed = f'from="{",".join(our_addresses)}",' if our_addresses else ""
    return Grant(
        "authorized_keys",
        f"{allowed}restrict {public_key.strip()}",
        "Login without terminal, forwarding or agent",
    )


def _as_text(command: Command) -> str | None:
    try:
        text = script.privileged(command).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if any(character in text for character in "\n\r\0") else text


def _escaped_for_sudoers(text: str) -> str:
    """Each character as the sudoers reader and then fnmatch take it for itself. A backslash is one for both, hence four."""
    escaped = []
    for position, character in enumerate(text):
        if character == "\\":
            escaped.append("\\\\\\\\")
        elif character in "*?[]!^,:=#\t":
            escaped.append("\\" + character)
        elif character == " " and (position == 0 or text[position - 1] == " " or position == len(text) - 1):
            escaped.append("\\ ")
        else:
            escaped.append(character)
    return "".join(escaped)
