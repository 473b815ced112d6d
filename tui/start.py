"""Before anything is drawn: what the words of the command line ask for, whether the terminal can show it, and what Textual reads when it is imported."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import UsageError

OVER_SSH_FPS: Final = "5"
LOCAL_FPS: Final = "30"
_READ_ONLY: Final = "HOLDFAST_READ_ONLY"
PORT: Final = 8722
"""Of the console in a browser, where no other is named: the same one each time, for ssh to lead to."""
_FLAGS: Final = ("--read-only", "--ascii", "--serve")
_WITH_VALUE: Final = ("--home", "--theme", "--port")
_HINT: Final = "the console takes --home DIR, --read-only, --ascii, --theme NAME, --serve and --port N"


@dataclass(frozen=True, slots=True)
class Options:
    """What the words ask for."""

    home: str | None = None
    theme: str = ""
    """Empty: as console.toml says, or as the terminal bears."""
    is_ascii: bool = False
    is_read_only: bool = False
    port: int | None = None
    """Where consoles are served to browsers, 0 for any; None: nowhere, it runs in this terminal."""

    def words(self) -> Sequence[str]:
        """The same for a console in its own process, without what serves it."""
        return [
            *(("--home", self.home) if self.home is not None else ()),
            *(("--theme", self.theme) if self.theme else ()),
            *(("--ascii",) if self.is_ascii else ()),
            *(("--read-only",) if self.is_read_only else ()),
        ]


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
    if "--port" in values and "--serve" not in flags:
        raise UsageError("--port says where a browser finds the console", hint="add --serve")
    return Options(
        home=values.get("--home"),
        theme=values.get("--theme", ""),
        is_ascii="--ascii" in flags,
        is_read_only="--read-only" in flags or environment.get(_READ_ONLY, "") not in ("", "0"),
        port=_port(values.get("--port")) if "--serve" in flags else None,
    )


def _port(text: str | None) -> int:
    """Raises: UsageError."""
    if text is None:
        return PORT
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise UsageError(f"--port {text}: no port", hint="a number up to 65535; 0 takes any that is free")
    return int(text)


def unfit(environment: Mapping[str, str], *, is_terminal: bool, encoding: str, is_ascii: bool = False) -> str:
    """Why the console cannot be drawn here, and what can be done instead; empty where it can. What is ASCII any terminal understands."""
    if environment.get("TEXTUAL_DRIVER"):
        return ""  # a browser
    if not is_terminal:
        return "the console needs a terminal; `holdfast status` prints what is at risk, `holdfast --help` names all verbs"
    if environment.get("TERM", "") in ("", "dumb"):
        return "the console needs a terminal that can place its cursor, and TERM says that this one cannot; `holdfast status` prints the same"
    if not is_ascii and encoding.lower().replace("-", "") != "utf8":
        return f"the console needs UTF-8, and this terminal is said to speak {encoding}; set LC_ALL=C.UTF-8, or add --ascii"
    return ""


def is_remote(environment: Mapping[str, str]) -> bool:
    """Whether the terminal is reached over SSH."""
    return bool(environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"))


def prepare(environment: MutableMapping[str, str]) -> None:
    """Sets what Textual reads when it is imported; what a person set stands.

    No animation, few frames: measured bytes a key, see tests/tui/test_bytes.py. A key that comes before the last one was drawn waits for a frame:
    33 ms here. Over SSH an escape sequence may come in two parts.
    """
    environment.setdefault("TEXTUAL_ANIMATIONS", "none")
    environment.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    environment.setdefault("TEXTUAL_FPS", OVER_SSH_FPS if is_remote(environment) else LOCAL_FPS)
    if is_remote(environment):
        environment.setdefault("ESCDELAY", "250")
