"""Alerts end to end: real jobs, a real mail server, a webhook and a switch; the command line; and that no address shows anywhere."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engine.cli.dispatch import dispatch
from engine.clock import SystemClock
from engine.errors import HoldfastError, HostUnreachableError
from engine.model.alerts import Condition, Destination, MaintenanceWindow, Occasion
from engine.model.requests import RestoreRequest
from engine.model.secret import Secret
from tests.fakes.clock import FakeClock
from tests.jobs.command_line import CommandLine, Ran
from tests.jobs.terminal import Terminal
from tests.jobs.world import World, open_world
from tests.servers.mail import PASSWORD, mail_server, webhook
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow
SECRETS = (PASSWORD, "path-of-token", "ping-of-token")


async def _tell(world: World, name: str, url: str, kind: str = "apprise", *occasions: Occasion) -> None:
    path = world.directory / f"{name}.url"
    path.write_text(url, encoding="ascii")
    path.chmod(0o600)
    await world.engine.add_destination(Destination(name, kind, f"file:{path}", occasions=occasions))


async def test_people_hear_of_a_failure_once_and_of_its_end(tmp_path: Path) -> None:
    """A restore that fails, a backup that fails, and that it is well again: by mail; alerts alone at the webhook."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"content")
    async with open_world(tmp_path / "world") as world, mail_server() as mail, webhook() as hook:
        engine = world.engine
        await world.add_storages("near")
        await world.add_files("tree", tree)
        await world.one_backup("tree")
        await engine.evaluate_alerts()
        await _tell(world, "mail", mail.url)
        await _tell(world, "switch", hook.ping_url, "ping", Occasion.ALERT, Occasion.HEARTBEAT)
        with pytest.raises(HoldfastError):
            await engine.restore(
                RestoreRequest("latest:tree", to=str(tmp_path / "to"), include=("/nowhere",))
            )
        tree.rename(tmp_path / "gone")
        with pytest.raises(HoldfastError):
            await world.one_backup("tree")
        found = await engine.evaluate_alerts()
        assert [(each.condition, each.subject, each.is_risk) for each in found.raised] == [
            (Condition.FAILED, "source tree", True)
        ]
        assert (await engine.flush_notices()).failed == []
        assert mail.titles == ["restore of tree failed", "backup of tree failed"]
        told = [body.splitlines()[0].partition(":")[0::2] for _, body in hook.posts]
        assert [(before, after[:23]) for before, after in told] == [
            ("source tree", " the last backup failed"),
            ("holdfast is alive", " 1 at risk"),
        ]
        assert (await engine.evaluate_alerts()).raised == []
        (tmp_path / "gone").rename(tree)
        await world.one_backup("tree")
        found = await engine.evaluate_alerts()
        assert [each.condition for each in found.recovered] == [Condition.FAILED]
        await engine.flush_notices()
        assert [each.partition(" after ")[0] for each in mail.titles[2:]] == ["source tree: over"]
        assert await engine.status()


async def test_a_storage_that_does_not_answer_is_an_alert_and_its_room_is_known(tmp_path: Path) -> None:
    """Looked at from time to time, also where nothing is backed up to it for days."""
    async with open_world(tmp_path / "world") as world:
        await world.add_storages("far")
        assert await world.engine.look_at_storages() == []
        assert (await world.engine.evaluate_alerts()).raised == []
        world.place("far").rename(tmp_path / "unplugged")
        assert await world.engine.look_at_storages() == ["far"]
        (alert,) = (await world.engine.evaluate_alerts()).raised
        assert (alert.condition, alert.subject) == (Condition.UNREACHABLE, "storage far")
        (tmp_path / "unplugged").rename(world.place("far"))
        await world.engine.look_at_storages()
        assert len((await world.engine.evaluate_alerts()).recovered) == 1


async def test_a_host_that_is_not_reached_is_one_alert_however_many_sources_wait(
    tmp_path: Path, sshd: Sshd
) -> None:
    """Found by the jobs, told with what to do, and over when it is reached again, by a look or by a job."""
    async with open_world(tmp_path / "world") as world:
        engine = world.engine
        await world.add_storages("near")
        host = await world.add_host(sshd)
        for name in ("one", "two"):
            await world.add_files(name, tmp_path / "world" / "password", host="server")
        await world.backup("one", "two")
        await engine.evaluate_alerts()
        await engine.edit_host("server", f"{sshd.user}@127.0.0.1:1", {})
        with pytest.raises(HostUnreachableError):
            await world.backup("one", "two")
        (alert,) = (await engine.evaluate_alerts()).raised
        assert (alert.condition, alert.subject) == (Condition.UNREACHABLE, "host server")
        assert "and 2 of its sources wait" in alert.reason
        job = await engine.show_job(alert.job_id)
        assert job.error in alert.reason
        risks = [each for each in (await engine.status()).concerns if each.is_risk]
        assert [(each.subject, each.covered_by) for each in risks] == [
            ("source one", "host server"),
            ("source two", "host server"),
            ("host server", ""),
        ]
        assert await engine.look_at_hosts() == ["server"]
        assert (await engine.evaluate_alerts()).raised == []
        await engine.edit_host("server", host.address, {})
        assert await engine.look_at_hosts() == []
        found = await engine.evaluate_alerts()
        assert [each.subject for each in found.recovered] == ["host server"]
        assert [(each.condition, each.subject) for each in found.raised] == [
            (Condition.FAILED, "source one"),
            (Condition.FAILED, "source two"),
        ]
        await engine.edit_host("server", f"{sshd.user}@127.0.0.1:1", {})
        with pytest.raises(HostUnreachableError):
            await engine.test_host("server")
        assert [each.subject for each in (await engine.evaluate_alerts()).raised] == ["host server"]
        await engine.edit_host("server", host.address, {})
        await world.backup("one", "two")
        assert [each for each in (await engine.evaluate_alerts()).standing if each.is_risk] == []


async def test_a_storage_that_does_not_answer_a_job_is_one_alert_however_many_sources_lack_a_copy(
    tmp_path: Path,
) -> None:
    """Told by its first job, and taken back by the first one that it answers."""
    async with open_world(tmp_path / "world") as world:
        engine = world.engine
        await world.add_storages("near", "far")
        await world.add_files("one", tmp_path / "world" / "password")
        await world.add_files("two", tmp_path / "world" / "password")
        both = ("near", "far")
        await world.backup("one", "two", to=both)
        await engine.evaluate_alerts()
        world.place("far").rename(tmp_path / "unplugged")
        await world.backup("one", "two", to=both)
        with pytest.raises(HoldfastError):
            await world.backup("one", "two", to=("far",))
        (alert,) = (await engine.evaluate_alerts()).raised
        assert (alert.condition, alert.subject) == (Condition.UNREACHABLE, "storage far")
        (tmp_path / "unplugged").rename(world.place("far"))
        await world.backup("one", "two", to=both)
        found = await engine.evaluate_alerts()
        assert ([each.subject for each in found.recovered], found.raised) == (["storage far"], [])


async def test_what_stands_in_a_maintenance_window_is_told_when_that_is_over(tmp_path: Path) -> None:
    """Held back, and seen to be; a window forgets nothing."""
    clock = FakeClock()
    async with open_world(tmp_path / "world", clock) as world:
        engine = world.engine
        await world.add_files("site", tmp_path)
        await _tell(world, "switch", "http://127.0.0.1:1/", "ping", Occasion.ALERT)
        begins = (clock.now() - datetime.timedelta(hours=1)).strftime("daily at %H:%M")
        await engine.add_window(MaintenanceWindow("patching", "host local*", begins, 7200.0, "new kernels"))
        (alert,) = (await engine.evaluate_alerts()).standing
        assert (alert.told_at, alert.silence_reason) == (None, "new kernels")
        status = await engine.status()
        assert [each.silence_id for each in status.silences] == ["patching"]
        assert (await engine.alerts()).alerts[0].silenced_until == alert.silenced_until
        clock.advance(3600)
        (alert,) = (await engine.evaluate_alerts()).standing
        assert (alert.told_at, alert.silenced_until) == (clock.now(), None)
        assert (await engine.status()).silences == []


async def test_what_is_called_again_and_again_does_each_thing_in_its_time(tmp_path: Path) -> None:
    """A worker calls it and need not know when what is due; a clock that was set back holds nothing up."""
    clock = FakeClock()
    async with open_world(tmp_path / "world", clock) as world, webhook() as hook:
        await _tell(world, "switch", hook.ping_url, "ping", Occasion.HEARTBEAT)
        async with asyncio.TaskGroup() as group:
            tending = group.create_task(world.engine.keep_tending())
            await hook.wait_posts(1)
            tending.cancel()
        await world.engine.flush_notices()
        hook.posts.clear()
        for seconds, count in ((60, 0), (239, 0), (1, 1), (300, 2)):
            clock.advance(seconds)
            await world.engine.tend_alerts()
            assert len(hook.posts) == count
        clock.jump(-86_400)
        assert (await world.engine.tend_alerts()).sent == 1


async def test_no_address_is_in_a_command_line_an_environment_a_file_or_an_error(tmp_path: Path) -> None:
    """While a message is under way, and afterwards in all that the home keeps in plain bytes."""
    async with open_world(tmp_path / "world") as world, webhook() as hook:
        await world.engine.set_secret("address", Secret(hook.url))
        await world.engine.add_destination(Destination("hook", "apprise", "vault:address"))
        hook.is_hanging = True
        async with asyncio.TaskGroup() as group:
            testing = group.create_task(world.engine.test_destination("hook"))
            await hook.asked.wait()
            shown = [
                f"{each.cmdline()} {each.environ()}" for each in psutil.Process().children(recursive=True)
            ]
            testing.cancel()
        assert shown
        shown.append(repr(await world.engine.destinations()))
        kept = [path.read_bytes() for path in (tmp_path / "world" / "home").rglob("*") if path.is_file()]
        assert [each for each in SECRETS if any(each in text for text in shown)] == []
        assert [each for each in SECRETS if any(each.encode() in data for data in kept)] == []


async def test_a_worker_tells_what_a_job_at_the_terminal_left_to_tell(tmp_path: Path) -> None:
    """The person who waits for the job waits for no mail server; and somebody else hears that it failed."""
    line = CommandLine(tmp_path)
    async with webhook() as hook:
        secret = hook.url.encode()
        await asyncio.to_thread(line.set_up)
        await asyncio.to_thread(lambda: line.done("notify", "add", "hook", "--url", "-", given=secret))
        assert [*line.home.glob("logs/worker.out")] == []  # nothing is to be told, so no worker was started
        line.data.rename(tmp_path / "gone")
        ran = await asyncio.to_thread(line.run, "backup", "data")
        assert ran.code == 1
        await hook.wait_posts(1)
        assert "backup of data failed" in hook.posts[0][1]
        await asyncio.to_thread(_end_worker, line)


def _end_worker(line: CommandLine) -> None:
    """It would stay for some seconds."""
    for each in psutil.process_iter(["cmdline"]):
        words = each.info["cmdline"] or ()
        if str(line.home) in words and "worker" in words:
            each.terminate()
            each.wait(60)


@pytest.fixture
def holdfast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """The command line in this process, on a home of its own."""
    monkeypatch.setenv("HOLDFAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ADDRESS", f"json://user:{PASSWORD}@127.0.0.1:1/path-of-token")

    def run(*words: str) -> Ran:
        code = dispatch(words)
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return run


def test_a_narrow_terminal_shows_why_an_alert_stands(tmp_path: Path) -> None:
    """What its condition is called is left out before the reason is."""
    line = CommandLine(tmp_path)
    line.done("source", "add", "data", "--kind", "files", "--path", str(tmp_path))
    line.done("alerts", "evaluate")
    shown = Terminal(line, "alerts", "list", NO_COLOR="1")
    assert shown.end() == 0
    assert b"source data  at risk  it was never backed up\r\n" in shown.shown


def test_where_people_are_told_at_the_command_line(holdfast: Callable[..., Ran]) -> None:
    """What is shown of an address is its scheme and host; what was not taken is exit code 1; a mistake is named."""
    added = holdfast(
        "notify", "add", "ops", "--url", "env:ADDRESS", "--digest", "08:00", "--only", "source d*", "--json"
    )
    assert (added.result["shown"], added.result["url"]) == ("json://127.0.0.1", "env:ADDRESS")
    failing = holdfast("notify", "test", "ops")
    assert (failing.code, "was not taken" in failing.err) == (1, True)
    listed = holdfast("notify", "list")
    assert "json://127.0.0.1" in listed.out
    assert [each for each in SECRETS if each in f"{added}{failing}{listed}"] == []
    assert holdfast("notify", "add", "ops", "--url", "env:ADDRESS", "--only", "sauce d").code == 2
    assert holdfast("notify", "add", "two", "--url", "env:ADDRESS", "--digest", "25:00").code == 2
    assert "did you mean ops?" in holdfast("notify", "test", "opps").err
    edited = holdfast(
        "notify", "edit", "ops", "--on", "alert", "--unset", "digest", "--disable", "--json"
    ).result
    assert (edited["shown"], edited["only"], edited["enabled"]) == (
        "json://127.0.0.1",
        ["source d*"],
        False,
    )
    assert (edited["occasions"], edited["digest_at"]) == (["alert"], "")
    assert "alert, of source d*, not for now" in holdfast("notify", "list").out
    assert "nothing was said" in holdfast("notify", "edit", "ops", "--disable").err
    holdfast("source", "add", "data", "--kind", "files", "--path", "/srv")
    nightly = ("schedule", "add", "nightly", "--cron", "daily at 02:00", "--source", "data", "--notify")
    assert "did you mean ops?" in holdfast(*nightly, "opps").err
    assert holdfast(*nightly, "ops", "--json").result["notify"] == ["ops"]
    exported = holdfast("config", "export").out
    assert '[schedules.nightly]\nrhythm = "daily at 02:00"\nsources = ["data"]\nnotify = ["ops"]' in exported
    assert "--unset notify" in holdfast("notify", "remove", "ops", "--yes").err
    assert "notify " not in holdfast("schedule", "edit", "nightly", "--unset", "notify").out
    assert holdfast("notify", "edit", "ops", "--named-only").out.endswith(
        "for schedules that name it, not for now\n"
    )
    assert holdfast("notify", "edit", "ops", "--url", "command:echo nothing").code == 2
    assert "no option 'url' to unset" in holdfast("notify", "edit", "ops", "--unset", "url").err
    assert holdfast("notify", "flush", "--json").result == {
        "type": "result", "schema_version": 1, "sent": 0, "failed": [], "waiting": 0,
    }  # fmt: skip
    assert holdfast("notify", "remove", "ops", "--yes").code == 0
    assert holdfast("notify", "list", "--json").result["items"] == []


def test_an_alert_is_silenced_and_acknowledged_at_the_command_line(
    holdfast: Callable[..., Ran], tmp_path: Path
) -> None:
    """With a reason, an end and a name, which status shows; it is a risk all the same."""
    holdfast("source", "add", "data", "--kind", "files", "--path", str(tmp_path))
    (alert,) = holdfast("alerts", "evaluate", "--json").result["raised"]
    assert (alert["condition"], alert["subject"]) == ("overdue", "source data")
    silence = ("alerts", "silence", "source d*", "--until", "2h", "--reason")
    assert holdfast(*silence, " ").code == 2
    assert "did you mean overdue?" in holdfast(*silence, "x", "--condition", "overdeu").err
    assert holdfast("alerts", "silence", "sauce", "--until", "2h", "--reason", "x").code == 2
    unknown = holdfast("alerts", "silence", "source nobody", "--until", "2h", "--reason", "x")
    assert (unknown.code, "there is no source named nobody" in unknown.err) == (2, True)
    assert holdfast(*silence, "x", "--from", "in 3h").code == 2
    made = holdfast(*silence, "new disks", "--json").result
    assert "silenced until" in holdfast("status").out
    assert "new disks" in holdfast("alerts", "list").out
    assert holdfast("alerts", "unsilence", made["silence_id"][:8]).code == 0
    assert "no silence" in holdfast("alerts", "unsilence", made["silence_id"][:8]).err
    every = ("alerts", "silence", "source d*", "--reason", "new kernels", "--timezone", "UTC", "--every")
    assert "needs --for" in holdfast(*every, "hourly").err
    begun = f"{SystemClock().now() - datetime.timedelta(hours=2):%H:00}"
    window = (*every, f"daily at {begun}", "--name", "patching", "--for")
    assert "before it is over" in holdfast(*window, "24h").err
    assert holdfast(*window, "23h", "--json").result["duration_s"] == 82_800
    assert holdfast(*window, "23h").code == 2
    assert "nobody is told of source d* until" in (status := holdfast("status").out)
    assert ": new kernels" in status.partition("silenced until")[2]
    listed = holdfast("alerts", "list").out
    assert [word in listed for word in ("silenced until", "patching", f"daily at {begun}, UTC", "now")] == [
        True
    ] * 4
    assert '[windows.patching]\nsubject = "source d*"' in holdfast("config", "export").out
    assert holdfast("alerts", "unsilence", "patching").code == 0
    assert "patching" not in holdfast("alerts", "list").out
    acknowledged = holdfast("alerts", "acknowledge", alert["alert_id"][:6], "--note", "on it", "--json")
    assert acknowledged.result["note"] == "on it"
    shown = holdfast("status")
    assert (shown.code, ": on it" in shown.out) == (4, True)
    assert holdfast("alerts", "acknowledge", "9zzz").code == 2
    assert holdfast("alerts", "list", "--all", "--json").result["items"][0]["acknowledged_by"]
