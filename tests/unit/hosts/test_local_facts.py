"""The facts of this machine, found without a shell."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.errors import VaultError
from engine.hosts import facts
from engine.hosts.base import Facts
from engine.hosts.local import LocalHost
from engine.model.definitions import Host, OptionValue
from engine.model.secret import Secret

_TOOL = "#!/bin/sh\necho called >>{calls}\necho '{version}'\necho more\n"


async def _no_secrets(reference: str) -> Secret:
    raise VaultError(f"there is no {reference}")


async def _facts(environment: Mapping[str, str], options: Mapping[str, OptionValue] | None = None) -> Facts:
    definition = Host("local", "local", options=dict(options or {}))
    async with LocalHost.open(definition, resolve_secret=_no_secrets, environment=environment) as host:
        return await host.facts()


@pytest.mark.slow
async def test_they_are_what_a_shell_would_tell() -> None:
    """A backup's snapshot names the same host, and takes the same ways, whoever asked."""
    definition = Host("local", "local")
    async with LocalHost.open(definition, resolve_secret=_no_secrets, environment={}) as host:
        told = facts.parse("local", (await host.run(facts.COMMAND)).stdout)
        found = await host.facts()
    assert dataclasses.replace(found, load=None) == dataclasses.replace(told, load=None)
    assert found.load is not None


async def test_a_tool_is_asked_for_its_version_once_until_it_is_another_one(tmp_path: Path) -> None:
    """One that was upgraded under a worker's feet is seen at the next backup."""
    calls, tool = tmp_path / "calls", tmp_path / "find"
    tool.write_text(_TOOL.format(calls=calls, version="find (GNU findutils) 4.9.0"))
    tool.chmod(0o755)
    for _ in range(2):
        found = await _facts({"PATH": f"{tmp_path}:/usr/bin:/bin"})
        assert (found.tools["find"], found.has_gnu_find) == ("find (GNU findutils) 4.9.0", True)
    assert calls.read_text() == "called\n"
    tool.write_text(_TOOL.format(calls=calls, version="find of another kind"))
    found = await _facts({}, {"environment": (f"PATH={tmp_path}:/usr/bin:/bin",)})
    assert (found.tools["find"], found.has_gnu_find) == ("find of another kind", False)


async def test_a_search_path_without_tools_finds_none(tmp_path: Path) -> None:
    """Then plain file access serves."""
    found = await _facts({"PATH": str(tmp_path)})
    assert (found.tools, found.has_gnu_tar) == ({}, False)
    assert found.hostname
    assert found.user
