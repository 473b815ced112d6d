"""What all tests share: the real servers' fixtures, and the rule that CI skips nothing."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator

import hypothesis
import pytest

from tests.servers.tools import is_ci

pytest_plugins = [
    "tests.servers.azurite",
    "tests.servers.borg",
    "tests.servers.ceph",
    "tests.servers.cloud_fakes",
    "tests.servers.mariadb",
    "tests.servers.postgres",
    "tests.servers.rclone",
    "tests.servers.redis",
    "tests.servers.restic",
    "tests.servers.sshd",
    "tests.servers.sftp",
    "tests.servers.vsftpd",
    "tests.servers.swift",
    "tests.servers.wsgidav",
]

# looptime asks for the loop before a test that has none; Python 3.11 would then make one that nobody closes.
asyncio.set_event_loop(None)

# `restic unlock` sends SIGHUP to the process of every lock that bears this machine's name, and a process id comes again: not our end.
# A handler and not SIG_IGN, which the programs that tests start would inherit.
signal.signal(signal.SIGHUP, lambda _signal, _frame: None)

# What runs in a shell's background ignores SIGINT, and so would the programs whose answer to it is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine is slow at times, and a deadline would then fail a property that holds.
hypothesis.settings.register_profile(
    "holdfast", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("holdfast")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skip is a failure: what was not run was not proved."""
    report = yield
    # Between test processes only text travels that can be encoded; a log line about an odd file name cannot.
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    if report.skipped and is_ci() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI lets nothing be skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that is skipped while it is collected."""
    report = yield
    if report.skipped and is_ci():
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} was skipped, and CI lets nothing be skipped: {report.longrepr}"
    return report
