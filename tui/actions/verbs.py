"""The verbs of the command line that no action stands for, each with the reason.

Together with `Action.verbs` it maps every verb: a test holds both against the table of the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WITHOUT_ACTION: Final[Mapping[str, str]] = {
    "completion": "it is for shells: what it prints is read by one when it starts",
    "config schema": "editors read it from a file, and whoever writes it there stands in that editor's shell",
    "console": "it is what is open already",
    "demo": "it makes a home of its own, and a console shows one home, which must be there before it opens",
    "metrics": "a scraper or a timer reads it, once a minute; the console shows the same figures to people",
    "service install": "it writes units of systemd as root, once, before there is a service whose work a console could show",
    "service uninstall": "it takes units of systemd away as root; jobs that a console shows would end with it",
    "worker": "it is a process of its own, which must outlive every console; each job that a console submits starts one where none lives",
}
"""Verb to reason: one sentence, lower case, no full stop."""
