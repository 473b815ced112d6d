"""Standard output: JSON lines, tables, and values as scripts read them."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from engine.cli.output import Column, Output, _kept, encode, shape
from engine.errors import DamagedError, HoldfastError
from engine.model.backup import BackupStatus
from engine.model.results import Fate

ZONE = datetime.timezone(datetime.timedelta(hours=1))


@pytest.fixture
def written() -> Iterator[io.BytesIO]:
    """What went to standard output."""
    with io.BytesIO() as stream:
        yield stream


async def numbers(count: int) -> AsyncIterator[int]:
    """So many numbers, and then damage where there were more than three."""
    for number in range(count):
        if number == 3:
            raise DamagedError("three is damaged")
        yield number


def test_values_are_shaped_as_scripts_read_them() -> None:
    """Names of fields are a promise."""
    at = datetime.datetime(2026, 11, 20, 14, 5, tzinfo=ZONE)
    fate = Fate("0abc", "ff", "shop", "main", at, is_kept=True, reasons=("daily",))
    assert json.loads(encode({"fate": fate, "status": BackupStatus.FAILED})) == {
        "fate": {
            "backup_id": "0abc",
            "snapshot_id": "ff",
            "source": "shop",
            "storage": "main",
            "created_at": "2026-11-20T14:05:00+01:00",
            "kept": True,
            "reasons": ["daily"],
            "kept_by": "",
        },
        "status": "failed",
    }


def test_a_name_that_is_no_unicode_still_gives_json() -> None:
    """A path from the command line may hold any byte."""
    assert json.loads(encode({"path": "a\udcff"})) == {"path": "a\\xff"}
    assert shape((1, "a")) == [1, "a"]


async def test_a_list_is_one_object_on_one_line(written: io.BytesIO) -> None:
    """Scripts read the last line, whatever the list's length."""
    output = Output(written, is_json=True, environment={})
    await output.stream(numbers(2), lambda number: {"number": number}, str)
    assert written.getvalue() == b'{"type":"result","schema_version":1,"items":[{"number":0},{"number":1}]}\n'


async def test_a_list_that_fails_in_the_middle_says_so(written: io.BytesIO) -> None:
    """Half an object would fail every script's parser before the error is seen."""
    output = Output(written, is_json=True, environment={})
    with pytest.raises(DamagedError):
        await output.stream(numbers(5), str, str)
    assert json.loads(written.getvalue())["incomplete"] is True


def test_a_list_takes_fields_at_its_end_and_no_progress_in_its_middle(written: io.BytesIO) -> None:
    """Both would stand on one line; what a comparison covered is known when it is over."""
    output = Output(written, is_json=True, environment={})
    output.progress({"step": "diff"})
    with output.listing(str, str) as listing:
        listing.add(1)
        output.progress({"step": "diff"})
        listing.fields["compared"] = ("all",)
    first, second = written.getvalue().splitlines()
    assert json.loads(first)["type"] == "progress"
    assert json.loads(second) == {"type": "result", "schema_version": 1, "items": ["1"], "compared": ["all"]}


def test_people_and_scripts_are_never_mixed(written: io.BytesIO) -> None:
    """A line for people among JSON lines breaks every script."""
    output = Output(written, is_json=True, environment={})
    output.line("done")
    output.table([Column("A")], [["1"]])
    output.result({"a": 1})
    assert json.loads(written.getvalue()) == {"type": "result", "schema_version": 1, "a": 1}


def test_a_pipe_gets_plain_text_that_is_not_shortened(written: io.BytesIO) -> None:
    """Whoever cuts columns by a script needs all of them, and no colours."""
    output = Output(written, is_json=False, environment={"TERM": "xterm", "COLUMNS": "20"})
    output.table(
        [Column("NAME", is_flexible=True), Column("N", is_right=True)], [["x" * 40, "7"], ["a\x1b", "12"]]
    )
    assert written.getvalue().decode().splitlines() == [
        "NAME" + " " * 38 + " N",
        "x" * 40 + "   7",
        "a\\x1b" + " " * 37 + "12",
    ]


@pytest.mark.parametrize(
    ("width", "kept"),
    [(26, [0, 1, 2, 3]), (25, [0, 1, 2]), (21, [0, 1, 2]), (20, [0, 2]), (5, [0, 2])],
)
def test_a_narrow_terminal_is_shown_fewer_columns_and_never_without_the_rest(
    width: int, kept: list[int]
) -> None:
    """Lines that wrap at 80 columns are no table; the last of what can be done without goes first."""
    heads = [Column("A"), Column("B", is_optional=True), Column("C"), Column("D", is_optional=True)]
    assert _kept([5, 5, 7, 3], heads, width) == kept


def test_a_full_disk_is_an_error_and_a_closed_pipe_is_none(tmp_path: Path) -> None:
    """A listing that was cut off by a full disk must not look whole."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        output = Output(full, is_json=False, environment={})
        with pytest.raises(HoldfastError, match="No space left"):
            output.line("x")
    assert output.is_closed
