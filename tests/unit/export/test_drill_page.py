"""The page that an auditor reads: one page whatever it has to say, and nothing on it that is not so."""

from __future__ import annotations

import dataclasses
import datetime
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from engine.export.drill_page import DrillPage, render, sentence, shares
from engine.export.fonts import MoreFonts, Search, on_this_machine, stands_alone
from engine.export.page import visible
from engine.model.backup import Backup, BackupStatus, Copy
from engine.model.manifest import CheckResult
from engine.model.results import DrillResult, DrillStep, PreviousDrill
from tests.fakes.clock import START
from tests.servers.tools import missing

LONG = "a name that does not end " * 20


def _page(steps: int = 3, checks: int = 4, wrong: int | None = None, name: str = "shop") -> DrillPage:
    done = tuple(DrillStep(f"step {number} of {name}", "ok", number + 0.3, name) for number in range(steps))
    found = tuple(
        CheckResult(
            f"rows of {name}.{number}", "12", "12" if number != wrong else f"11 {name}", number != wrong
        )
        for number in range(checks)
    )
    result = DrillResult(
        "8dgf4ry2kxjavj8c", "passed" if wrong is None else "failed", name, "5gd9qhe00hzkfkz6", "server", done, found,
        4.2, 7205.0, 300.0, "",
    )  # fmt: skip
    copies = (Copy("near", "a" * 64), Copy("elsewhere", ""))
    backup = Backup("5gd9qhe00hzkfkz6", name, "db1", "full", BackupStatus.COMPLETED, START, START, 123456, 1, 1, 1, 1, copies)  # fmt: skip
    at = START + datetime.timedelta(hours=2)
    return DrillPage(result, backup, at, name, "1.0", "drill-8dgf4ry2kxjavj8c.json", "08b4" * 16, "SHA256:" + "x" * 43, (name,), name)  # fmt: skip


def _read(page: DrillPage, search: Search = on_this_machine) -> str:
    reader = PdfReader(io.BytesIO(render(page, search)))
    assert len(reader.pages) == 1
    return reader.pages[0].extract_text()


def test_the_page_says_what_was_drilled_and_how_it_ended() -> None:
    """Whoever signs reads this and nothing else."""
    text = _read(_page())
    for said in ("PASSED", "4 of 4", "4.2 s", "2 h 00 min", "budget 5 min 00 s", "5gd9qhe00hzkfkz6", "near"):
        assert said in text
    assert "elsewhere" not in text
    assert "08b4" * 16 in text
    assert "holdfast evidence verify drill-8dgf4ry2kxjavj8c.json --public-key KEY" in text
    assert "more" not in text


def test_the_last_drill_is_on_the_page() -> None:
    """Slower than last time is what a reader looks for."""
    page = _page()
    last = PreviousDrill("1a", START, "passed", "files", "2a", 65.0, 30.0, page.result.steps[:1])
    result = dataclasses.replace(
        page.result, previous=dataclasses.replace(last, steps=(DrillStep("step 0 of shop", "ok", 33.0),))
    )
    text = _read(dataclasses.replace(page, result=result))
    for said in ("last time 1 min 05 s", "last time 30 s", "last time files, passed", "33 s"):
        assert said in text


def test_what_has_no_room_is_counted_and_what_is_wrong_comes_first() -> None:
    """The page never spills, and never hides a failure behind two hundred that are right."""
    text = _read(_page(80, 300, wrong=299))
    assert "FAILED" in text
    assert "rows of shop.299" in text
    for noun, name, count in (("steps", "step ", 80), ("checks", "rows of ", 300)):
        left = re.search(rf"and (\d+) more {noun}, in the JSON", text)
        assert left is not None
        assert len(re.findall(rf"^{name}", text, re.MULTILINE)) + int(left[1]) == count


@pytest.mark.parametrize(
    "name", [LONG, "数据库 \u202e drill", "Łódź\n\t\x00", "\udcff", "Ω" * 300], ids=ascii
)
def test_any_name_fits(name: str) -> None:
    """Databases are called as their owners like."""
    text = _read(_page(60, 60, wrong=3, name=name))
    assert "08b4" * 16 in text
    assert "FAILED" in text


def test_a_letter_that_no_font_has_is_shown_as_its_code() -> None:
    """Nothing vanishes, and nothing turns the rest of the line round."""
    assert visible("Ł数\u202e\udcff\n", lambda each: each == "Ł") == "Ł\\u6570\\u202e\\xff\\u000a"
    assert "\\u6570" in _read(_page(name="数"), lambda _character: iter(()))


@pytest.mark.parametrize(
    ("font", "name"),
    [
        ("dejavu/DejaVuSans.ttf", "склад Ωμέγα"),
        ("droid/DroidSansFallbackFull.ttf", "数据库 データ"),
    ],
    ids=["Cyrillic and Greek", "Chinese and Japanese"],
)
def test_letters_of_other_scripts_are_read_on_the_page(font: str, name: str) -> None:
    """Most of the world writes otherwise; what must be joined or turned round stays a code, for it would be another word."""
    path = Path("/usr/share/fonts/truetype", font)
    if not path.exists():
        missing(f"{path} is not installed")
    spoiled = path.with_name("missing.ttf")
    page = _page(name=f"{name} عربي", wrong=1)
    text = _read(page, lambda _character: iter((spoiled, Path("/etc/passwd"), path)))
    assert text.count(name) >= 4
    assert "\\u0639\\u0631\\u0628\\u064a" in text
    assert render(page) == render(page)


def test_a_machine_s_fonts_are_found() -> None:
    """With fontconfig and without it; a name of a thousand odd letters costs no thousand searches."""
    asked: list[str] = []

    def search(character: str) -> Iterator[Path]:
        asked.append(character)
        return iter(())

    more = MoreFonts(search)
    assert {more.font_of(chr(0x4E00 + number)) for number in range(1000)} == {""}
    assert len(asked) == 8
    assert [each for each in "ع\u0301क\u202e" if stands_alone(each)] == []
    assert any("DejaVu" in str(path) for path in on_this_machine("ж")) == any(
        Path("/usr/share/fonts").rglob("DejaVuSans.ttf")
    )


@settings(max_examples=200)
@given(st.integers(6, 60), st.integers(0, 500), st.integers(0, 500))
def test_the_tables_share_the_page_and_no_more(rows: int, steps: int, checks: int) -> None:
    """Each gets what it needs where that is there, and a line at least where it has any."""
    given_steps, given_checks = shares(rows, steps, checks)
    assert given_steps + given_checks <= rows
    assert (given_steps, given_checks) <= (steps, checks)
    if steps + checks > rows:
        assert given_steps + given_checks == rows
        assert given_steps >= min(steps, 3)
        assert given_checks >= min(checks, 3)


def test_the_same_page_is_the_same_bytes() -> None:
    """Its digest is in the audit log."""
    assert render(_page()) == render(_page())


def test_the_sentence_names_the_step_that_failed() -> None:
    """For somebody who reads nothing else."""
    page = _page()
    failed = DrillStep("restore shop", "failed", 1.0)
    result = dataclasses.replace(page.result, steps=(*page.result.steps, failed))
    assert sentence(dataclasses.replace(page, result=result)).endswith("the step “restore shop” failed.")
