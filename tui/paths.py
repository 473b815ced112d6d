"""Paths of this machine as they come into a terminal: typed, pasted with quotes, dropped as file:// addresses, several at once."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

MOST_LINES: Final = 100
"""Of a text that is pasted into a field: the rest is left out, and that is said."""
MOST_LETTERS: Final = 65_536
_MOST_ENTRIES: Final = 20_000
"""Of a folder that are looked at for a completion: some hold millions."""


def plain(text: str) -> str:
    """The path that was meant: without quotes, backslashes of a shell, `file://`."""
    text = text.strip()
    if text.startswith("file://"):
        return unquote(urlsplit(text).path)
    if text[:1] in ("'", '"') or "\\" in text:
        try:
            words = shlex.split(text)
        except ValueError:
            return text
        if len(words) == 1:
            return plain(words[0]) if words[0].startswith("file://") else words[0]
    return text


def words_of(text: str) -> Sequence[str]:
    """Several paths in one line, as terminals give what is dropped into them: quoted, or as addresses. A line that is no shell's is one path."""
    text = text.strip()
    if text[:1] not in ("'", '"') and "\\" not in text and not text.startswith("file://"):
        return [text] if text else []
    try:
        return [plain(each) if each.startswith("file://") else each for each in shlex.split(text)]
    except ValueError:
        return [text]


def pasted(text: str) -> tuple[Sequence[str], bool]:
    """The paths of a pasted text, and whether there were more than are taken."""
    lines = text[:MOST_LETTERS].splitlines()
    found = [path for line in lines[:MOST_LINES] for path in words_of(line)]
    return found, len(lines) > MOST_LINES or len(text) > MOST_LETTERS


def absolute(path: str) -> str:
    """A path of this machine from its root on, `~` understood."""
    return str(Path(path).expanduser().absolute())


def completed(text: str) -> str | None:
    """The text with as much of a path behind it as is certain, or the first of several; None where nothing fits. Blocks: for a thread."""
    folder, _, begun = text.rpartition("/")
    if not text.startswith(("/", "~/")):
        return None
    try:
        with os.scandir(Path(folder or "/").expanduser()) as entries:
            fitting = [
                (each.name, each.is_dir())
                for each in itertools.islice(entries, _MOST_ENTRIES)
                if each.name.startswith(begun) and (begun or not each.name.startswith("."))
            ]
    except OSError:
        return None
    if not fitting:
        return None
    shared = os.path.commonprefix([name for name, _ in fitting])  # noqa: RUF071 -- letters are what is shared
    name, is_folder = min(fitting)
    if len(shared) > len(begun) and len(fitting) > 1:
        return f"{folder}/{shared}"
    found = f"{folder}/{name}{'/' if is_folder else ''}"
    return found if found != text else None
