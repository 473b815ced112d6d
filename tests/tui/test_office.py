"""Alerts, who is told, reports, the audit log, the guard, and the fleet in a file: what no tab is for."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pypdf
import pytest

from engine.catalog.notices import NewNotice
from engine.model.alerts import Destination, Message, Occasion, Tone
from engine.model.secret import Secret
from tests.jobs.world import World
from tests.tui.seat import Seat, do, open_console


@pytest.fixture
async def seat(world: World, tmp_path: Path) -> AsyncIterator[Seat]:
    """A source that was never backed up, for long enough to be an alert."""
    (tmp_path / "tree").mkdir()
    await world.add_storages("main")
    await world.add_files("tree", tmp_path / "tree")
    async with open_console(world.engine) as opened:
        await opened.sees("tree")
        yield opened


async def _answer(seat: Seat, question: str, text: str) -> None:
    """Answers a line that is asked for, whatever stands there."""
    await seat.sees(question)
    await seat.press("ctrl+u", "ctrl+k")
    await seat.type(text)
    await seat.press("enter")


async def test_an_alert_is_seen_to_silenced_and_told_again(seat: Seat, world: World) -> None:
    """What stands is one key away, with what mends it."""
    await seat.press("ctrl+e", "E")
    await seat.sees("source tree", "overdue", "! at risk", "holdfast backup tree")
    await seat.press("a")
    await _answer(seat, "note", "new machine")
    await seat.sees("sees to it: new machine")
    await seat.press("s")
    await _answer(seat, "until", "2h")
    await _answer(seat, "why", "moving")
    await seat.sees("silence until")
    (alert,) = [each for each in (await world.engine.alerts()).alerts if each.subject == "source tree"]
    assert (alert.note, alert.silence_reason) == ("new machine", "moving")
    await seat.press("G", "u")
    await seat.sees("people are told of source tree again")
    assert (await world.engine.alerts()).silences == []
    await world.one_backup("tree")
    await seat.press("E")
    await seat.misses("overdue")
    await seat.press("p")
    await seat.sees("overdue", "over since")
    await seat.press("escape")
    await seat.misses("backups > alerts")


@pytest.fixture
def hook() -> Iterator[tuple[str, list[bytes]]]:
    """A web hook of this machine, and what came there."""
    heard: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002 -- its own name
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}/", heard
    server.shutdown()
    thread.join()
    server.server_close()


async def test_who_is_told_is_tried_and_forgotten(world: World, hook: tuple[str, list[bytes]]) -> None:
    """A message arrives before it matters."""
    address, heard = hook
    await world.engine.add_destination(
        Destination("ops", "apprise", "vault:notify.ops"), address=Secret(address)
    )
    async with open_console(world.engine) as seat:
        await do(seat, "who is told")
        await seat.sees("ops", "json://127.0.0.1")
        await seat.press("T")
        await seat.sees("ops took the message")
        assert b"holdfast: a test" in heard[0]
        waiting = Message(Occasion.ALERT, Tone.FAILURE, "the disk is full", "", {})
        await world.engine._parts.catalog.notices.add([NewNotice("alert:1:raised", waiting)])
        await seat.press("f")
        await seat.sees("1 sent, 0 waiting")
        assert b"the disk is full" in heard[1]
        await seat.press("X")
        await seat.sees("TELL NOBODY AT ops")
        await seat.type_name("ops")
        await seat.sees("nobody is told at ops any more")
    assert await world.engine.destinations() == []


async def test_a_report_is_written_as_its_file_is_called(
    seat: Seat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a name that says nothing is refused before anything is read."""
    monkeypatch.chdir(tmp_path)
    for name, wanted in (("r.pdf", "tree"), ("r.json", "tree")):
        await do(seat, "report on compliance")
        await _answer(seat, "report from", "30d ago")
        await _answer(seat, "up to", "now")
        await _answer(seat, "into the file", name)
        await seat.sees(f"written to {name}")
        text = (
            "".join(page.extract_text() for page in pypdf.PdfReader(tmp_path / name).pages)
            if name.endswith("pdf")
            else json.dumps(json.loads((tmp_path / name).read_bytes()))
        )
        assert wanted in text
    await do(seat, "report on compliance")
    await _answer(seat, "report from", "30d ago")
    await _answer(seat, "up to", "now")
    await _answer(seat, "into the file", "report")
    await seat.sees("ends with none of")


async def test_pages_that_look_back_and_within(seat: Seat) -> None:
    """The audit log says whether it is whole; a bug report's facts and the workers are there to read."""
    for title, seen in (
        ("the audit log", "the audit log is whole"),
        ("what a bug report", "asyncssh:"),
        ("the workers that", "no worker lives"),
    ):
        await do(seat, title)
        await seat.sees(seen)
        await seat.press("escape")
        await seat.misses(seen)


async def test_a_guard_is_set_passed_by_a_code_and_taken_away(seat: Seat, world: World) -> None:
    """Two that differ set nothing; the code is shown this once."""
    await do(seat, "the guard: whether")
    await seat.sees("there is no guard")
    await do(seat, "set the passphrase")
    for each in ("long enough", "not the same"):
        await seat.type(each)
        await seat.press("enter")
    await seat.sees("the two are not the same")
    await seat.press("escape")
    await do(seat, "set the passphrase")
    for _ in range(2):
        await seat.type("long enough")
        await seat.press("enter")
    await seat.sees("is asked for before")
    assert (await world.engine.guard()).is_set
    await do(seat, "make a code")
    await _answer(seat, "it holds until", "2h")
    await seat.sees("The present guard")
    await seat.type("long enough")
    await seat.press("enter")
    await seat.sees("shown this once")
    await seat.press("escape")
    assert (await world.engine.guard()).codes == 1
    await do(seat, "take the guard away")
    await seat.sees("Take the guard away?")
    await seat.answer("y")
    await seat.sees("The present guard")
    await seat.type("long enough")
    await seat.press("enter")
    await seat.sees("there is no guard any more")
    assert not (await world.engine.guard()).is_set


async def test_the_fleet_goes_into_a_file_and_comes_back_after_its_difference_was_seen(
    seat: Seat, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is applied unseen, and what the file leaves out stays."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "fleet.toml"
    await do(seat, "write all that is defined")
    await _answer(seat, "export into", "fleet.toml")
    await seat.sees("all that is defined is in")
    await do(seat, "define what a file says")
    await _answer(seat, "apply the file", "fleet.toml")
    await seat.sees("nothing new in")
    file.write_text(file.read_text().replace("[sources.tree]", "[sources.tree]\ncompression = 'no such'"))
    await do(seat, "define what a file says")
    await _answer(seat, "apply the file", "fleet.toml")
    await seat.sees("That did not work", "line")
    await seat.press("escape")
    added = '\n[hosts.web]\naddress = "backup@web.example.org"\n'
    file.write_text(file.read_text().replace("compression = 'no such'\n", "") + added)
    await do(seat, "define what a file says")
    await _answer(seat, "apply the file", "fleet.toml")
    await seat.sees("+ host web")
    await seat.answer("y")
    await seat.sees("1 changes made")
    assert "web" in [each.name for each in await world.engine.hosts()]
