"""Spans of time in words."""

from __future__ import annotations


def span(seconds: float) -> str:
    """A span: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def days(seconds: float) -> str:
    """An age that is counted in days, less than two in hours: `3.5 days`, `36 hours`, `less than an hour`. One that is not yet is none."""
    hours = max(seconds, 0.0) / 3600
    if hours >= 48:
        return f"{hours / 24:.1f} days"
    if hours < 1:
        return "less than an hour"
    return "1 hour" if round(hours) == 1 else f"{hours:.0f} hours"
