"""The paths that a backup begins at, and the directories that lead to them. Pure."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.errors import ConfigurationError


def normalise(paths: Iterable[str]) -> tuple[bytes, ...]:
    """Absolute paths without `.`, `..` and double slashes, sorted by their parts, none of them below another.

    `..` is taken back by its name alone, as restic does. Raises: ConfigurationError.
    """
    roots: list[bytes] = []
    for path in paths:
        if not path.startswith("/") or "\0" in path:
            raise ConfigurationError(
                f"source option path must be absolute, not {path!a}",
                hint="say it from / on: --path /srv/data",
            )
        roots.append(b"/" + posixpath.normpath(os.fsencode(path)).lstrip(b"/"))
    if not roots:
        raise ConfigurationError(
            "source option path is missing", hint="say what to back up: --path /srv/data"
        )
    kept: list[bytes] = []
    for root in sorted(set(roots), key=_parts):
        if not kept or not (root + b"/").startswith(kept[-1].rstrip(b"/") + b"/"):
            kept.append(root)
    return tuple(kept)


def ancestors(roots: Sequence[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """For each root, the directories above it that no earlier root has, outermost first; `/` itself is never one."""
    seen: set[bytes] = set()
    found: dict[bytes, tuple[bytes, ...]] = {}
    for root in roots:
        above: list[bytes] = []
        parent = posixpath.dirname(root)
        while parent != b"/" and parent not in seen:
            seen.add(parent)
            above.append(parent)
            parent = posixpath.dirname(parent)
        found[root] = tuple(reversed(above))
    return found


def _parts(path: bytes) -> list[bytes]:
    return path.split(b"/")


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be read of a host."""

    roots: tuple[bytes, ...]
    """As `normalise` makes them."""
    excludes: tuple[str, ...] = ()
    find_words: tuple[str | bytes, ...] = ()
    """What find is told so that it passes over what is left out."""
    is_one_file_system: bool = False
