"""What mongodump says on standard error, line by line. Pure.

Its lines are `TIME<TAB>TEXT`. Of each collection it says `writing NAME to PLACE` and `done dumping NAME (N documents)`; newer versions put
names between backquotes. Between them come lines of progress, every three seconds, for as long as the dump takes.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Final

from engine.format.layout import encode_name
from engine.model.manifest import DatabaseFacts, TableFacts

_LINE: Final = re.compile(r"(\S+)\t(.*)", re.DOTALL)
_BEGUN: Final = re.compile(r"writing (.+) to `?archive .*", re.DOTALL)
_DONE: Final = re.compile(r"done dumping (.+) \((\d+) documents?\)", re.DOTALL)
_KEPT_WORDS: Final = 5


class DumpLog:
    """All that was said so far."""

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._rows: dict[str, int] = {}
        self._words: list[str] = []
        self.began_at: datetime.datetime | None = None
        """By the host's clock; None as long as nothing with a time was said."""

    def take(self, line: bytes) -> None:
        """The next line, without its newline."""
        text = line.decode(errors="backslashreplace").rstrip("\r")
        found = _LINE.fullmatch(text)
        at = _instant(found[1]) if found else None
        if found is None or at is None:
            self._keep(text)
            return
        self.began_at = self.began_at or at
        said = found[2]
        if done := _DONE.fullmatch(said):
            self._rows[_bare(done[1])] = int(done[2])
        elif (begun := _BEGUN.fullmatch(said)) and not begun[1].endswith(" metadata"):
            self._begun.add(_bare(begun[1]))
        elif not said.startswith(("[", "\t")):
            self._keep(said)

    @property
    def rows(self) -> Mapping[str, int]:
        """Documents by collection, of those that are done."""
        return self._rows

    @property
    def unfinished(self) -> Sequence[str]:
        """Collections that were begun and are not done."""
        return sorted(self._begun - self._rows.keys())

    @property
    def words(self) -> str:
        """The last that it said besides: why it failed."""
        return "; ".join(self._words)

    def databases(self, path: str) -> list[DatabaseFacts]:
        """As the manifest has them; all lie in the one archive at `path`."""
        tables: dict[str, list[TableFacts]] = {}
        for name, rows in sorted(self._rows.items()):
            database, _, collection = name.partition(".")
            tables.setdefault(database, []).append(TableFacts(collection, rows))
        return [DatabaseFacts(name, path=path, tables=found) for name, found in sorted(tables.items())]

    def _keep(self, said: str) -> None:
        if said.strip():
            self._words = [*self._words, said.strip()[:300]][-_KEPT_WORDS:]


def _bare(name: str) -> str:
    return name[1:-1] if len(name) > 2 and name[0] == name[-1] == "`" else name


def _instant(text: str) -> datetime.datetime | None:
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.astimezone(datetime.UTC) if at.tzinfo is not None else None


def archive_path(database: str) -> str:
    """Where the archive lies: by its database's name, or for all that the server has."""
    return f"databases/{encode_name(database) if database else 'dump'}.archive"
