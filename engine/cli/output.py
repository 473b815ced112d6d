"""What goes to standard output: lines and tables for people, or JSON lines for scripts; and never an error because nobody reads any more."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final, Generic, NamedTuple, TypeVar

from engine.errors import HoldfastError
from engine.model import text

SCHEMA_VERSION: Final = 1
_LIST_HEAD: Final = b'{"type":"result","schema_version":%d,"items":[' % SCHEMA_VERSION
_GAP: Final = "  "
_NARROWEST: Final = 8
"""Columns that a column keeps when the table is too wide."""

T = TypeVar("T")


class Column(NamedTuple):
    """One column of a table."""

    title: str
    is_right: bool = False
    is_flexible: bool = False
    """Whether it may be shortened where the terminal is narrow."""
    is_optional: bool = False
    """Whether it may be left out there: the last of these goes first."""


class Output:
    """Standard output of this process."""

    def __init__(self, stream: IO[bytes], *, is_json: bool, environment: Mapping[str, str]) -> None:
        self.is_json = is_json
        self.is_closed = False
        """Whether whoever read it has gone away: nothing is written any more, and listings may stop."""
        self.is_terminal = stream.isatty()
        self.has_colour = self.is_terminal and not is_json and wants_colour(environment)
        self.before_write: Callable[[], None] | None = None
        """Called before anything is written: what else stands on the terminal is taken away."""
        self._stream = stream
        self._is_in_list = False
        self._width = _terminal_width(stream, environment) if self.is_terminal else None

    def write(self, data: bytes) -> None:
        """Writes bytes. Raises: HoldfastError where they cannot be written and somebody may be reading."""
        if self.is_closed:
            return
        if self.before_write is not None:
            self.before_write()
        try:
            self._stream.write(data)
        except OSError as error:
            self._failed(error)

    def flush(self) -> None:
        """Sends on what waits. Raises: as `write`."""
        if self.is_closed:
            return
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self.is_closed = True
        # What still waits in the buffer goes nowhere, so that the interpreter does not complain at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        # EIO: the terminal is gone. As with a closed pipe nobody can miss anything.
        if not isinstance(error, BrokenPipeError) and not (self.is_terminal and error.errno == 5):
            raise HoldfastError(f"standard output cannot be written: {error.strerror}") from error

    def line(self, line: str = "") -> None:
        """A line for people; nothing where scripts read. The text must be printable."""
        if not self.is_json:
            self.write(line.encode("utf-8", "backslashreplace") + b"\n")

    def styled(self, line: str, style: str) -> str:
        """The line in a colour or in bold, where colours are shown: `1` bold, `2` dim, `31` red, `32` green, `33` yellow."""
        return f"\x1b[{style}m{line}\x1b[0m" if self.has_colour else line

    def result(self, fields: Mapping[str, Any]) -> None:
        """The last line for scripts; nothing where people read."""
        if self.is_json:
            self._object({"type": "result", "schema_version": SCHEMA_VERSION, **fields})
        self.flush()

    def progress(self, fields: Mapping[str, Any]) -> None:
        """A line on the way to the result, for scripts; sent at once. Nothing once the result is being written."""
        if self.is_json and not self._is_in_list:
            self._object({"type": "progress", **fields})
            self.flush()

    def items(self, items: Sequence[Any]) -> None:
        """A list as the last line for scripts."""
        self.result({"items": items})

    async def stream(
        self, items: AsyncIterator[T], to_object: Callable[[T], Any], to_line: Callable[[T], str]
    ) -> int:
        """A list that may be long, written as it comes; stops when nobody reads. Returns how many."""
        with self.listing(to_object, to_line) as listing:
            async for item in items:
                listing.add(item)
                if self.is_closed:
                    break
        return listing.count

    @contextmanager
    def listing(self, to_object: Callable[[T], Any], to_line: Callable[[T], str]) -> Iterator[Listing[T]]:
        """A list that may be long, to be added to; leaving ends it.

        For scripts it is one object like any list; where the body fails in the middle the object ends with `"incomplete": true`. No line of
        progress is written between its beginning and its end.
        """
        listing = Listing(self, to_object, to_line)
        try:
            yield listing
        except BaseException:
            # The head is written with the first item: where there is an error before that, there is no list.
            if self._is_in_list:
                self._end_list(b'],"incomplete":true}\n')
            raise
        if self.is_json:
            self.add_to_list(b"")
            fields = b"".join(
                b",%b:%b" % (encode(name), encode(each)) for name, each in listing.fields.items()
            )
            self._end_list(b"]" + fields + b"}\n")
        self.flush()

    def add_to_list(self, item_text: bytes) -> None:
        """For `Listing`: the list's head, or a comma, and what follows it."""
        separator = b"," if self._is_in_list else _LIST_HEAD
        if item_text or not self._is_in_list:
            self.write(separator + item_text)
        self._is_in_list = True

    def _end_list(self, end: bytes) -> None:
        self._is_in_list = False
        self.write(end)
        self.flush()

    def table(self, heads: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """A table for people, fitted to the terminal; in a pipe nothing is shortened."""
        if self.is_json:
            return
        clean = [[text.printable(cell) for cell in row] for row in rows]
        widths = [
            max([len(head.title), *(text.columns(row[number]) for row in clean)])
            for number, head in enumerate(heads)
        ]
        if self._width is not None:
            kept = _kept(widths, heads, self._width)
            heads, widths = [heads[number] for number in kept], [widths[number] for number in kept]
            clean = [[row[number] for number in kept] for row in clean]
            _fit(widths, heads, self._width)
        self.line(self.styled(_row([head.title for head in heads], widths, heads), "1"))
        for row in clean:
            self.line(_row(row, widths, heads))
            if self.is_closed:
                return

    def _object(self, fields: Mapping[str, Any]) -> None:
        self.write(encode(fields) + b"\n")


class Listing(Generic[T]):
    """A list on its way out: see `Output.listing`."""

    def __init__(self, output: Output, to_object: Callable[[T], Any], to_line: Callable[[T], str]) -> None:
        self.count = 0
        self.fields: dict[str, Any] = {}
        """What the object for scripts has besides the items; written at its end."""
        self._output = output
        self._to_object = to_object
        self._to_line = to_line

    def add(self, item: T) -> None:
        """The next item. Raises: as `Output.write`."""
        self.count += 1
        if self._output.is_json:
            self._output.add_to_list(encode(self._to_object(item)))
        else:
            self._output.line(self._to_line(item))


def _row(cells: Sequence[str], widths: Sequence[int], heads: Sequence[Column]) -> str:
    parts = [
        text.padded(text.shortened(cell, width), width, is_right=head.is_right)
        for cell, width, head in zip(cells, widths, heads, strict=True)
    ]
    return _GAP.join(parts).rstrip()


def _kept(widths: Sequence[int], heads: Sequence[Column], width: int) -> list[int]:
    """The columns that are shown: all, or without as many optional ones as it takes."""
    kept = list(range(len(heads)))
    for number in reversed(range(len(heads))):
        if sum(widths[each] for each in kept) + len(_GAP) * (len(kept) - 1) <= width:
            break
        if heads[number].is_optional:
            kept.remove(number)
    return kept


def _fit(widths: list[int], heads: Sequence[Column], width: int) -> None:
    """Takes columns away from the widest flexible ones until the table fits."""
    flexible = [number for number, head in enumerate(heads) if head.is_flexible]
    while flexible and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        widest = max(flexible, key=lambda number: widths[number])
        if widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1


def wants_colour(environment: Mapping[str, str]) -> bool:
    """Whether the terminal is to be coloured. Source: https://no-color.org, terminfo's `dumb`."""
    return not environment.get("NO_COLOR") and environment.get("TERM", "") not in ("", "dumb")


def _terminal_width(stream: IO[bytes], environment: Mapping[str, str]) -> int:
    given = environment.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def encode(value: object) -> bytes:
    """A value as JSON without a newline. Texts that are no Unicode (a name from the command line) are escaped as they are for people."""
    import orjson

    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except TypeError:
        return orjson.dumps(_clean(shape(value)))


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return shape(value)
    raise TypeError(type(value).__name__)


def shape(value: object) -> Any:
    """A value of the model as scripts read it: `is_protected` becomes `protected`, datetimes RFC 3339."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            each.name.removeprefix("is_"): shape(getattr(value, each.name))
            for each in dataclasses.fields(value)
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): shape(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shape(each) for each in value]
    return value


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {_clean(key): _clean(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return value


def standard_output(*, is_json: bool) -> Output:
    """That of this process. Buffered, whatever PYTHONUNBUFFERED says: a list of a hundred thousand is not as many system calls."""
    sys.stdout.flush()
    stream = os.fdopen(1, "wb", closefd=False)
    return Output(stream, is_json=is_json, environment=os.environ)
