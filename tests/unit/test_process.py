"""A holder is called dead only where that is certain."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from engine.process import Liveness, ProcessIdentity


def _identity_of(pid: int) -> ProcessIdentity:
    source = (
        "import sys; from engine.process import ProcessIdentity; print(ProcessIdentity.current(), flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source + "; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        identity = ProcessIdentity.parse(child.stdout.readline().strip())
        assert identity is not None
        assert identity.liveness() is Liveness.ALIVE
        assert child.pid == identity.pid != pid
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert identity.liveness() is Liveness.DEAD, "a zombie runs nothing any more"
    return identity


def test_this_process_lives() -> None:
    """Nobody may take what we still hold."""
    assert ProcessIdentity.current().liveness() is Liveness.ALIVE


def test_a_killed_process_is_proved_dead() -> None:
    """What a killed process held is freed at once, not after half an hour."""
    assert _identity_of(os.getpid()).liveness() is Liveness.DEAD


def test_a_process_id_used_again_is_not_the_holder() -> None:
    """Process ids come round: the one that has ours now holds nothing of ours."""
    ours = ProcessIdentity.current()
    assert dataclasses.replace(ours, started=ours.started - 1).liveness() is Liveness.DEAD


@pytest.mark.parametrize(
    ("host", "boot"), [("elsewhere", None), (None, "another+1"), (None, "")], ids=["host", "start", "untold"]
)
def test_of_another_machine_nothing_is_said(host: str | None, boot: str | None) -> None:
    """A live holder that is called dead means two writers at once."""
    ours = ProcessIdentity.current()
    other = ProcessIdentity(
        ours.host if host is None else host, ours.boot if boot is None else boot, ours.pid, 1
    )
    assert other.liveness() is Liveness.UNKNOWN


def test_an_identity_is_read_back_from_its_text() -> None:
    """Leases keep it as text."""
    identity = ProcessIdentity("fe80::1", "b-1+2", 7, 8)
    assert ProcessIdentity.parse(str(identity)) == identity


@pytest.mark.parametrize("text", ["", "host", "a:b:c:d", "a:b:1", "1:2"])
def test_a_text_that_names_no_process_is_none(text: str) -> None:
    """A lease written by something else says nothing of its holder."""
    assert ProcessIdentity.parse(text) is None
