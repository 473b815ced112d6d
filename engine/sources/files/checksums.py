"""SHA-256 of files of a host, computed there: names go to xargs each ended by a NUL, lines come back from sha256sum."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from engine.errors import CommandFailedError
from engine.hosts.base import Command, OpenHost

COMMAND: Final = Command(("xargs", "-0", "sha256sum", "--"), input="stream")
TIMEOUT_S: Final = 24 * 3600.0
_SOME_FAILED: Final = 123
"""Of xargs: a file could not be read; the others were."""
_LINE: Final = re.compile(rb"(\\?)([0-9a-f]{64}) [ *](.+)")
_ESCAPE: Final = re.compile(rb"\\([\\nr])")
_MEANT: Final = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}
_ANSWER_BYTES: Final = 2 * 4096 + 128
"""Of a file, at the most: a path, its escapes, and the rest of the line."""


async def checksums(host: OpenHost, paths: Sequence[bytes]) -> Mapping[bytes, str]:
    """By absolute path, in hexadecimal digits; what could not be read there is missing. Raises: ToolMissingError, CommandFailedError, HostError."""
    # Apart from the others: where newlines are not escaped, a name may hold what looks like the line of another file.
    broken = [path for path in paths if b"\n" in path]
    whole = [path for path in paths if b"\n" not in path] if broken else paths
    return {**await _asked(host, whole), **await _asked(host, broken)}


async def _asked(host: OpenHost, paths: Sequence[bytes]) -> Mapping[bytes, str]:
    if not paths:
        return {}
    done = await host.run(
        COMMAND,
        input_bytes=b"".join(path + b"\0" for path in paths),
        limit_bytes=_ANSWER_BYTES * len(paths),
        timeout_s=TIMEOUT_S,
    )
    if done.exit.status not in (0, _SOME_FAILED):
        words = done.exit.stderr.decode(errors="backslashreplace").strip().splitlines()
        raise CommandFailedError(
            f"sha256sum on {host.name} failed: {words[-1] if words else 'it said nothing'}"
        )
    return parse(done.stdout, paths)


def parse(answer: bytes, paths: Iterable[bytes]) -> dict[bytes, str]:
    """Reads the lines of sha256sum, of which those about other files count for nothing.

    A name with a newline or a backslash is escaped, and the line begins with a backslash then (GNU); where it is not (BusyBox), the file is
    missing here. Source: GNU coreutils, "cksum output modes".
    """
    asked = set(paths)
    found: dict[bytes, str] = {}
    for line in answer.split(b"\n"):
        parts = _LINE.fullmatch(line)
        if parts is None:
            continue
        escaped, digits, name = parts.groups()
        if escaped:
            name = _ESCAPE.sub(lambda escape: _MEANT[escape[1]], name)
        if name in asked:
            found[name] = digits.decode()
    return found
