"""What a year at a fleet left behind, as rows that its expectation is compared with."""

from __future__ import annotations

import datetime
import json
import zoneinfo
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ZONE = zoneinfo.ZoneInfo("Europe/Berlin")
Row = tuple[str, ...]


def shown(instant: datetime.datetime) -> str:
    """The wall time in Berlin, with its offset."""
    return instant.astimezone(ZONE).isoformat(" ", "minutes").replace("+", " +")


def expected(path: Path) -> dict[str, list[Row]]:
    """The rows of a file, sorted, by the first word above them."""
    found: dict[str, list[Row]] = {}
    title = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line[:1].isupper():
            title = line.partition(" ")[0].rstrip(":,")
        elif line.strip().startswith("|"):
            row = tuple(each.strip() for each in line.strip().strip("|").split("|"))
            found.setdefault(title, []).append(row)
    return {name: sorted(rows) for name, rows in found.items()}


def of_reports(evidence: Path, told: Sequence[Row]) -> dict[str, list[Row]]:
    """What the reports that are kept say. `told` are the messages that arrived: each report must name those of its time and no others."""
    found: dict[str, list[Row]] = {
        name: [] for name in ("REPORTS", "PROTECTED", "DRILLS", "FAILURES", "UNCOVERED")
    }
    for path in sorted(evidence.glob("report-compliance-*.json")):
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")
        report = json.loads(path.read_bytes())
        since, until = _of(report["since"]), _of(report["until"])
        assert sorted((_of(each["at"]), each["subject"]) for each in report["told"]) == sorted(
            (at, subject) for at, _, subject, _ in told if _is_between(since, at, until)
        )
        assert all((each["who"], each["delivered"]) == ("people", True) for each in report["told"])
        found["REPORTS"].append((since, until, str(len(report["told"]))))
        found["PROTECTED"] += [(until, *_protected(each)) for each in report["sources"]]
        found["DRILLS"] += [
            (until, each["source"], _of(each["at"]), each["status"], _span(each["rpo_s"]))
            for each in report["drills"]
        ]
        found["FAILURES"] += [(until, *_failure(each)) for each in report["failures"]]
        found["UNCOVERED"] += [
            (until, each["host"], each["what"], _of(each["seen_at"])) for each in report["uncovered"]
        ]
    return found


def _protected(line: dict[str, Any]) -> Row:
    assert (line["defined"], line["incomplete"], line["failed_proofs"]) == (True, 0, 0)
    newest = _of(line["newest_at"]) if line["newest_at"] else "-"
    return line["source"], str(line["completed"]), str(line["failed"]), newest, line["proof"] or "-"


def _failure(line: dict[str, Any]) -> Row:
    return line["verb"], line["subject"], str(line["count"]), _of(line["first_at"]), _of(line["last_at"])


def _of(instant: str) -> str:
    return shown(datetime.datetime.fromisoformat(instant))


def _is_between(since: str, at: str, until: str) -> bool:
    instants = [datetime.datetime.fromisoformat(each.replace(" +", "+")) for each in (since, at, until)]
    return instants[0] <= instants[1] < instants[2]


def _span(seconds: float) -> str:
    whole = datetime.timedelta(seconds=seconds)
    return f"{whole.days}d {whole.seconds // 3600:02d}:{whole.seconds % 3600 // 60:02d}"
