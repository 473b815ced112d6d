"""The form of a restore: the options that mean something for the source at hand, and no others."""

from __future__ import annotations

import dataclasses

import pytest

from engine.errors import UsageError
from engine.model.drills import Ways
from engine.model.plan_steps import RESTORE, require_fitting, restored_words
from engine.model.requests import RestoreRequest
from tui.panes.restore_forms import restore_options
from tui.panes.restore_text import Target

DUMPS = Ways(is_database=True, is_loading=True, is_refilled=False, is_files=False)


def test_places_for_tablespaces_are_asked_for_where_a_servers_own_files_come() -> None:
    """Of dumps there are none, and beside or in place of what is live nothing is placed."""
    own_files = dataclasses.replace(DUMPS, has_tablespaces=True)
    assert [target for target in Target if "tablespaces" in restore_options(target, own_files)] == [
        Target.FILES
    ]
    assert "tablespaces" not in restore_options(Target.FILES, DUMPS)
    given = RESTORE["tablespaces"].read("/srv/fast=/new '/srv/with blank=/other'")
    request = RestoreRequest("latest:shop", "/r", tablespaces=given)  # type: ignore[arg-type]
    assert request.tablespaces == ("/srv/fast=/new", "/srv/with blank=/other")
    require_fitting(request)
    assert restored_words(request).count("--tablespace-mapping") == 2
    with pytest.raises(UsageError, match="goes with --to DIR"):
        require_fitting(dataclasses.replace(request, to="", into="beside"))
