"""console.toml: what a person set, and what was wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.actions import ACTIONS
from tui.actions.key_names import shown
from tui.preferences import Preferences, key_named, parse, read_preferences


def _parse(text: str) -> Preferences:
    return parse(text, tomllib.loads(text), "home")


def test_a_key_may_be_given_to_an_action() -> None:
    """Fingers know other programs."""
    found = _parse('[keys]\n"source.drill" = ["f5", "!"]\n')
    assert (found.keys_of("source.drill"), found.mistakes) == (("f5", "exclamation_mark"), [])
    assert found.keys_of("list.down") == ACTIONS["list.down"].keys


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[keys]\n"source.dril" = "f5"\n',
            "line 2: there is no action source.dril; did you mean source.drill?",
        ),
        (
            '[keys]\n"source.drill" = "hyper+x"\n',
            "line 2: there is no key hyper+x; a letter, or a name as ctrl+b, enter, f5",
        ),
        ('[keys]\n"source.drill" = "ctrl+c"\n', "line 2: ctrl+c is the console's own, and ends it"),
        ('[keys]\n"source.drill" = []\n', "line 2: source.drill needs a key, or a list of keys"),
        ('[keys]\n"source.drill" = 5\n', "line 2: source.drill needs a key, or a list of keys"),
        ("keys = 5\n", "line 1: keys is a table of actions and their keys"),
        ("theme = true\n", "line 1: theme is a text"),
        ("is_ascii = 'no'\n", "line 1: is_ascii is true or false"),
        ("them = 'dark'\n", "line 1: there is no them; did you mean theme?"),
    ],
)
def test_a_mistake_is_named_by_its_line(text: str, said: str) -> None:
    """And the default stands: the console opens all the same."""
    found = _parse(text)
    assert list(found.mistakes) == [said]
    assert (found.theme, found.is_ascii, found.keys) == ("", False, {})


@pytest.mark.parametrize("key", ["j", "q", "b"])
def test_a_key_that_another_action_has_is_refused(key: str) -> None:
    """Textual would let the later one take it over in silence."""
    (said,) = _parse(f'[keys]\n"source.drill" = "{key}"\n').mistakes
    assert said.startswith("line 2: source.drill keeps its own keys, for ")


def test_two_actions_may_change_keys() -> None:
    """The other one has to get another key too."""
    found = _parse('[keys]\n"source.drill" = "b"\n"source.backup" = "D"\n')
    assert (found.keys_of("source.drill"), found.keys_of("source.backup"), found.mistakes) == (
        ("b",),
        ("D",),
        [],
    )


def test_a_file_that_is_no_toml_is_told_and_left_alone(tmp_path: Path) -> None:
    """Nobody loses the console by a bracket."""
    (tmp_path / "console.toml").write_text("name = \n")
    found = read_preferences(tmp_path)
    assert found.name == tmp_path.name
    assert "console.toml is not used" in found.mistakes[0]


@given(
    st.dictionaries(
        st.sampled_from(sorted(ACTIONS)),
        st.lists(st.sampled_from(["b", "j", "f5", "ctrl+b", "!", "D"]), max_size=3),
    )
)
def test_whatever_holds_leaves_no_key_with_two_meanings(keys: dict[str, list[str]]) -> None:
    """Where both would work."""
    found = parse("", {"keys": keys}, "home")
    for action_id, given_keys in found.keys.items():
        place = ACTIONS[action_id].place
        others = {
            key
            for other in ACTIONS.values()
            if other.action_id != action_id and other.place == place
            for key in found.keys_of(other.action_id)
        }
        assert others.isdisjoint(given_keys)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("?", "question_mark"), ("b", "b"), ("B", "B"), ("é", "é"), ("ctrl+b", "ctrl+b"), ("Ctrl+B", "ctrl+b"), ("f5", "f5"), ("F5", "f5"),
        ("question_mark", "question_mark"), ("enter", "enter"), ("esc", "escape"), ("ctrl+\\", "ctrl+backslash"), ("shift+tab", "shift+tab"),
        ("nokey", None), ("alt+b", None), ("shift+b", None), ("ctrl+m", None), ("ctrl+shift+b", None), ("<any>", None), ("", None),
    ],
)  # fmt: skip
def test_keys_are_called_as_they_stand_on_a_keyboard(written: str, key: str | None) -> None:
    """`?`, and not question_mark, though that does as well; one that no terminal sends is none."""
    assert key_named(written) == key


def test_each_key_of_the_table_can_be_written_as_the_help_shows_it() -> None:
    """Who reads it there writes it so."""
    keys = {key for each in ACTIONS.values() for key in each.keys}
    assert [key for key in keys if key_named(shown(key)) != key] == []
