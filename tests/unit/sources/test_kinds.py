"""What kinds of source there are."""

from __future__ import annotations

from engine.sources import registry


def test_of_each_kind_it_is_known_without_a_source_whether_it_is_a_database() -> None:
    """A drill decides by it what it drills, and must not take a server's dump for a heap of files."""
    databases = {kind for kind in registry.MEMBERS if registry.is_database(kind)}
    assert databases == {"mariadb", "mysql", "postgres", "redis", "sqlite"}
