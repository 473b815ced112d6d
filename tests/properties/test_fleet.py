"""Whatever is defined comes back from its document, and no text breaks the search for lines."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.fleet import comparison, writing
from engine.fleet.codecs import CODECS
from engine.fleet.document import Document, lines_of
from engine.model import storage_options
from engine.model.alerts import Destination, MaintenanceWindow, Occasion
from engine.model.definition_options import HOST_OPTIONS, SOURCE_KINDS, SOURCE_OPTIONS
from engine.model.definitions import Host, Source, Storage
from engine.model.plans import Plan, PlanStep
from engine.model.requests import RestoreRequest

names = st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
references = st.builds("{}:{}".format, st.sampled_from(["env", "vault", "command"]), texts.filter(bool))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "texts": st.one_of(texts, st.lists(texts, max_size=3).map(tuple)),
    "flag": st.just(True),
    "switch": st.sampled_from([True, False, "yes", "no"]),
    "count": st.integers(1, 2**40),
    "size": st.integers(1, 2**50),
    "hours": st.just("08:00-18:00"),
    "reference": references,
}


def options(types: Mapping[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of these options."""
    chosen = st.sampled_from(sorted(types))
    return st.lists(chosen, max_size=4, unique=True).flatmap(
        lambda keys: st.fixed_dictionaries({key: VALUES[types[key]] for key in keys})
    )


HOSTS = options(HOST_OPTIONS)
SOURCES = options(SOURCE_OPTIONS)


def storages(kind: str) -> st.SearchStrategy[Storage]:
    """A storage of that kind, with what it must have."""
    known = storage_options.taken_by(kind)
    needed = storage_options.missing(kind, {})
    types = {
        each.kept_as: "reference" if each.is_secret else "flag" if each.is_flag else each.type
        for each in known
        if not each.choices and each.name not in ("host", "path", *storage_options.FILES)
    }
    fixed = {each.kept_as: VALUES.get(types.get(each.kept_as, ""), st.just("/srv")) for each in needed}
    fixed |= {"host": st.just("localhost")} if "host" in fixed else {}
    given_options = st.builds(dict.__or__, options(types), st.fixed_dictionaries(fixed))
    return st.builds(
        Storage, st.just("near"), st.just(kind), given_options, references, is_enabled=st.booleans()
    )


STORAGES = st.one_of(*(storages(kind) for kind in (*storage_options.KINDS, "strange")))
RESTORES = st.builds(
    RestoreRequest,
    st.just(""),
    to=texts,
    is_in_place=st.booleans(),
    include=st.lists(texts, max_size=2).map(tuple),
    hook_timeout_s=st.floats(0, 1e6),
)
CHECKS = st.lists(st.tuples(texts, texts, texts), max_size=2).map(tuple)
STEPS = st.builds(PlanStep, st.just("source"), RESTORES, CHECKS, st.booleans(), level=texts)
PLANS = st.builds(
    Plan,
    st.just("all"),
    st.lists(STEPS, min_size=1, max_size=2).map(tuple),
    st.none() | st.floats(0, 1e6),
    texts,
)
DESTINATIONS = st.builds(
    Destination,
    st.just("ops"),
    texts,
    references,
    occasions=st.lists(st.sampled_from(Occasion), max_size=2).map(tuple),
    only=st.lists(texts, max_size=2).map(tuple),
    template=texts,
    start_url=st.just("") | references,
    is_enabled=st.booleans(),
)
WINDOWS = st.builds(
    MaintenanceWindow,
    st.just("patching"),
    texts,
    texts,
    st.floats(0, 1e6),
    texts,
    ends_at=st.none() | st.datetimes(timezones=st.just(datetime.UTC)),
)
KINDS = st.sampled_from([*SOURCE_KINDS, "strange"])


@st.composite
def fleets(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Some of everything, each fit for the others."""
    hosts = {
        name: Host(name, "ssh", draw(texts.filter(bool)), draw(HOSTS))
        for name in draw(st.sets(names, max_size=2))
    }
    places = st.sampled_from(["localhost", *hosts])
    sources = {"source": Source("source", "files")}
    for name in draw(st.sets(names, max_size=2)):
        sources[name] = Source(name, draw(KINDS), draw(places), draw(SOURCES))
    kept = draw(st.lists(STORAGES, max_size=1))
    planned = draw(st.lists(PLANS, max_size=1))
    told = draw(st.lists(DESTINATIONS, max_size=1))
    return {
        "hosts": hosts,
        "sources": sources,
        "storages": {each.name: each for each in kept},
        "plans": {each.name: each for each in planned},
        "destinations": {each.name: each for each in told},
        "windows": {each.name: each for each in draw(st.lists(WINDOWS, max_size=1))},
    }


@settings(max_examples=30)
@given(fleets())
def test_an_export_defines_the_same_fleet(fleet: dict[str, dict[str, Any]]) -> None:
    """`config export | config apply -` on an empty home gives the same fleet; on this one it changes nothing."""
    text = writing.write(fleet)
    found = comparison.read(Document.parse(text, "fleet.toml"), {}).definitions
    assert {table: dict(each) for table, each in found.items()} == {
        table: each for table, each in fleet.items() if each
    }
    assert comparison.changes(comparison.read(Document.parse(text, "f"), fleet), fleet) == []
    assert writing.write(fleet, text) == text


@settings(max_examples=20)
@given(fleets())
def test_every_key_of_an_export_has_a_line_of_its_own(fleet: dict[str, dict[str, Any]]) -> None:
    """However strange its texts are."""
    text = writing.write(fleet)
    document = Document.parse(text, "fleet.toml")
    lines = text.split("\n")
    for codec in CODECS:
        for name, table in document.tables.get(codec.table, {}).items():
            assert lines[document.line((codec.table, name)) - 1].startswith("[")
            keys = [key for key in table if key != "steps"]
            assert all(lines[document.line((codec.table, name, key)) - 1].startswith(key) for key in keys)


@given(st.text(max_size=300))
def test_no_text_stops_the_search_for_lines(text: str) -> None:
    """It is asked only of what is TOML, and must end whatever that is."""
    list(lines_of('[a]\nb = """' + text))
