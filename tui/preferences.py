"""What a person set for the console of this home: console.toml in it. A mistake is told by its line, and the default is used.

::

    name = "prod"                     # in the topmost row; the home's folder, where it is left out
    theme = "production"              # a file of themes/, here or in the home
    is_ascii = true                   # no character beyond ASCII is sent: others are seen as ? in names
    is_mouse_used = false
    [keys]
    "source.backup" = "B"             # an action, and the key that does it in place of the usual one; or a list of keys
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from engine.model.names import nearest
from engine.model.toml_lines import line_of
from tui.actions import ACTIONS, Action, key_names

FILE: Final = "console.toml"
_INNER: Final = frozenset({"list", "text"})
"""Places that stand within others: their keys come before those of the place round them."""
_OUTER: Final = "everywhere"
_OWN: Final = frozenset({"ctrl+c", "ctrl+q"})
"""Of the console itself: they end it, whatever else is wrong."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """console.toml."""

    name: str = ""
    theme: str = ""
    """Empty: as the terminal allows."""
    is_ascii: bool = False
    is_mouse_used: bool = False
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Action -> its keys as Textual calls them, in place of the table's."""
    mistakes: Sequence[str] = ()
    """One sentence each, with the file's name and the line."""

    def overruled(self, theme: str, is_ascii: bool) -> Preferences:
        """With what the command line says in place of the file."""
        return replace(self, theme=theme or self.theme, is_ascii=is_ascii or self.is_ascii)

    def keys_of(self, action_id: str) -> Sequence[str]:
        """The keys that do an action now."""
        return self.keys.get(action_id) or ACTIONS[action_id].keys

    def key_of(self, action: Action) -> str:
        """The first of them, as a person calls it; empty where there is none."""
        return key_names.shown(next(iter(self.keys_of(action.action_id)), ""))


def read_preferences(home: Path) -> Preferences:
    """The preferences of a home; a file that is not there is an empty one. Never raises for what is in it."""
    path = home / FILE
    try:
        text = path.read_bytes().decode("utf-8")
        document = tomllib.loads(text)
    except FileNotFoundError:
        return Preferences(home.name)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Preferences(home.name, mistakes=(f"{FILE} is not used: {error}",))
    found = parse(text, document, home.name)
    return Preferences(
        found.name,
        found.theme,
        found.is_ascii,
        found.is_mouse_used,
        found.keys,
        [f"{FILE}, {each}" for each in found.mistakes],
    )


def parse(text: str, document: Mapping[str, Any], name: str) -> Preferences:
    """The preferences of a document, `text` being what it was parsed from; mistakes as `line 3: ...`."""
    mistakes: list[str] = []
    known = [each.name for each in fields(Preferences) if each.name != "mistakes"]
    defaults = Preferences(name)
    values: dict[str, Any] = {"name": name}
    for key, value in document.items():
        line = line_of(text, "", key)
        if key not in known:
            near = nearest(key, known)
            mistakes.append(
                f"line {line}: there is no {key}"
                + (f"; did you mean {near}?" if near else f"; there are {', '.join(known)}")
            )
        elif key != "keys" and type(value) is not type(getattr(defaults, key)):
            mistakes.append(
                f"line {line}: {key} is {'true or false' if isinstance(getattr(defaults, key), bool) else 'a text'}"
            )
        elif key != "keys":
            values[key] = value
    given = document.get("keys", {})
    if not isinstance(given, dict):
        mistakes.append(f"line {line_of(text, '', 'keys')}: keys is a table of actions and their keys")
        given = {}
    values["keys"] = _keys(text, given, mistakes)
    return Preferences(**values, mistakes=mistakes)


def _keys(text: str, given: Mapping[str, Any], mistakes: list[str]) -> Mapping[str, Sequence[str]]:
    """What holds of [keys]: an action that is known, keys that there are, and none that another action has where both work."""
    wanted: dict[str, Sequence[str]] = {}
    for action_id, value in given.items():
        line = f"line {line_of(text, 'keys', action_id)}"
        listed = [value] if isinstance(value, str) else value
        if action_id not in ACTIONS:
            near = nearest(action_id, list(ACTIONS))
            mistakes.append(
                f"{line}: there is no action {action_id}"
                + (f"; did you mean {near}?" if near else "; the palette lists them")
            )
        elif not isinstance(listed, list) or not listed or not all(isinstance(each, str) for each in listed):
            mistakes.append(f"{line}: {action_id} needs a key, or a list of keys")
        elif own := [each for each in listed if key_named(each) in _OWN]:
            mistakes.append(f"{line}: {own[0]} is the console's own, and ends it")
        elif strange := [each for each in listed if key_named(each) is None]:
            mistakes.append(f"{line}: there is no key {strange[0]}; a letter, or a name as ctrl+b, enter, f5")
        else:
            wanted[action_id] = tuple(key for each in listed if (key := key_named(each)) is not None)
    # One that keeps its own keys may stand in the way of another that was to have them.
    while clashes := [(action_id, *clash) for action_id in wanted if (clash := _clash(action_id, wanted))]:
        action_id, key, other = clashes[0]
        del wanted[action_id]
        mistakes.append(
            f"line {line_of(text, 'keys', action_id)}: {action_id} keeps its own keys, for {key} is {other}'s;"
            " give that one another key too"
        )
    return wanted


def _clash(action_id: str, wanted: Mapping[str, Sequence[str]]) -> tuple[str, str] | None:
    """The first key of an action that another one has, where both would work."""
    place = ACTIONS[action_id].place
    for key in wanted[action_id]:
        for other in ACTIONS.values():
            if (
                other.action_id != action_id
                and _meet(place, other.place)
                and key in (wanted.get(other.action_id) or other.keys)
            ):
                return key, other.action_id
    return None


def _meet(one: str, other: str) -> bool:
    """Whether actions of these places may be asked for by one key press."""
    return one == other or _OUTER in (one, other) or one in _INNER or other in _INNER


def key_named(text: str) -> str | None:
    """Textual's name of a key that a person wrote: `?`, `b`, `ctrl+b`, `F5`, `esc`; None for one that no terminal sends: `shift+b` arrives as
    `B`, `ctrl+m` as enter, and what has Alt is none (see keyboard.py).
    """
    if len(text) == 1:
        return _of_sign(text) if text.isprintable() else None
    name = key_names.named(text.lower())
    return name if name in _signs() or name in _sent() else None


def _of_sign(sign: str) -> str:
    from textual.keys import (
        _character_to_key,
    )  # for those alone who give keys: the first picture waits for it

    return _character_to_key(sign)


@functools.cache
def _signs() -> frozenset[str]:
    return frozenset(_of_sign(chr(code)) for code in range(0x21, 0x7F))


@functools.cache
def _sent() -> frozenset[str]:
    """The keys besides letters and signs that Textual knows a terminal to send."""
    from textual._ansi_sequences import ANSI_SEQUENCES_KEYS

    found = (each for keys in ANSI_SEQUENCES_KEYS.values() if isinstance(keys, tuple) for each in keys)
    return frozenset(each.value for each in found if not each.value.startswith("<"))
