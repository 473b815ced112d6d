"""What is said of changes that were found in a log, and the command that undoes one."""

from __future__ import annotations

import datetime

from engine.cli import log_search
from engine.model.instants import FoundChanges, LogChange

_THEN = datetime.datetime(2026, 5, 4, 14, 5, 30, tzinfo=datetime.UTC)


def test_the_restore_of_what_was_found_can_be_copied_into_a_shell() -> None:
    """Of the last change, whatever the table is called; nothing where nothing was found."""
    change = LogChange(_THEN, "731", "0/5", "dropped", "shop", ("16384",), tables=("public.my orders",))
    said = log_search.lines(FoundChanges("db", "vault", (change,), 3, _THEN, _THEN, unnamed=2))
    assert (
        said[-1] == "back to just before the last of them: holdfast restore --source db --at-transaction 731 "
        "--just-before --into before_it --database shop --table 'public.my orders'"
    )
    assert "2 changes" in said[1]
    (nothing,) = log_search.lines(FoundChanges("db", "vault", (), 3, _THEN, _THEN))
    assert "nothing of that was found; 3 segments" in nothing
