"""Metrics are text that the official parser reads back as it was meant."""

from __future__ import annotations

import datetime
import re

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from engine.export import prometheus
from engine.model.metrics import Family, Metrics, Sample

AT = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
# The parser takes lines apart as str.split does, which knows more ends of a line than the format.
WORDS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")) | st.sampled_from('\n"\\{},= '), max_size=30
)
VALUES = st.floats(allow_nan=False) | st.integers(-(10**18), 10**18).map(float)


def _read(*families: Family) -> list[tuple[str, str, str, dict[str, str], float]]:
    text = prometheus.text(Metrics(AT, families)).decode()
    return [
        (sample.name, family.type, family.documentation, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


@given(WORDS, WORDS, VALUES)
def test_whatever_is_said_is_read_back(words: str, label: str, value: float) -> None:
    """A name with a quote must not break the page of all the others."""
    family = Family(
        "holdfast_x_bytes", "gauge", "Said.", [Sample(value, (("source", words), ("more", label)))]
    )
    assert _read(family) == [("holdfast_x_bytes", "gauge", "Said.", {"source": words, "more": label}, value)]


def test_a_counter_is_one_and_help_is_escaped() -> None:
    """Prometheus computes rates of counters only."""
    found = _read(
        Family("holdfast_jobs_ended_total", "counter", "One\\two\nthree.", [Sample(3)]),
        Family("holdfast_none", "gauge", "None."),
    )
    assert found == [("holdfast_jobs_ended_total", "counter", "One\\two\nthree.", {}, 3.0)]


def test_a_name_that_is_no_unicode_is_written_all_the_same() -> None:
    """Such a name may come from a host."""
    written = prometheus.text(
        Metrics(AT, [Family("x", "gauge", "X.", [Sample(1, (("source", "a\udcff"),))])])
    )
    assert b'x{source="a\\udcff"} 1' in written


def test_infinite_and_missing_figures_have_their_words() -> None:
    """An empty storage is full in no number of days."""
    assert [prometheus.number(each) for each in (float("inf"), float("-inf"), float("nan"), 2.0, 0.1)] == [
        "+Inf",
        "-Inf",
        "NaN",
        "2",
        "0.1",
    ]


def test_each_rule_has_a_name_an_expression_and_a_summary() -> None:
    """promtool reads them in another test; this one holds them together where it is not at hand."""
    rules = prometheus.rules().decode()
    alerts = re.findall(r"- alert: (\w+)\n(?:          .*\n|        .*\n)+", rules)
    assert len(alerts) == len(set(alerts)) == rules.count("expr:") == rules.count("summary:") > 10
