"""Before anything is drawn: what the words of the command line ask for, whether the terminal can show it, and what Textual reads when it is imported."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import UsageError

OVER_SSH_FPS: Final = "5"
LOCAL_FPS: Final = "15"
_READ_ONLY: Final = "HOLDFAST_READ_ONLY"
_FLAGS: Final = ("--read-only", "--ascii")
_WITH_VALUE: Final = ("--home", "--theme")
_HINT: Final = "the console takes --home DIR, --read-only, --ascii and --theme NAME"


@dataclass(frozen=True, slots=True)
class Options:
    """What the words ask for."""

    home: str | None = None
    theme: str = ""
    """Empty: as console.toml says, or as the terminal bears."""
    is_ascii: bool = False
    is_read_only: bool = False


def read_options(words: Sequence[str], environment: Mapping[str, str]) -> Options:
    """The options among the words. Raises: UsageError for any that is not known, or lacks its value."""
    flags: set[str] = set()
    values: dict[str, str] = {}
    rest = list(words)
    while rest:
        name, sign, value = rest.pop(0).partition("=")
        if name in _WITH_VALUE:
            if not sign and not rest:
                raise UsageError(f"option {name} needs a value", hint=_HINT)
            values[name] = value if sign else rest.pop(0)
        elif name in _FLAGS and not sign:
            flags.add(name)
        else:
            raise UsageError(f"the console has no option {name}", hint=_HINT)
    return Options(
        home=values.get("--home"),
        theme=values.get("--theme", ""),
        is_ascii="--ascii" in flags,
        is_read_only="--read-only" in flags or environment.get(_READ_ONLY, "") not in ("", "0"),
    )


def unfit(environment: Mapping[str, str], *, is_terminal: bool, encoding: str) -> str:
    """Why the console cannot be drawn here, and what can be done instead; empty where it can."""
    if environment.get("TEXTUAL_DRIVER"):
        return ""  # a browser
    if not is_terminal:
        return "the console needs a terminal; `holdfast status` prints what is at risk, `holdfast --help` names all verbs"
    if environment.get("TERM", "") in ("", "dumb"):
        return "the console needs a terminal that can place its cursor, and TERM says that this one cannot; `holdfast status` prints the same"
    if encoding.lower().replace("-", "") != "utf8":
        return f"the console needs UTF-8, and this terminal is said to speak {encoding}; set LC_ALL=C.UTF-8"
    return ""


def is_remote(environment: Mapping[str, str]) -> bool:
    """Whether the terminal is reached over SSH."""
    return bool(environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"))


def prepare(environment: MutableMapping[str, str]) -> None:
    """Sets what Textual reads when it is imported; what a person set stands.

    No animation, few frames: measured bytes a key, see tests/tui/test_bytes.py. Over SSH an escape sequence may come in two parts.
    """
    environment.setdefault("TEXTUAL_ANIMATIONS", "none")
    environment.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    environment.setdefault("TEXTUAL_FPS", OVER_SSH_FPS if is_remote(environment) else LOCAL_FPS)
    if is_remote(environment):
        environment.setdefault("ESCDELAY", "250")
