"""Retention holds whatever the snapshots and the policy are, and decides as stock restic does."""

from __future__ import annotations

import dataclasses
import datetime
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import retention
from engine.clock import SystemClock
from engine.format import snapshot as snapshot_format
from engine.format.snapshot import Snapshot
from engine.model.requests import KeepPolicy
from engine.retention import ALL, Candidate
from engine.storages.base import Kind
from tests.damaged import building
from tests.servers.restic import Restic, ResticProgram

NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)

offsets = st.sampled_from([-11, -5, 0, 1, 2, 12]).map(
    lambda hours: datetime.timezone(datetime.timedelta(hours=hours))
)


@st.composite
def snapshots(draw: st.DrawFn) -> list[Candidate]:
    """Snapshots of some years, clustered, at various offsets, no two of one instant."""
    seconds = draw(
        st.lists(
            st.one_of(st.integers(1, 7_200), st.integers(1, 20 * 86_400), st.integers(1, 3 * 366 * 86_400)),
            max_size=25,
            unique=True,
        )
    )
    return [
        Candidate(
            str(place),
            (NOW - datetime.timedelta(seconds=each)).astimezone(draw(offsets)),
            tuple(draw(st.sets(st.sampled_from(["a", "b"])))),
            draw(st.integers(0, 40)),
        )
        for place, each in enumerate(seconds)
    ]


counts = st.integers(-1, 4)
spans = st.sampled_from([None, 3_600.0, 86_400.0, 40 * 86_400.0])
counted = st.builds(
    KeepPolicy,
    last=counts,
    hourly=counts,
    daily=counts,
    weekly=counts,
    monthly=counts,
    yearly=counts,
    within_s=spans,
    within_hourly_s=spans,
    within_daily_s=spans,
    within_monthly_s=spans,
    tags=st.sampled_from([(), ("a",), ("a", "b")]),
    minimum=st.just(0),
)
"""What restic understands."""
bounded = st.builds(
    dataclasses.replace,
    counted,
    within_bytes=st.sampled_from([None, 0, 50, 1_000]),
    most=st.one_of(st.none(), st.integers(1, 6)),
    most_bytes=st.sampled_from([None, 1, 50, 1_000]),
    minimum=st.integers(0, 4),
)
rules = ("last", "hourly", "daily", "weekly", "monthly", "yearly", "within_s")


@given(bounded)
def test_a_log_without_a_base_is_kept_as_long_as_the_longest_rule_looks_back(policy: KeepPolicy) -> None:
    """Never shorter than any of them, nor than a day; what people say of logs counts alone."""
    span_s = retention.log_span_s(policy)
    counts = {each: getattr(policy, each) for each in rules[:-1]}
    if ALL in counts.values():
        assert span_s is None
    elif span_s is not None:
        assert span_s >= max(86_400.0, policy.within_s or 0.0, policy.within_monthly_s or 0.0)
        assert span_s >= policy.hourly * 3_600.0 + policy.daily * 86_400.0 - min(policy.hourly, 24) * 3_600.0
    else:
        assert not any(counts[each] for each in rules[1:-1])
    assert retention.log_span_s(dataclasses.replace(policy, logs_within_s=5.0)) == 5.0


@given(snapshots(), counted)
def test_the_newest_is_kept_by_any_rule(given_snapshots: list[Candidate], policy: KeepPolicy) -> None:
    """Whatever else a policy does, the last good backup stays."""
    decided = retention.decide(given_snapshots, policy, NOW)
    assert sorted(each.id for each in decided) == sorted(each.id for each in given_snapshots)
    if decided and any(getattr(policy, name) for name in rules):
        assert decided[0].is_kept
    assert not decided or any(each.is_kept for each in decided)
    assert all(each.reasons for each in decided)


@given(snapshots(), counted, st.randoms())
def test_the_order_of_the_snapshots_does_not_matter(
    given_snapshots: list[Candidate], policy: KeepPolicy, draw: random.Random
) -> None:
    """A listing has no order."""
    shuffled = list(given_snapshots)
    draw.shuffle(shuffled)
    assert retention.decide(shuffled, policy, NOW) == retention.decide(given_snapshots, policy, NOW)


@given(snapshots(), counted)
def test_what_was_kept_is_kept_again(given_snapshots: list[Candidate], policy: KeepPolicy) -> None:
    """A second forget with the same policy right after the first takes nothing that a period's rule kept as its newest."""
    kept = {each.id for each in retention.decide(given_snapshots, policy, NOW) if each.is_kept}
    left = [each for each in given_snapshots if each.id in kept]
    assert all(each.is_kept for each in retention.decide(left, policy, NOW))


@st.composite
def judged(draw: st.DrawFn) -> list[Candidate]:
    """The same, and people and misfortune had a say."""
    return [
        dataclasses.replace(
            each,
            is_whole=draw(st.booleans()),
            is_safety=draw(st.sampled_from([False, False, True])),
            wishes=draw(st.sampled_from([(), (), ("held",)])),
            expired=draw(st.sampled_from(["", "", "expired"])),
        )
        for each in draw(snapshots())
    ]


@settings(max_examples=40)
@given(judged(), bounded)
def test_nothing_goes_below_the_minimum(given_snapshots: list[Candidate], policy: KeepPolicy) -> None:
    """Rules, bounds, dates and incomplete backups together never take the last good ones of a source."""
    decided = {each.id: each for each in retention.decide(given_snapshots, policy, NOW)}
    real = [each for each in given_snapshots if not each.is_safety]
    for those in (real, [each for each in real if each.is_whole]):
        kept = sum(decided[each.id].is_kept for each in those)
        assert kept >= min(max(policy.minimum, len(those) == len(real)), len(those))
    assert all(decided[each.id].is_kept for each in given_snapshots if each.wishes)
    assert all(each.reasons and bool(each.kept_by) == each.is_kept for each in decided.values())


@settings(max_examples=40)
@given(judged(), bounded, st.timedeltas(datetime.timedelta(), datetime.timedelta(days=4_000)))
def test_time_alone_takes_nothing(
    given_snapshots: list[Candidate], policy: KeepPolicy, later: datetime.timedelta
) -> None:
    """A source that stopped producing backups keeps those that it has, however long ago that was."""
    assert retention.decide(given_snapshots, policy, NOW + later) == retention.decide(
        given_snapshots, policy, NOW
    )


@settings(max_examples=40)
@given(judged(), bounded, st.sampled_from([*rules[:-1], "minimum", "most"]))
def test_asking_for_more_keeps_no_less(
    given_snapshots: list[Candidate], policy: KeepPolicy, name: str
) -> None:
    """Nobody loses a backup by raising a count."""
    if name != "most":
        policy = dataclasses.replace(policy, most=None, most_bytes=None)
    count = getattr(policy, name)
    if count in (ALL, None) or (name == "minimum" and count == 0):
        return
    if name != "most" and not policy.has_rules:
        return
    more = dataclasses.replace(policy, **{name: count + 1})
    fewer, greater = (
        {each.id for each in retention.decide(given_snapshots, asked, NOW) if each.is_kept}
        for asked in (policy, more)
    )
    assert fewer <= greater


@dataclass(frozen=True, slots=True)
class Laid:
    """A repository of snapshots for restic to decide on."""

    restic: Restic
    names: dict[str, str]
    """Our candidates' ids by the snapshots'."""


async def lay_out(given_snapshots: list[Candidate], directory: Path, program: ResticProgram) -> Laid:
    """Writes the snapshots, all of one empty tree."""
    made = await building.builder(SystemClock())
    root = made.tree()
    await made.pack(("tree", root))
    await made.index()
    names = {}
    for each in given_snapshots:
        taken = Snapshot(each.time, root, ("/srv",), "host", "root", tags=tuple(each.tags))
        name = await made.repository.save_unpacked(Kind.SNAPSHOT, snapshot_format.encode(taken))
        names[name] = each.id
    building.lay_out(made.storage, directory / "repository")
    return Laid(Restic(program, directory / "repository", directory / "temporary", building.PASSWORD), names)


def words(policy: KeepPolicy) -> list[str]:
    """The policy as restic's options."""
    found: list[str] = []
    for name in ("last", "hourly", "daily", "weekly", "monthly", "yearly"):
        count = getattr(policy, name)
        found += [f"--keep-{name}", str(count) if count > 0 else "unlimited"] if count else []
    for name in ("", "hourly", "daily", "monthly"):
        if within_s := getattr(policy, f"within_{name}_s" if name else "within_s"):
            found += [f"--keep-within-{name}".rstrip("-"), f"{within_s / 3600:g}h"]
    for tag in policy.tags:
        found += ["--keep-tag", tag]
    return found


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(given_snapshots=snapshots(), policy=counted)
async def test_restic_decides_the_same(
    given_snapshots: list[Candidate],
    policy: KeepPolicy,
    restic_newest: ResticProgram,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A policy written for restic means the same here."""
    policy_words = words(policy)
    if not given_snapshots or not policy_words:
        return
    laid = await lay_out(given_snapshots, tmp_path_factory.mktemp("forget"), restic_newest)
    decided = retention.decide(given_snapshots, policy, SystemClock().now())
    if all(each.kept_by == "minimum" for each in decided if each.is_kept):
        return
    groups = laid.restic.json("forget", "--dry-run", *policy_words)
    theirs = {laid.names[each["id"]] for group in groups for each in group["keep"]}
    assert {each.id for each in decided if each.is_kept} == theirs
