"""What status prints of a large fleet."""

from __future__ import annotations

import datetime
import io

from engine.cli import status
from engine.cli.output import Output
from engine.model.alerts import Condition
from engine.model.status import Concern, Paused, SourceStatus, Status

AT = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)


def _told(found: Status, *, is_whole: bool = False) -> list[str]:
    stream = io.BytesIO()
    output = Output(stream, is_json=False, environment={})
    status.tell(output, found, is_whole=is_whole)
    output.flush()
    return stream.getvalue().decode().splitlines()


def _fleet(size: int) -> Status:
    """Every tenth source is at risk, and has the best score; the others could be better."""
    names = [f"site-{number:04d}" for number in range(size)]
    sources = [
        SourceStatus(
            name, "web", "files", 99 if number % 10 == 0 else 40 + number % 50, AT, None, None, None, 1
        )
        for number, name in enumerate(names)
    ]
    concerns = [
        Concern(
            f"source {name}",
            number % 10 == 0,
            "it is so",
            f"holdfast drill {name}",
            Condition.UNPROVEN,
            "web",
        )
        for number, name in enumerate(names)
    ]
    pauses = [Paused(f"of-{name}", AT, None, "new disks") for name in names]
    return Status(AT, sorted(concerns, key=lambda each: not each.is_risk), sources, 0, pauses=pauses)


def test_a_fleet_is_told_on_one_screen_the_worst_first_and_whole_where_that_is_wanted() -> None:
    """What is at risk must not scroll away above two thousand lines that are well."""
    lines = _told(_fleet(2000))
    assert len(lines) < 60
    assert lines[0] == "200 at risk, 2000 sources"
    assert [each.split(":")[0] for each in lines if each.startswith("at risk")] == [
        f"at risk  source site-{number:04d}" for number in range(0, 100, 10)
    ]
    assert "and 1990 more, 190 at risk: `holdfast status --all`" in lines
    assert "paused   and 1995 schedules more: `holdfast schedule list`" in lines
    rows = [each for each in lines if each.startswith("site-")]
    assert [each.split()[0] for each in rows] == [f"site-{number:04d}" for number in range(0, 200, 10)]
    assert lines[-1] == "and 1980 sources more that are no worse: `holdfast status --all`"
    whole = _told(_fleet(2000), is_whole=True)
    assert sum(each.startswith("site-") for each in whole) == 2000
    assert sum("it is so" in each for each in whole) == 2000
    assert not [each for each in whole + _told(_fleet(5)) if each.startswith("and ")]
