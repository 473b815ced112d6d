"""The password of repositories that stock restic reads too, for processes of the tests that have no need of pytest."""

from __future__ import annotations

PASSWORD = "correct horse"
