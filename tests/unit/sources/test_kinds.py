"""What kinds of source there are."""

from __future__ import annotations

from engine.sources import registry


def test_of_each_kind_it_is_known_without_a_source_whether_it_is_a_database() -> None:
    """A drill decides by it what it drills, and must not take a server's dump for a heap of files."""
    databases = {kind for kind in registry.MEMBERS if registry.is_database(kind)}
    assert databases == {"mariadb", "mysql", "postgres", "redis", "sqlite"}


def test_what_reads_dumps_belongs_to_a_kind_of_database() -> None:
    """Its module is loaded by its name alone."""
    for kind, target in registry.DUMP_READERS.items():
        assert registry.is_database(kind) or kind == "mongodb"
        module, _, name = target.partition(":")
        assert hasattr(__import__(module, fromlist=[name]), name)
