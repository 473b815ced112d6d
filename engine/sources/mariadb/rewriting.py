"""What of a dump is loaded, and what in it would reach beyond the database that it is loaded into. Pure: spans in, bytes out.

A dump of one database still names it: where its collation was changed after a trigger or routine was made (`ALTER DATABASE`), in
triggers that were made by a qualified name, and in views that join tables of another database. Loaded elsewhere, the first two would change
the live database, and the last would read it. Measured with MariaDB 10.11.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.sources.mariadb.dump_text import Span

EventChange = Literal["pause", "resume", "keep"]

_NAME = rb"(?:`(?:[^`]|``)*`|[0-9A-Za-z_$\x80-\xff]+)"
_SANDBOX = re.compile(rb"\n/\*M!999999\\- enable the sandbox mode \*/[ ]*(?=\n)")
_HEADER = re.compile(rb"\n-- Host: [^\n]*?    Database: ([^\n]+)")
_ALTER_DATABASE = re.compile(rb"(?m)^ALTER DATABASE `(?:[^`]|``)*` (CHARACTER SET \w+ COLLATE \w+ ;+$)")
"""Also where the delimiter is another one, as it is for events."""
_TRIGGER = re.compile(
    rb"(?is)(/\*!50003\s*trigger\s+(?:if\s+not\s+exists\s+)?)(?:%(name)s\s*\.\s*)?(%(name)s\s+(?:before|after)\s+(?:insert|update|delete)"
    rb"(?:\s+or\s+(?:insert|update|delete))*\s+on\s+)(?:%(name)s\s*\.\s*)?(%(name)s)" % {b"name": _NAME}
)
_VIEW = re.compile(rb"(?m)^/\*!50001 VIEW [^\n]*")
_STRING = rb"'(?:[^'\\]|\\.|'')*'"
_DEFINER = re.compile(rb"DEFINER=`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)? ?")
_DEFINED = re.compile(
    rb"(?m)^(?:/\*!50013 DEFINER=|/\*!50003 CREATE\*/ /\*!50017 DEFINER=|/\*!50106 CREATE\*/ /\*!50117 DEFINER=|CREATE DEFINER=)[^\n]*"
)
_EVENT = re.compile(
    rb"(/\*!50106 EVENT `(?:[^`]|``)*` ON SCHEDULE (?:EVERY|AT) [^\n]*? ON COMPLETION (?:NOT )?PRESERVE )(ENABLE|DISABLE ON SLAVE)\b"
)
_PROGRAMS = frozenset({"triggers", "events", "routines", "view"})
_PAUSED, _RUNNING = b"DISABLE ON SLAVE", b"ENABLE"
"""An event that is disabled by its owner is `DISABLE`; the form that replicas use marks what we keep from running."""


@dataclass(slots=True)
class Rewriter:
    """Takes the spans of one dump in order."""

    tables: frozenset[str] = frozenset()
    """By name, also views and sequences; empty for all, with routines and events."""
    is_owned: bool = True
    """Whether the accounts in whose name views, triggers, routines and events run stay as they are; else it is the account that loads."""
    keeps_sandbox: bool = True
    """Whether the client knows the first line of newer dumps; older ones fail on it."""
    events: EventChange = "pause"
    """Events of a database that is not in place must not run."""
    paused: int = 0
    """Events that were kept from running."""
    _database: bytes = field(default=b"", repr=False)

    def rewritten(self, span: Span) -> bytes:
        """What is loaded of it, maybe nothing."""
        if not self._is_wanted(span):
            return b""
        data = span.data
        if span.kind == "data":
            return data
        if span.kind == "head":
            data = self._head(data)
        elif span.kind == "triggers" and span.is_body:
            data = _TRIGGER.sub(rb"\1\2\3", data)
        elif span.kind == "events" and span.is_body and self.events != "keep":
            data = _EVENT.sub(self._event, data)
        elif span.kind == "view":
            data = _VIEW.sub(self._view, data)
        if span.kind in _PROGRAMS:
            data = _ALTER_DATABASE.sub(rb"ALTER DATABASE \1", data)
        if not self.is_owned and span.kind in _PROGRAMS:
            data = _DEFINED.sub(lambda line: _DEFINER.sub(b"", line[0], count=1), data)
        return data

    def _is_wanted(self, span: Span) -> bool:
        if not self.tables or span.kind in ("head", "tail"):
            return True
        return span.kind not in ("events", "routines") and span.name in self.tables

    def _head(self, data: bytes) -> bytes:
        found = _HEADER.search(data)
        if found:
            self._database = found[1]
        return data if self.keeps_sandbox else _SANDBOX.sub(b"", data)

    def _event(self, found: re.Match[bytes]) -> bytes:
        if self.events == "resume":
            return found[1] + _RUNNING
        self.paused += 1
        return found[1] + _PAUSED

    def _view(self, found: re.Match[bytes]) -> bytes:
        """Without the name of its own database. A view has it where it also reads another database: then columns have three parts."""
        if not self._database:
            return found[0]
        prefix = re.escape(b"`" + self._database.replace(b"`", b"``") + b"`.")
        if not re.search(prefix + rb"`(?:[^`]|``)*`\.`", found[0]):
            return found[0]
        pattern = re.compile(rb"(%s)|(?<![`.])%s(?=`)" % (_STRING, prefix))
        return pattern.sub(lambda part: part[1] or b"", found[0])


def programs(spans: Sequence[Span], rewriter: Rewriter) -> tuple[bytes, bytes]:
    """The triggers, and the views, routines and events of a dump, as scripts that can be run by themselves: tables are left out."""
    head = b"".join(rewriter.rewritten(span) for span in spans if span.kind == "head")
    tail = b"".join(rewriter.rewritten(span) for span in spans if span.kind == "tail")
    parts = [
        b"".join(rewriter.rewritten(span) for span in spans if span.kind in kinds)
        for kinds in (("triggers",), ("view", "events", "routines"))
    ]
    return head + parts[0] + tail, head + parts[1] + tail
