"""What messages say, who gets them, how many go in one, and a person's own words for them."""

from __future__ import annotations

import dataclasses
import datetime

import pytest

from engine.alerting import telling, templates
from engine.errors import ConfigurationError
from engine.model.alerts import (
    Alert,
    AlertSettings,
    Condition,
    Delivery,
    Destination,
    Message,
    Occasion,
    Silence,
    Tone,
)
from engine.model.job import Job, JobStatus

NOW = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
USUAL = (Occasion.FAILURE, Occasion.ALERT, Occasion.RECOVERY)


def delivery(number: int, tone: Tone = Tone.FAILURE) -> Delivery:
    """One on its way."""
    message = Message(Occasion.FAILURE, tone, f"title {number}", "body", {"remedy": f"mend {number}"})
    return Delivery(number, "ops", message, NOW, 0)


def job(verb: str, status: JobStatus, request: dict[str, object], **more: object) -> Job:
    """One that took ten minutes."""
    return Job("5job", verb, request, status, NOW, NOW, NOW + HOUR / 6, **more)  # type: ignore[arg-type]


def _of(found: Job) -> Message:
    return telling.of_job(telling.JobFacts(found, {"shop": "db1"}))


@pytest.mark.parametrize(
    ("found", "occasion", "title"),
    [
        (job("backup", JobStatus.COMPLETED, {"sources": ["shop"]}), Occasion.SUCCESS, "backup of shop is done"),
        (job("backup", JobStatus.FAILED, {"sources": ["shop"]}, error="no\nroom"), Occasion.FAILURE, "backup of shop failed"),
        (job("backup", JobStatus.INCOMPLETE, {"sources": ["a", "b"]}), Occasion.FAILURE, "backup of a, b is incomplete"),
        (job("restore", JobStatus.COMPLETED, {"backup": "latest:shop"}), Occasion.SUCCESS, "restore of shop is done"),
        (job("drill", JobStatus.COMPLETED, {"source": "shop"}, result={"status": "failed"}), Occasion.FAILURE, "drill of shop found it failed"),
        (job("verify", JobStatus.COMPLETED, {"storage": "near"}, result={"status": "damaged"}), Occasion.FAILURE, "verify of near found it damaged"),
        (job("prune", JobStatus.INTERRUPTED, {"storage": "near"}), Occasion.FAILURE, "prune of near was interrupted"),
        (job("backup", JobStatus.CANCELLED, {"sources": ["shop"]}), Occasion.SUCCESS, "backup of shop was cancelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_job_of_any_kind_says_what_became_of_it(found: Job, occasion: Occasion, title: str) -> None:
    """One line that tells all that matters; the rest is below it."""
    message = _of(found)
    assert (message.occasion, message.title) == (occasion, title)
    assert message.body.endswith("it took 10 min 00 s\nholdfast job show 5job")
    assert (found.error in message.body, "\n" in message.title) == (True, False)


@pytest.mark.parametrize(
    ("verb", "request_of"),
    [(verb, {"storage": "near"}) for verb in ("prune", "verify", "storage move")]
    + [("copy", {"to_storage": "near"})],
)
def test_a_job_of_a_storage_alone_is_met_by_its_name(verb: str, request_of: dict[str, object]) -> None:
    """Who asked to hear of that storage does, who silenced it does not, and a report says what it was told of."""
    assert _of(job(verb, JobStatus.FAILED, request_of)).facts["subject"] == "storage near"


def test_a_drill_that_failed_without_an_error_names_the_step_and_its_detail() -> None:
    """Nobody should have to sit down at a machine to learn what was wrong."""
    steps = [
        {"step": "restore", "status": "ok", "detail": "5 files"},
        {"step": "check shop", "status": "failed", "detail": "3 rows, where 5 were expected"},
    ]
    result = {"status": "failed", "steps": steps}
    message = _of(job("drill", JobStatus.COMPLETED, {"source": "shop"}, result=result))
    assert message.facts["reason"] == "check shop: 3 rows, where 5 were expected"
    assert "check shop: 3 rows, where 5 were expected" in message.body
    assert "5 files" not in message.body


def test_a_failure_tells_its_reason_and_facts_that_others_choose_by() -> None:
    """Destinations and templates go by them."""
    facts = _of(
        job("backup", JobStatus.FAILED, {"sources": ["shop"], "schedule": "nightly"}, error="no room")
    ).facts
    assert [facts[each] for each in ("subject", "host", "schedule", "verb", "status", "reason", "job")] == [
        "source shop", "db1", "nightly", "backup", "failed", "no room", "5job",
    ]  # fmt: skip
    assert facts.keys() <= set(templates.FIELDS)


@pytest.mark.parametrize(
    ("changes", "is_wanted"),
    [
        ({}, True),
        ({"occasions": (Occasion.SUCCESS,)}, False),
        ({"only": ("source sh*",)}, True),
        ({"only": ("host db1", "source other")}, True),
        ({"only": ("schedule nightly",)}, True),
        ({"only": ("verb restore",)}, False),
        ({"is_enabled": False}, False),
    ],
)
def test_a_destination_gets_what_it_chose(changes: dict[str, object], is_wanted: bool) -> None:
    """By what happened, and to what."""
    message = _of(job("backup", JobStatus.FAILED, {"sources": ["shop"], "schedule": "nightly"}))
    destination = dataclasses.replace(Destination("ops", "apprise", "env:X"), **changes)  # type: ignore[arg-type]
    assert telling.is_wanted(message, destination, USUAL) is is_wanted


@pytest.mark.parametrize(
    ("occasion", "told", "hears"),
    [
        (Occasion.ALERT, {}, True),
        (Occasion.ALERT, {"ops": Occasion.FAILURE}, False),
        (Occasion.ALERT, {"ops": Occasion.SUCCESS}, False),
        (Occasion.ALERT, {"others": Occasion.FAILURE}, True),
        (Occasion.RECOVERY, {}, False),
        (Occasion.RECOVERY, {"ops": Occasion.FAILURE}, True),
        (Occasion.RECOVERY, {"ops": Occasion.SUCCESS}, False),
        (Occasion.RECOVERY, {"others": Occasion.FAILURE}, False),
    ],
)
def test_who_heard_of_a_job_s_failure_hears_its_end_and_its_alert_no_second_time(
    occasion: Occasion, told: dict[str, Occasion], hears: bool
) -> None:
    """Nobody is left with a failure that is long over, and nobody hears of the end of what they were not told."""
    assert telling.hears("ops", Message(occasion, Tone.INFO, "", ""), told) is hears


@pytest.mark.parametrize(
    ("subject", "verb", "hours", "is_silenced"),
    [
        ("source shop", "backup", 1, True),
        ("host db*", "backup", 1, True),
        ("*", "backup", 1, True),
        ("source other", "backup", 1, False),
        ("*", "restore", 1, False),
        ("*", "backup", 3, False),
    ],
)
def test_a_silence_holds_for_jobs_of_its_subjects_and_never_for_a_restore(
    subject: str, verb: str, hours: int, is_silenced: bool
) -> None:
    """Nobody brings data back behind a silence."""
    message = _of(job(verb, JobStatus.FAILED, {"sources": ["shop"]}))
    silence = Silence("5s", subject, "", NOW, NOW + 2 * HOUR, "why")
    assert telling.is_silenced(message, [silence], NOW + hours * HOUR) is is_silenced


def test_a_few_go_each_by_itself_and_many_in_one_that_names_each() -> None:
    """Five hundred hosts that fail at once are one mail."""
    settings = AlertSettings()
    few, _ = telling.parcels([delivery(1), delivery(2)], telling.Sent(), settings, NOW, is_signal=False)
    assert [each.message.title for each in few] == ["title 1", "title 2"]
    (one,), _ = telling.parcels(
        [delivery(each) for each in range(500)], telling.Sent(), settings, NOW, is_signal=False
    )
    assert one.message.title == "500 messages: 500 failure"
    assert one.message.tone is Tone.FAILURE
    assert "title 0\n    mend 0\ntitle 1\n" in one.message.body
    assert one.message.body.endswith("and 300 more: holdfast alerts list, holdfast jobs")
    assert len(one.deliveries) == 500


def test_what_comes_near_the_limit_of_an_hour_goes_in_one_and_then_waits() -> None:
    """A storm of messages is not read, and the account is blocked."""
    settings = AlertSettings(messages_an_hour=10)
    two = [delivery(1), delivery(2)]
    sent = telling.Sent(8, NOW - HOUR / 2)
    parcels, _ = telling.parcels(two, sent, settings, NOW, is_signal=False)
    assert len(parcels) == 1
    assert telling.parcels(two, telling.Sent(10, NOW - HOUR / 2), settings, NOW, is_signal=False) == (
        (),
        NOW + HOUR / 2,
    )


def test_a_message_is_tried_again_later_and_later() -> None:
    """A server that is down for a day costs little, and one that blinks no time."""
    waits = [(telling.next_try(NOW, attempts) - NOW).total_seconds() for attempts in (1, 2, 3, 7, 40)]
    assert waits == [60, 120, 240, 3600, 3600]


def test_a_digest_is_due_once_a_day_at_its_hour() -> None:
    """And after a day switched off, once."""
    zone = datetime.timezone(2 * HOUR)
    eight = datetime.datetime(2026, 11, 20, 6, tzinfo=datetime.UTC)  # 08:00 there
    assert telling.digest_due("08:00", eight - HOUR, eight - HOUR / 2, zone) is None
    assert telling.digest_due("08:00", eight - HOUR, eight, zone) == eight
    assert telling.digest_due("08:00", eight, eight + HOUR, zone) is None
    assert telling.digest_due("08:00", eight - 72 * HOUR, eight - HOUR, zone) == eight - 24 * HOUR


def test_a_digest_tells_what_stands_and_what_ran() -> None:
    """Read with the first coffee."""
    alert = Alert("5a", Condition.FAILED, "source shop", True, "no room", "holdfast backup shop", NOW, NOW)
    jobs = [
        job("backup", JobStatus.COMPLETED, {}),
        job("drill", JobStatus.COMPLETED, {}, result={"status": "failed"}),
    ]
    message = telling.digest([alert], jobs, NOW - 24 * HOUR, NOW)
    assert message.title == "1 at risk, 2 jobs since 2026-11-19 12:00 UTC"
    assert message.body.splitlines() == [
        "1 x backup: completed",
        "1 x drill: failed",
        "at risk  source shop: no room",
        "         holdfast backup shop",
    ]


def test_a_template_says_it_in_other_words() -> None:
    """A person's own; a fact that a message does not have is empty, and none can be made to run anything."""
    template = "[$condition] ${subject}$$\n$reason\ndo: $remedy $storage\n"
    templates.check(template)
    facts = {
        "condition": "failed",
        "subject": "source shop",
        "reason": "{0.__class__} $job %s",
        "remedy": "r",
    }
    told = templates.apply(template, Message(Occasion.ALERT, Tone.FAILURE, "t", "b", facts))
    assert (told.title, told.body) == ("[failed] source shop$", "{0.__class__} $job %s\ndo: r ")


@pytest.mark.parametrize(
    ("template", "said", "hint"),
    [
        ("a $reasno", "names $reasno", "did you mean $reason?"),
        ("a\nb $ c", "line 2 of the template has a $", "$$ is a $"),
        ("\nbody", "the first line of a template is the title", None),
    ],
)
def test_a_mistake_in_a_template_is_found_when_it_is_given(
    template: str, said: str, hint: str | None
) -> None:
    """Not when the first alert is told."""
    with pytest.raises(ConfigurationError) as caught:
        templates.check(template)
    assert said in caught.value.message
    assert caught.value.hint == hint
