"""Metrics as Prometheus's text, and the rules that make alerts of them.

Source: the exposition format, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engine.model.metrics import Family, Labels, Metrics

_RULES: Final = Path(__file__).with_name("alert_rules.yml")
_EXACT: Final = 1 << 53
"""Whole numbers below it are the same as floats."""


def text(metrics: Metrics) -> bytes:
    """The text of a page or file, with its last newline."""
    lines = [line for family in metrics.families for line in _lines(family)]
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def rules() -> bytes:
    """The file of alert rules, as Prometheus's configuration takes it under rule_files."""
    return _RULES.read_bytes()


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {_escaped(family.help)}"
    yield f"# TYPE {family.name} {family.type}"
    for sample in family.samples:
        yield f"{family.name}{_labels(sample.labels)} {number(sample.value)}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    written = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels)
    return f"{{{written}}}"


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(value: str) -> str:
    return _escaped(value).replace('"', '\\"')


def number(value: float) -> str:
    """A figure such that reading it gives the same float again."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < _EXACT else repr(float(value))
