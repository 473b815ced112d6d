"""Text of errors and logs, made fit for a bug report: what happened stays, to whom goes.

Secrets and names that are known are replaced wherever they stand; of what is not known, whatever looks like a path, an address, a login, a
quoted name or a key. Rather a word too many is lost than one too few: the kind of an error says most.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from engine.journal import BLOT, Redactor
from engine.model.secret import Secret

_SHORTEST_NAME: Final = 2
"""Letters: a name of one would take every such letter out of a text."""
_LONGEST: Final = 2_000
"""Letters that are kept of a text."""
_PATTERNS: Final = (
    (re.compile(r"(?i)\b([\w-]*(?:passw|pwd|secret|token|credential|api[_-]?key|access[_-]?key|authorization)[\w-]*)(\s*[=:]\s*|\s+)\S+(?:\s+(?<=[Bb]earer )\S+)?"), r"\1=" + BLOT),
    (re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "<url>"),
    (re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`|“[^”\n]*”"), "<name>"),
    (re.compile(r"[\w.+-]+@[\w.-]+"), "<login>"),
    (re.compile(r"[\w.~-]*(?:/[^\s:,;)<>]+)+/?"), "<path>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<address>"),
    (re.compile(r"(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE), "<address>"),
    (re.compile(r"\b(?:[a-z0-9-]+\.)+[a-z]{2,}\b", re.IGNORECASE), "<name>"),
    (re.compile(r"(?<![\w<])(?=[\w+/=-]*\d)(?=[\w+/=-]*[A-Za-z])[\w+/=-]{12,}(?![\w>])"), "<word>"),
)  # fmt: skip


class Anonymous:
    """Takes names and secrets out of text."""

    def __init__(self, names: Mapping[str, Iterable[str]], secrets: Iterable[Secret] = ()) -> None:
        """`names` by what they are: `host`, `source`."""
        self._redactor = Redactor()
        for secret in secrets:
            self._redactor.register(secret)
        self._names = {
            name: f"<{noun} {number}>"
            for noun, each in names.items()
            for number, name in enumerate(dict.fromkeys(each), 1)
            if len(name) >= _SHORTEST_NAME
        }
        longest_first = sorted(self._names, key=len, reverse=True)
        known = "|".join(re.escape(name) for name in longest_first)
        self._known = re.compile(rf"(?<![\w<])(?:{known})(?![\w>])") if known else None

    def text(self, words: str) -> str:
        """The text without them, on one line."""
        found = self._redactor.redact(words[:_LONGEST])
        if self._known is not None:
            found = self._known.sub(lambda match: self._names[match[0]], found)
        for pattern, instead in _PATTERNS:
            found = pattern.sub(instead, found)
        return " ".join(found.split())
