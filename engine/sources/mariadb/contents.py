"""What a dump of mariadb-dump or mysqldump holds: a digest of each definition, and of each table's rows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.errors import IncompleteDumpError
from engine.model.contents import DumpContents, RowSample, TableContent
from engine.sources.mariadb.dump_text import DumpScanner, Span
from engine.sources.rows import RowDigest, SampledRows

_FOLDERS: Final[Mapping[str, str]] = {
    "table": "tables",
    "sequence": "sequences",
    "view": "views",
    "triggers": "triggers",
}
_WHOLE: Final[Mapping[str, str]] = {"routines": "routines", "events": "events"}
"""Sections that stand once in a dump, for all of their kind."""
_COUNTER: Final = re.compile(rb"(\n\) ENGINE=[^\n]*?) AUTO_INCREMENT=\d+")
"""Where the next row's number begins: that is no matter of the table's definition."""
_VALUE: Final = re.compile(rb"\nDO SETVAL\([^\n]*")
_ONE_LINE: Final = re.compile(rb"\nINSERT INTO `(?:[^`]|``)*` (?:\([^\n]*?\) )?VALUES \(")


class MariadbContents:
    """See `base.DumpReader`."""

    def __init__(self, samples: Mapping[str, RowSample], folder: Path | None = None) -> None:
        """`samples` by the names of the manifest."""
        del folder
        self._scanner = DumpScanner()
        self._samples = samples
        self._rows: dict[str, RowDigest] = {}
        self._definitions: dict[str, hashlib._Hash] = {}
        self._one_line: set[str] = set()

    def feed(self, data: bytes) -> None:
        """See `base.DumpReader.feed`."""
        for span in self._scanner.feed(data):
            self._take(span)

    def close(self) -> None:
        """See `base.DumpReader.close`. Nothing is kept."""

    def finish(self) -> DumpContents:
        """See `base.DumpReader.finish`."""
        for span in self._scanner.end():
            self._take(span)
        if not self._scanner.is_complete:
            raise IncompleteDumpError("the dump lacks its end marker, `-- Dump completed`")
        tables: dict[str, TableContent] = {}
        for name, rows in self._rows.items():
            rows.finish()
            if name not in self._one_line:
                tables[name] = rows.content
        why = "its dump has several rows on a line"
        definitions = {path: each.digest() for path, each in self._definitions.items()}
        return DumpContents(definitions, tables, dict.fromkeys(self._one_line, why))

    def _take(self, span: Span) -> None:
        if span.kind == "data" and not span.is_body:
            self._take_rows(span)
        elif span.kind in _FOLDERS:
            self._define(f"{_FOLDERS[span.kind]}/{span.name}", span.data)
        elif span.kind in _WHOLE:
            self._define(_WHOLE[span.kind], span.data)

    def _take_rows(self, span: Span) -> None:
        rows = self._rows.get(span.name)
        if rows is None:
            sample = self._samples.get(span.name)
            rows = RowDigest(sample.rows if sample is not None else (), begin=b"(", cut=1)
            self._rows[span.name] = rows
        if span.name not in self._one_line and _ONE_LINE.search(span.data):
            self._one_line.add(span.name)
        rows.feed(span.data)

    def _define(self, path: str, data: bytes) -> None:
        # What continues a line begins with no newline. Empty lines and comments lie where they do by what else is dumped.
        rest, *lines = _VALUE.sub(b"", _COUNTER.sub(rb"\1", data)).split(b"\n")
        kept = [b"\n" + line for line in lines if line and not line.startswith(b"--")]
        self._definitions.setdefault(path, hashlib.sha256()).update(b"".join((rest, *kept)))


class SampleReader:
    """Reads a dump of some rows of some tables, as mariadb-dump sends it."""

    def __init__(self) -> None:
        self._scanner = DumpScanner()
        self._tables: dict[str, SampledRows] = {}

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        for span in self._scanner.feed(data):
            self._take(span)

    def finish(self) -> Mapping[str, SampledRows]:
        """By table; one without rows may be missing. Raises: IncompleteDumpError."""
        for span in self._scanner.end():
            self._take(span)
        if not self._scanner.is_complete:
            raise IncompleteDumpError("the sample lacks its end marker, `-- Dump completed`")
        for rows in self._tables.values():
            rows.finish()
        return self._tables

    def _take(self, span: Span) -> None:
        if span.kind == "data":
            self._tables.setdefault(span.name, SampledRows(begin=b"(", cut=1)).feed(span.data)
