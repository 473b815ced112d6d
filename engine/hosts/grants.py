"""The least that a host must allow us, as text that is ready to paste. Pure: commands and values in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from engine.hosts import options, script
from engine.hosts.base import Command, Facts
from engine.model.definitions import Host

GrantKind = Literal["sudoers", "doas", "authorized_keys", "sql", "note"]


@dataclass(frozen=True, slots=True)
class Grant:
    """One thing that must be allowed. Sources of databases add their own SQL grants."""

    kind: GrantKind
    text: str
    """Lines to paste as they are."""
    reason: str
    """What it is for, in a sentence without a full stop."""


_TITLES: dict[GrantKind, str] = {
    "authorized_keys": "In ~/.ssh/authorized_keys of the user that logs in",
    "sudoers": "In /etc/sudoers.d/holdfast (edit it with visudo)",
    "doas": "Or, where doas is used, in /etc/doas.conf",
    "sql": "In the database, as its administrator",
    "note": "Besides",
}


def grants(
    definition: Host,
    facts: Facts,
    commands: Sequence[Command],
    contributed: Sequence[Grant] = (),
    *,
    public_key: str | None = None,
    our_addresses: Sequence[str] = (),
) -> str:
    """What this host must allow so that these commands of its sources may run; `commands` as the sources start them.

    A command without `as_user` gets the host's own option `as_user`, and every one its environment. `our_addresses` become `from=` in
    authorized_keys.
    """
    needed = [] if public_key is None else [_authorized_key(public_key, our_addresses)]
    default = definition.options.get("as_user")
    environment = options.Reader(definition).environment()
    for each in commands:
        command = replace(each, settings={**environment, **each.settings})
        user = command.as_user or (default if isinstance(default, str) else None)
        if user and user != facts.user:
            needed += _become(facts.user, user, command)
    needed += contributed
    if not needed:
        return f"# {definition.name}: its sources need no more than the login as {facts.user}.\n"
    parts = [f"# {definition.name}: the least that its sources need, for the login {facts.user}.\n"]
    for kind, title in _TITLES.items():
        chosen = dict.fromkeys(grant for grant in needed if grant.kind == kind)
        if chosen:
            parts.append(
                f"\n# {title}:\n" + "".join(f"# {grant.reason}.\n{grant.text}\n" for grant in chosen)
            )
    return "".join(parts)


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
