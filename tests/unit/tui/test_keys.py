"""Sentences that name a key name the one that does it now."""

from __future__ import annotations

import ast
import contextvars
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

import tui
from tui import keys
from tui.actions import ACTIONS

_TREE: Final = Path(tui.__path__[0])
_OF_THE_TABLE: Final = {keys.usual(each) for each in ACTIONS.values()} - {"", "a", "A", "esc"}
_WORD: Final = re.compile(r"(?<![^\s(,;])([A-Za-z0-9?/]|ctrl\+\S|enter|space)(?=[\s,.;)]|:(?!\d)|$)")
_OF_THEIR_OWN: Final[Mapping[str, str]] = {
    "app.py": "ctrl+c",
    "dialogs/base.py": "esc",
    "dialogs/confirm.py": "y n enter",
    "dialogs/form.py": "enter ctrl+s ctrl+t ctrl+o",
    "dialogs/help.py": "enter",
    "dialogs/job_page.py": "y",
    "dialogs/link.py": "y",
    "dialogs/menu.py": "enter",
    "dialogs/palette.py": "enter",
    "dialogs/several.py": "enter",
    "dialogs/waiting.py": "x",
    "dialogs/wizards/guide.py": "1 2 3 4 enter ctrl+r ctrl+s",
    "dialogs/wizards/host.py": "ctrl+s",
    "browser/server.py": "N 0",
    "start.py": "N 0",
    "dialogs/backup_forms.py": "/",
    "panes/restore_forms.py": "/",
    "panes/restore_timeline.py": "N x",
    "panes/storage_facts.py": "?",
    "panes/timeline.py": "? space",
    "preferences.py": "enter",
    "panes/schedule_facts.py": "1 h",
    "schedule_work.py": "space",
}
"""What a dialog binds itself, which nothing remaps; and what is no key: `--port N`, `24 h`, `1 retry`, an `x` drawn for a gap, a mark, room."""


def _texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Lines and texts that are no docstrings and no style sheets."""
    alone = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            is_sentence = re.search(r"[a-z]{2}", node.value) and " " in node.value
            if is_sentence and not re.search(r"\{ .*: .*; \}", node.value):
                yield node.lineno, node.value


@pytest.mark.parametrize(
    "path",
    [each for each in sorted(_TREE.rglob("*.py")) if each.parent.name != "actions"],
    ids=lambda path: str(path.relative_to(_TREE)),
)
def test_no_sentence_names_a_key_as_it_usually_is(path: Path) -> None:
    """Where keys were given to other actions it would lie: `keys.of` and `keys.said` tell the truth."""
    known = _OF_THEIR_OWN.get(str(path.relative_to(_TREE)), "").split()
    found = [
        f"line {line}: {key} in {text!r}"
        for line, text in _texts(ast.parse(path.read_text(encoding="utf-8")))
        for key in _WORD.findall(text)
        if key in _OF_THE_TABLE and key not in known
    ]
    assert found == []


def test_a_sentence_names_the_key_that_does_it_now() -> None:
    """And where no key does it, what to type in the palette; what is no action stays as it is."""

    def told() -> list[str]:
        keys.follow(lambda action: "F5" if action.action_id == "source.backup" else keys.usual(action))
        return [
            keys.of("source.backup"),
            keys.said("{source.backup} or {source.new}; {no.action}, {vault.open}"),
        ]

    assert contextvars.Context().run(told) == ["F5", "F5 or n; {no.action}, :show the secrets of the vault"]
    assert keys.of("source.backup") == "b"


def test_what_a_template_names_is_an_action() -> None:
    """A slip of the pen would stand on the screen as it was written."""
    named = [
        name
        for path in sorted(_TREE.rglob("*.py"))
        for name in re.findall(
            r"keys\.of\(\"([a-z_.]+)\"\)|keys\.of\('([a-z_.]+)'\)", path.read_text(encoding="utf-8")
        )
    ]
    assert [name for pair in named for name in pair if name and name not in ACTIONS] == []
    for path in sorted(_TREE.rglob("*.py")):
        for _, text in _texts(ast.parse(path.read_text(encoding="utf-8"))):
            written = re.findall(r"\{([a-z_]+\.[a-z_]+)\}", text)
            assert [name for name in written if name not in ACTIONS] == [], path
