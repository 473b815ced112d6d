"""What the palette finds for what is typed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli.verbs import VERBS
from tui.actions import ACTIONS
from tui.actions.places import NOUNS, PLACES
from tui.palette.lines import Finder, Name, Wanted, entry_of, others
from tui.palette.matching import How, best, text

NAMES: Mapping[str, Sequence[Name]] = {
    "source": [Name("shop", "postgres"), Name("crm", "postgres"), Name("site-files", "files")],
    "backup": [Name("latest:shop"), Name("5abc", "shop 2026-11-28 14:30")],
    "storage": [Name("main", "local"), Name("offsite", "s3")],
    "job": [Name("7job", "backup shop completed")],
}


def _finder(
    here: str = "sources", used: Sequence[str] = (), names: Mapping[str, Sequence[Name]] = NAMES
) -> Finder:
    places = (here, "everywhere", "list")
    entries = [
        entry_of(each, "", is_here=each.place in places, reason="")
        for each in sorted(ACTIONS.values(), key=lambda each: each.place not in places)
    ]
    return Finder([*entries, *others()], names, used)


def _keys(found: Sequence[Wanted]) -> list[str]:
    return [each.entry.key for each in found]


def test_every_place_is_known_with_actions_that_there_are() -> None:
    """What is not in this table cannot be gone to."""
    assert {each.place for each in ACTIONS.values()} == set(PLACES)
    for about in PLACES.values():
        named = about.alone | about.several | about.by_hand | set(about.here_alone)
        assert named - {""} <= set(ACTIONS)
    assert set(NOUNS.values()) <= set(PLACES)


def test_each_verb_of_the_command_line_finds_what_stands_for_it() -> None:
    """Fingers know it; where nothing stands for it the reason is said."""
    finder = _finder()
    assert [verb for verb in VERBS if verb not in finder.find(verb)[0].entry.commands] == []


@pytest.mark.slow
def test_each_action_is_found_by_its_title_and_by_its_id() -> None:
    """From anywhere: also one that makes no sense here, which says why."""
    finder = _finder("storage")
    assert [key for key, each in ACTIONS.items() if key not in _keys(finder.find(each.title)[:6])] == []
    assert [key for key in ACTIONS if _keys(finder.find(key))[0] != key] == []


@pytest.mark.parametrize(
    ("typed", "said", "how"),
    [
        ("verify", "verify", How.WHOLE),
        ("ver new", "verify the newest backup", How.WORDS),
        ("bun", "back up now", How.INITIALS),
        ("ify", "verify", How.WITHIN),
        ("vfy", "verify the newest backup", How.LETTERS),
        ("vzq", "verify", How.NOT),
        ("", "verify", How.WORDS),
    ],
)
def test_words_come_before_initials_and_initials_before_letters(typed: str, said: str, how: How) -> None:
    """What is typed by somebody who knows the word is never below chance."""
    assert best(typed, (text(said),)) is how


@given(st.text(max_size=12), st.text(max_size=30))
def test_the_whole_text_always_matches_itself(typed: str, said: str) -> None:
    """And nothing that can be typed is too strange."""
    best(typed, (text(said),))
    assert best(said, (text(said.strip()),)) is not How.NOT


def test_what_was_used_last_comes_first_among_what_matches_as_well() -> None:
    """The third drill of a night is one enter away."""
    assert _keys(_finder(used=["storage.test", "source.drill"]).find(""))[:2] == [
        "storage.test",
        "source.drill",
    ]
    assert _keys(_finder(used=["host.edit"]).find("change this"))[0] == "host.edit"
    assert _keys(_finder(used=["host.edit"]).find("source.edit"))[0] == "source.edit"


@pytest.mark.parametrize(
    ("line", "key", "names", "options"),
    [
        ("backup shop", "source.backup", ("shop",), {}),
        ("backup shop crm", "source.backup", ("shop", "crm"), {}),
        ("backup shop --to main offsite", "source.backup", ("shop",), {"--to": "main offsite"}),
        ("backup --to=main", "source.backup", (), {"--to": "main"}),
        ("drill crm --at 2h ago", "source.drill", ("crm",), {"--at": "2h ago"}),
        ("backup si", "source.backup", ("site-files",), {}),
        ("prune off", "storage.prune", ("offsite",), {}),
        ("prune --storage main", "storage.prune", ("main",), {}),
        ("storage remove main", "storage.remove", ("main",), {}),
        ("go storage main", "go storage", ("main",), {}),
        ("open source/shop", "open source", ("shop",), {}),
        ("open backup/latest:shop", "open backup", ("latest:shop",), {}),
        ("show 5abcdef", "history.details", ("5abcdef",), {}),
        ("job log 7job", "job.open", ("7job",), {}),
        ("offsite", "open storage", ("offsite",), {}),
        ("find nginx.conf --source shop", "history.find", ("nginx.conf",), {"--source": "shop"}),
        ("source.edit crm", "source.edit", ("crm",), {}),
    ],
)
def test_a_line_of_the_command_line_is_understood(
    line: str, key: str, names: tuple[str, ...], options: Mapping[str, str]
) -> None:
    """Verb, names, options, as at a shell; and what tab makes of a row is that row again."""
    first = _finder().find(line)[0]
    assert (first.entry.key, first.names, first.options, first.reason) == (key, names, options, "")
    again = _finder().find(first.line)[0]
    assert (again.entry.key, again.names, again.options) == (key, names, options)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("backup nowhere", "there is no source nowhere"),
        ("storage remove main offsite", "this is done for one storage at a time"),
        ("backup shop --full", "--full is for the command line: holdfast backup --help"),
        ("backup shop --to cellar", "there is no storage cellar"),
        ("drill shop --at ", "--at needs a time"),
        ("worker", "it is a process of its own, which must outlive every console; each job that a console submits starts one where none lives"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_says_why(line: str, said: str) -> None:
    """And does nothing."""
    found = _finder().find(line)
    assert said in [each.reason for each in found]
    assert all(each.reason or each.entry.key != "source.backup" or not each.names for each in found)


def test_what_tab_writes_means_that_row_and_no_other() -> None:
    """`restore` is done in many places: the first has the verb, the others their ids."""
    finder = _finder()
    for row in finder.find("restore "):
        if row.names:
            again = finder.find(row.line)[0]
            assert (again.entry.key, again.names) == (row.entry.key, row.names)


def test_names_are_offered_behind_a_verb() -> None:
    """Whoever does not know them chooses from them."""
    found = _finder("storage").find("drill ")
    assert [each.names for each in found if each.entry.key == "source.drill"] == [
        (), ("shop",), ("crm",), ("site-files",),
    ]  # fmt: skip
    assert found[0].is_open
    assert [each.names for each in _finder().find("backup shop ") if each.entry.key == "source.backup"] == [
        ("shop",), ("shop", "crm"), ("shop", "site-files"),
    ]  # fmt: skip
    assert _finder().find("backup shop --to ")[0].options == {"--to": "main"}
    assert _finder().find("drill shop --a")[0].line == "drill shop --at "


@given(st.text(alphabet="abdeghilmnoprstu -/\"'=:", max_size=25))
def test_nothing_that_can_be_typed_is_too_strange(line: str) -> None:
    """A quote that is not closed, two blanks, dashes."""
    for each in _FINDER.find(line):
        assert each.line


_FINDER = _finder()


def test_thousands_of_names_are_looked_through_while_one_types() -> None:
    """A letter must not wait for the list."""
    many = {**NAMES, "source": [Name(f"web-{number:05}", "files") for number in range(5000)]}
    finder = _finder(names=many)
    began = time.process_time()
    found = finder.find("backup web-04")
    finder.find("we")
    assert time.process_time() - began < 1.0
    assert found[0].names == ("web-04000",)
