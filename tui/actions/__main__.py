"""Prints the page of keys."""

from __future__ import annotations

import sys

from tui.actions import page

sys.stdout.write(page.markdown())
