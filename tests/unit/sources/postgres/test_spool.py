"""What a server must be set to before it fills a spool."""

from __future__ import annotations

import pytest

from engine.sources.postgres import spool


@pytest.mark.parametrize(
    ("is_standby", "mode", "missing"),
    [
        (False, "off", "on"),
        (False, "on", ""),
        (False, "always", ""),
        (True, "on", "always"),
        (True, "always", ""),
    ],
)
def test_a_standby_hands_its_log_over_with_another_mode_than_a_primary(
    is_standby: bool, mode: str, missing: str
) -> None:
    """With `on` it waits for its promotion, and nothing comes meanwhile."""
    assert spool.missing_mode({"standby": is_standby, "mode": mode}) == missing
