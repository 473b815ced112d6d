"""How a source's figures develop: small plots, a column a day or week."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from engine.model.reports import Bucket, SourceTrend, TrendReport
from engine.model.text import printable
from tui.dialogs.reader import Reader
from tui.text import levels, short_size, span

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_PERIOD: Final = datetime.timedelta(days=365)
_FIGURES: Final[Sequence[tuple[str, str, Callable[[float], str]]]] = (
    ("duration_s", "duration", span),
    ("throughput_bytes_s", "throughput", lambda value: f"{short_size(value)}/s"),
    ("size_bytes", "size", short_size),
    ("added_bytes", "added", short_size),
    ("recovery_s", "recovery", span),
)


async def show_trends(console: ConsoleApp, source: str) -> None:
    """A page for one source, over a year. Raises: UnknownNameError."""
    now = console.now()
    report = await console.engine.trends(now - _PERIOD, now, source=source)
    lines = trend_lines(report, is_ascii=console.preferences.is_ascii)
    await console.ask(Reader(f"trends of {printable(source)}", lines))


def trend_lines(report: TrendReport, *, is_ascii: bool) -> Sequence[str]:
    """Of each source its figures: a plot, the least, the median and the most, and what that amounts to in words."""
    lines = [
        f"{report.since:%Y-%m-%d} to {report.until:%Y-%m-%d}, a column a {report.by}"
        + (": - is usual, _ far less, # far more" if is_ascii else "")
    ]
    for source in report.sources:
        for figure, label, shown in _FIGURES:
            lines += ["", *_figure(source, figure, label, shown, is_ascii=is_ascii)]
    return lines if report.sources else [*lines, "", "no job of it is known from that time"]


def _figure(
    source: SourceTrend, figure: str, label: str, shown: Callable[[float], str], *, is_ascii: bool
) -> Sequence[str]:
    found = [_value(each, figure) for each in source.buckets]
    values = sorted(each for each in found if each is not None)
    if not values:
        return [f"{label:<11} nothing is known of it"]
    plot = "".join(_columns(found, is_ascii=is_ascii))
    range_ = f"{shown(values[0])} to {shown(values[-1])}, mostly {shown(values[len(values) // 2])}"
    words = next((each.words for each in source.trends if each.figure == figure), "")
    return [f"{label:<11} {plot}", f"{'':<11} {range_}", *([f"{'':<11} {words}"] if words else [])]


def _columns(found: Sequence[float | None], *, is_ascii: bool) -> Sequence[str]:
    """A column each; a gap where nothing is known."""
    drawn = iter(levels([each for each in found if each is not None], is_ascii=is_ascii))
    return [" " if each is None else next(drawn) for each in found]


def _value(bucket: Bucket, figure: str) -> float | None:
    value: float | None = getattr(bucket, figure)
    return value
