"""Hosts, sources and storages, defined and changed by forms."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual import events

from engine.model.definitions import Source, retired_reason
from engine.model.secret import Secret
from tests.jobs.world import World
from tests.servers.postgres import Postgres
from tests.servers.sshd import Sshd
from tests.tui.seat import Seat, open_console
from tui.dialogs import base, form
from tui.dialogs.fields import Choice, FieldInput
from tui.panes.hosts import HostsView

pytestmark = pytest.mark.slow
SECRET = "hunter-2-and-a-half"


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test waits until it sees something, and for no person."""
    monkeypatch.setattr(base, "DEAF_S", 0.0)
    monkeypatch.setattr(form, "PATIENCE_S", 0.02)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose name fits on the screen."""
    with tempfile.TemporaryDirectory(prefix="hf", dir="/tmp") as made:
        yield Path(made)


async def put(seat: Seat, field: str, text: str) -> None:
    """Fills a field at once."""
    found = seat.app.screen.query_one(f"#field-{field}", FieldInput)
    found.focus()
    found.value = text
    await seat.pilot.pause()


async def choose(seat: Seat, field: str, value: str) -> None:
    """Chooses in a field at once."""
    seat.app.screen.query_one(f"#field-{field}", Choice).value = value
    await seat.pilot.pause()


async def show_all(seat: Seat) -> None:
    """Every option that there is."""
    seat.app.screen.query_one("#field-more", Choice).value = "yes"
    await seat.pilot.pause()


async def paste(seat: Seat, field: str, text: str) -> str:
    """Pastes into a field; gives what it holds then."""
    found = seat.app.screen.query_one(f"#field-{field}", FieldInput)
    found.focus()
    await seat.pilot.pause()
    found.post_message(events.Paste(text))
    await seat.pilot.pause()
    return found.value


async def open_new(seat: Seat, what: str) -> None:
    """The form of a new source, by the menu of the first tab."""
    await seat.press("n")
    await seat.sees("What is new?")
    await seat.press(*(["down"] * {"source": 0, "found": 1, "host": 2}[what]), "enter")


async def logged(world: World) -> str:
    """All that was written down anywhere below the home but for the sealed rows."""
    texts = [
        each.read_text(errors="replace")
        for each in (world.directory / "home" / "logs").rglob("*")
        if each.is_file()
    ]
    texts.append(json.dumps([str(each) for each in await world.engine.jobs()]))
    return "\n".join(texts)


async def test_a_host_is_tried_accepted_and_kept(world: World, sshd: Sshd) -> None:
    """Address, key, name: and the line that a script would need."""
    async with open_console(world.engine) as seat:
        await seat.app.main.pane.push(HostsView())
        await seat.press("n")
        await seat.sees("New host")
        await put(seat, "identity", str(sshd.encrypted_key))
        await show_all(seat)
        await put(seat, "ssh_config", "none")
        await put(seat, "passphrase", sshd.passphrase)
        await put(seat, "address", f"{sshd.user}@{sshd.address}:{sshd.port}")
        await seat.sees("answers; ctrl+s", "host-127-0-0-1, free", "--passphrase -")
        assert sshd.passphrase not in seat.text
        await put(seat, "name", "localhost")
        await seat.sees("there is a host named localhost already")
        await put(seat, "name", "web")
        await put(seat, "environment", "staging LANG=C")
        await seat.press("ctrl+s")
        await seat.sees("Trust this key from now on?", sshd.fingerprint())
        await seat.press("n")
        await seat.sees("New host")
        assert [each.name for each in await world.engine.hosts()] == ["localhost"]
        assert await world.engine.secrets() == []
        await seat.press("ctrl+s")
        await seat.sees("Trust this key")
        await seat.press("y")
        await seat.sees("host web is defined", "> web")
        host = await world.engine.show_host("web")
        assert host.options["passphrase"] == "vault:host.web"
        assert host.options["stage"] == "staging"
        await seat.press("e")
        await seat.sees("Edit host web", "ssh ok", "staging LANG=C")
        await put(seat, "environment", "LANG=C")
        await seat.sees("holdfast host edit web --environment LANG=C")
        await seat.press("ctrl+s")
        await seat.sees("host web is changed")
    changed = await world.engine.show_host("web")
    assert "stage" not in changed.options
    assert changed.options["host_key"] == host.options["host_key"]
    assert sshd.passphrase not in await logged(world)


async def test_a_source_of_pasted_paths_is_tested_and_kept(world: World, place: Path) -> None:
    """Terminals give what is dropped into them in three ways."""
    await world.add_storages("main")
    for name in ("one", "two of it", "three"):
        (place / name).mkdir()
    async with open_console(world.engine) as seat:
        await open_new(seat, "source")
        await seat.sees("New source", "kind")
        await paste(
            seat,
            "path",
            f"'{place}/one'\n{place}/two of it\nfile://{place}/two%20of%20it/../three\n",
        )
        await seat.sees("3 paths")
        await put(seat, "name", "1st")
        await seat.press("ctrl+s")
        await seat.sees("'1st' cannot be the name of a source")
        assert await world.engine.sources() == []
        await put(seat, "name", "site")
        await seat.sees("holdfast source add site --kind files --path")
        await seat.press("ctrl+s")
        await seat.sees("source site is defined")
    source = await world.engine.show_source("site")
    assert source.options["path"] == [
        f"{place}/{each}" for each in ("one", "two of it", "two of it/../three")
    ]


async def test_what_does_not_exist_is_told_beside_its_field(world: World, place: Path) -> None:
    """Before it is kept, and not tonight."""
    await world.add_storages("main")
    async with open_console(world.engine) as seat:
        await open_new(seat, "source")
        await put(seat, "path", str(place / "none"))
        await seat.sees("is not there")
        await put(seat, "path", "'half a quote")
        await seat.sees("cannot be read")
        await seat.press("escape", "escape")
        await seat.misses("New source")
    assert await world.engine.sources() == []


async def test_a_password_is_sealed_and_seen_nowhere(world: World) -> None:
    """It is needed for each backup, and by nobody who looks over a shoulder."""
    await world.engine.add_source(Source("cache", "redis", options={"port": 1, "db_host": "127.0.0.1"}))
    async with open_console(world.engine) as seat:
        await seat.sees("cache")
        await seat.press("e")
        await seat.sees("Edit source cache")
        await put(seat, "secret", SECRET)
        await seat.sees("--secret -", 'secret = "vault:source.cache"', "is sealed in the vault")
        assert SECRET not in seat.text
        await seat.press("ctrl+s")
        await seat.sees("source cache is changed")
        assert await world.engine.secret_users() == {"source.cache": ["source cache"]}
        await seat.press("e")
        await seat.sees("vault:source.cache")
        await put(seat, "secret", "")
        await seat.sees("holdfast source edit cache --unset secret")
        await seat.press("ctrl+s")
        await seat.misses("Edit source")
    assert "secret" not in (await world.engine.show_source("cache")).options
    assert SECRET not in await logged(world)


async def test_a_storage_is_made_and_its_password_shown_once(world: World, place: Path) -> None:
    """With the kit that a restore without this machine needs."""
    (place / "file").write_text("")
    async with open_console(world.engine) as seat:
        await seat.press("4", "n")
        await seat.sees("New storage")
        await put(seat, "path", str(place / "file" / "x"))
        await seat.sees("is no folder")
        assert await world.engine.storages() == []
        await put(seat, "path", str(place / "near"))
        await seat.sees("writable", "free", "holdfast storage add main --kind local")
        await seat.press("ctrl+s")
        await seat.sees("shown this once", "restic")
        await seat.press("escape")
        await seat.sees("storage main is defined", "> main")
        (storage,) = await world.engine.storages()
        assert (storage.name, storage.is_default, storage.password) == ("main", True, "vault:storage.main")
        assert (place / "near" / "config").exists()
        await seat.press("e")
        await seat.sees("Edit storage main", "writable")
        await show_all(seat)
        await put(seat, "connections", "none")
        await seat.press("ctrl+s")
        await seat.sees("--connections: 'none' is no whole number")
        await put(seat, "connections", "3")
        await seat.sees("holdfast storage edit main --connections 3")
        await seat.press("ctrl+s")
        await seat.sees("storage main is changed")
    assert (await world.engine.show_storage("main")).options["connections"] == 3


async def test_a_paste_of_megabytes_stays_bounded(world: World) -> None:
    """Somebody drops a log file onto a field."""
    await world.add_storages("main")
    async with open_console(world.engine) as seat:
        await open_new(seat, "source")
        held = await paste(seat, "path", "/a/b\n" * 500_000)
        assert held.split() == ["/a/b"] * 100
        await seat.sees("only the first 100 lines were taken")
        held = await paste(seat, "name", "x" * 1_000_000 + "\nsecond")
        assert held == "x" * 65_536


async def test_a_key_file_is_picked_from_a_list(world: World, place: Path) -> None:
    """Paths are long, and lists are short."""
    (place / "keys").mkdir(parents=True)
    (place / "keys" / "id_ed25519").write_text("")
    async with open_console(world.engine) as seat:
        await seat.app.main.pane.push(HostsView())
        await seat.press("n")
        await seat.sees("New host")
        await show_all(seat)
        await put(seat, "ssh_config", str(place / "k"))
        await seat.press("ctrl+o")
        await seat.sees("Pick a path", "keys/")
        await seat.press("end", "enter")
        await seat.sees("id_ed25519")
        await seat.press("end", "enter")
        await seat.misses("Pick a path")
        field = seat.app.screen.query_one("#field-ssh_config", FieldInput)
        assert field.value == str(place / "keys" / "id_ed25519")
        await put(seat, "ssh_config", str(place / "ke"))
        while not field._suggestion:
            await seat.pilot.pause()
        await seat.press("end", "tab")
        assert field.value == f"{place}/keys/"


async def test_the_vault_shows_names_and_what_needs_them(world: World) -> None:
    """A secret that nothing names can go."""
    await world.engine.set_secret("old", Secret(SECRET))
    async with open_console(world.engine) as seat:
        await seat.press("colon")
        await seat.sees("Commands")
        await seat.type("vault")
        await seat.press("enter")
        await seat.sees("> vault", "old")
        await seat.press("n")
        await seat.type("fresh")
        await seat.press("enter")
        await seat.sees("Secret fresh")
        await seat.type("s3cret")
        assert "s3cret" not in seat.text
        await seat.press("enter")
        await seat.sees("secret fresh is sealed")
        await seat.press("home")
        await seat.sees("> fresh")
        await seat.press("e")
        await seat.sees("Another secret in place of fresh")
        await seat.type("b3tter")
        await seat.press("enter")
        await seat.misses("Another secret")
        old_key = world.engine.home.vault_key.read_bytes()
        await seat.press("R")
        await seat.sees("under a fresh key?")
        await seat.press("y")
        await seat.sees("secrets sealed under a fresh key")
        assert world.engine.home.vault_key.read_bytes() != old_key
        await seat.press("end", "X")
        await seat.sees("FORGET SECRET old", "Nothing that is defined names it")
        await seat.type("old")
        await seat.press("enter")
        await seat.sees("secret old is forgotten")
    assert [name for name, _ in await world.engine.secrets()] == ["fresh"]
    assert (await world.engine._parts.vault.get("fresh")).reveal() == b"b3tter"


async def test_hosts_are_tested_retired_and_forgotten(world: World, sshd: Sshd, tmp_path: Path) -> None:
    """Everything about a machine, in one place."""
    await world.add_host(sshd)
    await world.add_files("site", tmp_path, host="server")
    async with open_console(world.engine) as seat:
        await seat.press("H")
        await seat.sees("> hosts", "server")
        await seat.press("e")
        await seat.sees("this machine: it is there by itself")
        await seat.press("end", "t")
        await seat.sees("connected as")
        await seat.press("escape")
        await seat.press("p")
        await seat.sees("Least privilege of server")
        await seat.press("escape", "r")
        await seat.sees("out of use?")
        await seat.type("sold")
        await seat.press("enter")
        await seat.sees("server is retired", "retired    sold")
        assert retired_reason(await world.engine.show_host("server")) == "sold"
        await seat.press("r")
        await seat.sees("in use again")
        assert retired_reason(await world.engine.show_host("server")) == ""
        await seat.press("X")
        await seat.sees("FORGET HOST server", "site")
        await seat.type("server")
        await seat.press("enter")
        await seat.sees("That did not work")
        await seat.press("escape")
        await world.engine.remove_source("site")
        await seat.press("X")
        await seat.sees("FORGET HOST server")
        await seat.type("server")
        await seat.press("enter")
        await seat.sees("host server is forgotten")
    assert [each.name for each in await world.engine.hosts()] == ["localhost"]


async def test_the_databases_of_a_real_server_are_offered(world: World, postgres: Postgres) -> None:
    """Nobody knows all their names."""
    name = f"wizard_{os.getpid()}"
    postgres.psql(f"CREATE DATABASE {name}")
    await world.add_storages("main")
    options = postgres.options()
    async with open_console(world.engine) as seat:
        await open_new(seat, "source")
        await seat.sees("New source")
        seat.app.screen.query_one("#field-kind").focus()
        await seat.press("p")
        await seat.sees("pg_dump 1", "postgres, free")
        for option in ("socket", "port", "user", "as_user"):
            if option in options:
                await put(seat, option, str(options[option]))
        await put(seat, "database", "nowhere")
        await seat.sees("has no database 'nowhere'")
        await seat.press("ctrl+o")
        await seat.sees("space mark")
        await seat.press("slash")
        await seat.type(name)
        await seat.press("enter", "enter")
        await seat.sees(f"--database {name}", "1 database")
        await seat.press("ctrl+s")
        await seat.sees("source postgres is defined")
    assert (await world.engine.show_source("postgres")).options["database"] == [name]
