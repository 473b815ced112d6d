"""Alerts end to end: real jobs, a real mail server, a webhook and a switch; the command line; and that no address shows anywhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from engine.errors import HoldfastError
from engine.model.alerts import Condition, Destination, Occasion
from engine.model.requests import RestoreRequest
from engine.model.secret import Secret
from tests.jobs.command_line import CommandLine
from tests.jobs.world import World, open_world
from tests.servers.mail import PASSWORD, mail_server, webhook

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
        await _tell(world, "hook", hook.url, "apprise", Occasion.ALERT)
        await _tell(world, "switch", hook.ping_url, "ping", Occasion.HEARTBEAT)
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
        (alert,) = [body for path, body in hook.posts if path == "/path-of-token"]
        assert "source tree: the last backup failed" in alert
        assert [body for path, body in hook.posts if path == "/ping-of-token"] == [
            "holdfast is alive: 1 at risk\n"
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
        await world.add_storages("near", "far")
        assert await world.engine.look_at_storages() == []
        assert (await world.engine.evaluate_alerts()).raised == []
        world.place("far").rename(tmp_path / "unplugged")
        assert await world.engine.look_at_storages() == ["far"]
        (alert,) = (await world.engine.evaluate_alerts()).raised
        assert (alert.condition, alert.subject) == (Condition.UNREACHABLE, "storage far")
        (tmp_path / "unplugged").rename(world.place("far"))
        await world.engine.look_at_storages()
        assert len((await world.engine.evaluate_alerts()).recovered) == 1


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
        hook.is_hanging, hook.status = False, 500
        with pytest.raises(HoldfastError) as caught:
            await world.engine.test_destination("hook")
        shown += [str(caught.value), repr(await world.engine.destinations())]
        kept = [path.read_bytes() for path in (tmp_path / "world" / "home").rglob("*") if path.is_file()]
        assert [each for each in SECRETS if any(each in text for text in shown)] == []
        assert [each for each in SECRETS if any(each.encode() in data for data in kept)] == []


def test_alerts_and_destinations_at_the_command_line(tmp_path: Path) -> None:
    """From the definition to the silence; what is shown of an address is its scheme and host; a mistake is named."""
    line = CommandLine(tmp_path)
    line.set_up()
    url = f"json://user:{PASSWORD}@127.0.0.1:1/path-of-token".encode()
    added = line.run("notify", "add", "ops", "--digest", "08:00", "--only", "source d*", "--json", given=url)
    assert added.code == 0
    assert (added.result["shown"], added.result["url"]) == ("json://127.0.0.1", "vault:notify.ops")
    failing = line.run("notify", "test", "ops")
    assert failing.code == 1
    assert "was not taken" in failing.err
    listed = line.run("notify", "list")
    assert "json://127.0.0.1" in listed.out
    assert [each for each in SECRETS if each in f"{added}{failing}{listed}"] == []

    raised = line.json("alerts", "evaluate", "--look")
    (alert,) = raised["raised"]
    assert (alert["condition"], alert["subject"]) == ("overdue", "source data")
    assert line.run("alerts", "silence", "source data", "--until", "2h", "--reason", " ").code == 2
    assert (
        "did you mean overdue?"
        in line.run(
            "alerts", "silence", "source data", "--until", "2h", "--reason", "x", "--condition", "overdeu"
        ).err
    )
    made = line.json("alerts", "silence", "source data", "--until", "2h", "--reason", "new disks")
    assert "silenced until" in line.run("status").out
    assert "new disks" in line.done("alerts", "list").out
    line.done("alerts", "unsilence", made["silence_id"])
    acknowledged = line.json("alerts", "acknowledge", alert["alert_id"][:6], "--note", "on it")
    assert acknowledged["note"] == "on it"
    shown = line.run("status")
    assert shown.code == 4
    assert ": on it" in shown.out
    assert line.run("alerts", "acknowledge", "9zzz").code == 2
    line.done("notify", "remove", "ops", "--yes")
    assert line.json("vault", "list")["items"] == []
